"""Descriptors, datasets, models, evaluation and the model registry."""
