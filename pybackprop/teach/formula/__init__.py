"""A learner's formula: parsed, checked and evaluated."""
