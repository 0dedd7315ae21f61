"""`pybackprop lab sweep` and `lab diff`: an operation over a grid of settings, and which differences are real."""
