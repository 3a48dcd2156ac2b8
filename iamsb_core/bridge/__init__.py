"""Bridges between two laws: the mathematics, free of the task."""
