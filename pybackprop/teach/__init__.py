"""The teaching side: gradients looked at element by element, on the learner's own numbers."""
