"""The kinds of the family `inputs`: damaged and odd input for everything that parses; importing registers them.

Each ends in success or in the error that the documentation promises; anything else is a failure, and so is a success
that gives something else than what was written.
"""

from pybackprop.selftest.inputs import arguments, checkpoints, files, formulas, training

__all__ = ["arguments", "checkpoints", "files", "formulas", "training"]
