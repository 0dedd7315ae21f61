"""The operations, each with its forward, its backward and its record."""
