"""Errors stay below what docs/accuracy.md says is proved; the exact values are exact."""

import math
from dataclasses import replace
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pybackprop.bench import accuracy, accuracy_functions

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


# The most ulps. Of exp and log what is said of all numbers; of the others somewhat more than was found.
MOST = {"exp": (0.78, 0.77), "log": (0.501, 0.85), "sigmoid": (2.5, 2.5), "tanh": (2.5, 2.5), "softmax": (20, 20),
        "cross_entropy forward": (0.75, 0.75)}  # fmt: skip


def test_functions_are_as_accurate_as_is_said(dtype):
    found = {row.operation: row for row in accuracy_functions.rows(dtype, ["pybackprop"])}
    assert found.keys() == {*MOST, "log_softmax", "cross_entropy backward"}
    for name, (single, double) in MOST.items():
        assert 0 < found[name].worst <= (single if dtype == np.float32 else double)
        assert found[name].share is None


def test_a_function_that_is_less_accurate_is_found(dtype):
    """The checker can fail: by the last bit, and by a ten thousandth."""
    cases = {case.operation: case for case in accuracy_functions.cases(np.dtype(dtype))}

    def worst(name, function):
        case = replace(cases[name], engines={"pybackprop": lambda: function(cases[name].engines["pybackprop"]())})
        with localcontext(Context(prec=50)):
            (row,) = accuracy.measured(case, np.dtype(dtype), "normal", ["pybackprop"])
        return row.worst

    assert worst("exp", lambda right: np.nextafter(right, dtype(np.inf))) > 1
    assert worst("softmax", lambda right: right * dtype(1.0001)) > 500
    assert worst("tanh", lambda right: -right) > 1e6


def test_the_decimals_are_exact():
    """Held against other series: e^x by its Taylor series of fractions."""
    for x in (Fraction(1, 3), Fraction(-7, 2), Fraction(3)):
        term, total = Fraction(1), Fraction(0)
        for k in range(1, 80):
            total, term = total + term, term * x / k
        with localcontext(Context(prec=50)):
            sigmoid = accuracy_functions._sigmoid(Decimal(x.numerator) / x.denominator)
        assert abs(Fraction(sigmoid) - total / (1 + total)) < Fraction(1, 10**45)


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
