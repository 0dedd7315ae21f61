"""Tensors with a gradient beside them, and the tape that is walked back."""
