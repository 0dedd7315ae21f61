"""Why one element's gradient is what it is."""
