"""Exercises, from one element to the whole network."""
