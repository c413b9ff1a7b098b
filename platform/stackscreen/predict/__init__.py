"""Predictions for structures and pairs that were never imported."""
