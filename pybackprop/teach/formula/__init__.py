"""A learner's formula: read, checked, computed."""
