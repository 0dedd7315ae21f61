"""The peak memory of a step, measured in a process of its own."""
