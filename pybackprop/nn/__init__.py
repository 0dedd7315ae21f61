"""Layers, optimizers, and the description of networks."""
