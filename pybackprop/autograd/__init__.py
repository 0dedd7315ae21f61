"""Tensors with their gradients, and the tape that backward walks."""
