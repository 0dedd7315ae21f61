"""An estimator that other processes can import, which a test's own module is not."""

import pytest

pytest.importorskip("sklearn")

import pybackprop as bp
from pybackprop.sklearn import MLPClassifier


class Observed(MLPClassifier):
    """Its score is the number of threads that a fit in its process may use."""

    def fit(self, x, y):
        self.threads_ = bp.threads()
        return super().fit(x, y)

    def score(self, x, y):
        return float(self.threads_)
