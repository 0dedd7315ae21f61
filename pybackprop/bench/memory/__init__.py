"""What a step's memory really is, measured in a process of its own."""
