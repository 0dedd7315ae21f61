"""The peak memory of a step, measured in a separate process."""
