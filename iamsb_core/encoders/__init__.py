"""Encoders: frozen functions from decoded clips to features on exact grids."""
