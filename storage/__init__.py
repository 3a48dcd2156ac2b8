"""Storage says where: the only imports of zarr and mlflow."""
