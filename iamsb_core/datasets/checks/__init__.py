"""What is looked for in a dataset, one idea a file; `iamsb_core.datasets.validation` puts them together."""
