"""Datasets: one reader for each benchmark's own files, giving a Manifest."""
