"""A learner's proposal for a gradient, and what it computes instead if it is wrong."""
