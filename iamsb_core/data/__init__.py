"""Data: stored features become padded batches with truth."""
