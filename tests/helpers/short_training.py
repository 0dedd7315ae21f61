"""Counts the short calls of training: SGD's update, a Model's forward and backward, and C's part of that backward."""

from collections import Counter
from types import SimpleNamespace

from pybackprop.core import short_calls


class Taken:
    """How often each short call was taken, and how often not."""

    def __init__(self, patch):
        self.made = {"writer": short_calls.writer, "passes": short_calls.passes}
        self.taken, self.left = Counter(), Counter()
        patch.setattr(short_calls, "writer", self.maker("writer", update="update", backward="gradients"))
        patch.setattr(short_calls, "passes", self.maker("passes", forward="forward", backward="backward"))

    def maker(self, kind, **methods):
        def make(*given):
            made = self.made[kind](*given)
            counted = {method: self.counted(name, getattr(made, method)) for method, name in methods.items()}
            return made and SimpleNamespace(**counted)

        return make

    def counted(self, name, call):
        def counting(*operands):
            done = call(*operands)
            (self.left if done is None else self.taken)[name] += 1
            return done

        return counting
