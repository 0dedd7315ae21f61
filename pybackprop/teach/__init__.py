"""Teaching: why each gradient is what it is, on the learner's own numbers."""
