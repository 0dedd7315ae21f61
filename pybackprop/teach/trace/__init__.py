"""The recorded forward pass: its operations, gradients, replay and measured slopes."""
