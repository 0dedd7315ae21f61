"""Did you mean: the closest known word in errors that list what there is."""

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.core.suggestions import suggest, suggest_among
from pybackprop.data.rules import chosen_column
from pybackprop.lab import ladders, operations
from pybackprop.memory import schemes
from pybackprop.train.trainer import Settings


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("incme", ["age", "income", "city"], "; did you mean income?"),
        ("INCOME", ["age", "Income"], "; did you mean Income?"),
        ("X", ["w", "x"], "; did you mean x?"),
        ("outg", ["out", "out.g"], "; did you mean out.g?"),
        ("rows", ["age", "income"], ""),
        ("", ["age"], ""),
        ("age", [], ""),
    ],
)
def test_the_closest_word(word, known, said):
    assert suggest(word, known) == said


def test_a_short_list_needs_none():
    assert suggest_among("incme", ["income", "age", "city", "rooms"]) == ""
    assert suggest_among("incme", ["income", "age", "city", "rooms", "year"]) == "; did you mean income?"


def misspelt_column():
    chosen_column("incme", ["age", "income", "city", "rooms", "price"], 5)


def misspelt_number():
    chosen_column("7", ["age", "income", "city", "rooms", "price"], 5)


CASES = [
    (misspelt_column, "found age, income, city, rooms, price; expected a name, .*; did you mean income\\?$"),
    (misspelt_number, "first or last$"),
    (lambda: operations.operation("linear_backwrd_w"), "expected one of .*; did you mean linear_backward_w\\?$"),
    (lambda: ladders.shown("nave"), "expected one of .*; did you mean naive"),
    (lambda: schemes.named("pytorc"), "expected one of "),
    (lambda: bp.data.Choices(task="regresion"), "expected one of classification, regression$"),
    (lambda: Settings(schedule="cosin"), "schedule: found 'cosin', expected one of "),
]


@pytest.mark.parametrize(("misspelt", "said"), CASES, ids=range(len(CASES)))
def test_errors_that_list_what_there_is(misspelt, said):
    with pytest.raises(ValueError, match=said):
        misspelt()


def test_names_of_parameters_and_texts_in_cells(tmp_path):
    np.savez(tmp_path / "other.npz", **{"layers.0.weight": np.zeros((3, 5), np.float32)})
    with pytest.raises(ValueError, match=r"expected one of w1, .*, or None; did you mean w1\?"):
        bp.load_weights(bp.mlp([3, 5, 4, 2], seed=0), tmp_path / "other.npz", lambda name: "ww1")
