"""Training: a loop that yields reports, checkpoints that resume exactly."""
