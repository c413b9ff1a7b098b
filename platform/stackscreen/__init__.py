"""Stackscreen: the platform that screens stacked 2D materials."""
