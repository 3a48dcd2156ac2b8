"""Metrics: what a prediction is worth under each of the field's named protocols."""
