"""Models and compiled plans: how a training step is laid out in memory and run."""
