"""Robustness views of a test set: decoded clips made worse at five levels before an encoder sees them."""
