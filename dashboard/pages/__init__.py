"""The pages: each gives a layout for an address, and registers the callbacks that keep it alive."""
