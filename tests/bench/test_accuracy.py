"""Errors stay below what docs/accuracy.md says is proved; the exact values are exact."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pybackprop.bench import accuracy

HEADER = Path(__file__).parents[2] / "csrc" / "pybackprop.h"


@pytest.mark.parametrize("kind", accuracy.KINDS)
@pytest.mark.parametrize("most", [3000, pytest.param(10**6, marks=pytest.mark.slow)])
def test_errors_stay_below_the_proved_bounds(dtype, kind, most):
    rows = list(accuracy.rows(dtype, kind, most, ["pybackprop"]))
    assert len({row.operation for row in rows}) == 10
    for row in rows:
        assert 0 <= row.share <= 1, row


def test_a_sum_in_one_chain_exceeds_the_bound_of_segments():
    """The checker can fail: float32 stops counting at 2**24, which segments do not."""
    n = 2**24 + 2**20
    chain = float(np.float32(2**24))  # what adding one after the other ends with
    allowed = accuracy.gamma(accuracy.segmented(n), 2.0**-24) * n
    assert n - chain > allowed
    assert abs(float(accuracy._gradients(np.zeros((n, 1), "f"), np.ones((n, 1), "f"))[1][0]) - n) <= allowed


def test_the_exact_sums_are_exact(rng):
    for dtype in (np.float32, np.float64):
        a, b = rng.standard_normal(100).astype(dtype), rng.standard_normal(100).astype(dtype)
        exact = sum((Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)), Fraction(0))
        value, absolute = accuracy.dot(a, b)
        assert Fraction(value) == Fraction(float(exact))
        assert absolute >= abs(value)


def test_the_segment_is_that_of_the_library():
    assert f"#define BP_SEGMENT {accuracy.SEGMENT}\n" in HEADER.read_text("utf-8")


def test_roundings_grow_with_the_number_of_segments():
    assert accuracy.segmented(100) == 101
    assert accuracy.segmented(10**7) == 512 + math.ceil(10**7 / 512)
