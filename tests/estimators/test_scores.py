"""The scores that decide about early stopping are scikit-learn's."""

import numpy as np
import pytest

metrics = pytest.importorskip("sklearn.metrics")
from pybackprop.sklearn.scores import accuracy, r2  # noqa: E402


@pytest.mark.parametrize("weighted", [False, True])
def test_r2(rng, weighted):
    weight = rng.random(40) if weighted else None
    for dtype in (np.float32, np.float64):
        for h in (1, 3):
            right = rng.standard_normal((40, h)) * 50
            found = (right + rng.standard_normal((40, h))).astype(dtype)
            expected = metrics.r2_score(right, found, sample_weight=weight)
            assert r2(right, found, weight) == pytest.approx(expected, rel=1e-12)
    same = np.column_stack([np.ones(40), np.ones(40), rng.standard_normal(40)])
    found = same + np.array([0.0, 1.0, 0.1])
    assert r2(same, found, weight) == pytest.approx(metrics.r2_score(same, found, sample_weight=weight))


@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy(rng, weighted):
    weight = rng.random(40) if weighted else None
    names = np.array(["a", "b", "c"])
    right, found = (names[rng.integers(3, size=40)] for _ in range(2))
    assert accuracy(right, found, weight) == pytest.approx(metrics.accuracy_score(right, found, sample_weight=weight))
    labels = rng.integers(2, size=(40, 2))
    other = np.where(rng.random((40, 2)) < 0.2, 1 - labels, labels)
    expected = metrics.accuracy_score(labels, other, sample_weight=weight)
    assert accuracy(labels, other, weight) == pytest.approx(expected)
