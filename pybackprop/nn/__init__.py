"""Layers, optimizers, and the description of a network."""
