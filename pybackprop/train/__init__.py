"""Training from the command line's data: runs, checkpoints."""
