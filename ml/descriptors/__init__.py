"""What is computed of a layer, or of two layers put together, without any model."""
