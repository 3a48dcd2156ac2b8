"""Tasks say how reliably: refs in, refs out, with retries, timeouts and caching."""
