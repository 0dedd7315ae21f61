"""The engine of random cases: each kind runs, a number determines its case, and planted faults are found."""

from itertools import islice

import numpy as np
import pytest

import pybackprop as bp
from helpers.faults import OUTPUTS, plant
from pybackprop.core import settings
from pybackprop.data import tables
from pybackprop.selftest import machine
from pybackprop.selftest.case import FAMILIES, Case
from pybackprop.selftest.compare import Comparisons, WrongError
from pybackprop.selftest.draw import LAYOUTS, VALUES, Draw
from pybackprop.selftest.run import KINDS, kind_of, numbers, run_case
from pybackprop.train import checkpoint

FEW = {"arguments": 2}  # each of them is a process here


def first(kind, count, seed=3):
    return list(islice(numbers(seed, 0, 1, (kind,)), count))


def failures(cases, folder):
    return [outcome.failure for outcome in (run_case(number, folder) for number in cases) if outcome.failure]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_some_cases_of_each_kind_are_right(kind, tmp_path):
    outcomes = [run_case(number, tmp_path) for number in first(kind, FEW.get(kind, 12))]
    assert [outcome.failure for outcome in outcomes if outcome.failure] == []
    assert all(outcome.comparisons > 0 for outcome in outcomes)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_number_determines_its_case(family, tmp_path):
    for number in first(family, 40):
        told = []
        for _ in range(2):
            case = Case(number, tmp_path)
            if kind_of(number).name == "arguments":
                continue
            with machine.kept(), np.errstate(all="ignore"):
                kind_of(number).run(case)
            told.append((case.check.count, {name: str(note) for name, note in case.draw.notes.items()}))
        assert told[:1] == told[1:]


def test_settings_are_left_as_they_were(tmp_path):
    before = settings.kernel(), bp.threads(), settings.thread_work(), bp.tiles()
    for number in first("matmul", 30):
        run_case(number, tmp_path)
    assert (settings.kernel(), bp.threads(), settings.thread_work(), bp.tiles()) == before


def test_every_value_and_layout_is_drawn_as_it_is_called():
    seen = set()
    for number in range(300):
        draw = Draw(number)
        array = draw.array("a", (5, 4), np.dtype(np.float32))
        laid = draw.laid("a", array)
        operand = draw.notes["a"]
        seen |= {operand.values, operand.layout}
        expected = np.broadcast_to(array[:1], array.shape) if operand.layout == "broadcast" else array
        np.testing.assert_array_equal(laid, expected)
        assert laid.strides == operand.strides
    assert seen == {*VALUES, *LAYOUTS}


def test_small_work_is_given_to_several_threads():
    """Else nothing of what is said about threads would be tried."""
    chosen = set()
    for number in range(60):
        with machine.kept():
            machine.choose(Draw(number))
            chosen.add((bp.threads(), settings.thread_work()))
    if settings.info()["pool"]:
        assert {threads for threads, work in chosen if work == 1} == {1, 2, 3}


# ---- planted faults ----


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_one_wrong_bit_of_any_function_is_found(monkeypatch, tmp_path, name):
    plant(monkeypatch, name)
    assert failures(first("bits", 250), tmp_path)


def test_a_failure_says_what_was_computed_and_how_to_see_it_again(monkeypatch, tmp_path):
    plant(monkeypatch, "linear_backward_w")
    found = next(f for f in failures(first("lin", 60), tmp_path) if "w.g" in f.error)
    text = str(found)
    assert "lin_grad: w.g" in text
    assert "first [0,0]: found " in text
    assert "    x: (" in text
    assert f"again: pybackprop selftest --case {found.case}" in text
    again = run_case(found.case, tmp_path).failure
    assert again == found
    monkeypatch.undo()
    assert run_case(found.case, tmp_path).failure is None


@pytest.mark.parametrize(
    "wrong", [0.0, -1.0, np.nan, np.nextafter(np.float32(1), np.float32(2))], ids=["zero", "sign", "nan", "bit"]
)
def test_the_comparisons_find_wrong_numbers(wrong):
    right = np.ones((2, 3), np.float32)
    spoilt = right.copy()
    spoilt[1, 2] = wrong
    with pytest.raises(WrongError, match=r"1 of 6 elements differ, first \[1,2\]"):
        Comparisons().same("it", spoilt, right)
    if wrong != spoilt.dtype.type(np.nextafter(np.float32(1), np.float32(2))):
        with pytest.raises(WrongError, match=r"\[1,2\]"):
            Comparisons().close("it", spoilt, right.astype(np.float64), 1.0, 1)


def test_the_comparisons_tell_zeros_apart_and_no_nans():
    check = Comparisons()
    check.same("it", np.float32([np.nan]), -np.float32([np.nan]))
    with pytest.raises(WrongError, match="-0x0"):
        check.same("it", np.float32([-0.0]), np.float32([0.0]))
    with pytest.raises(WrongError, match="float64"):
        check.same("it", np.zeros(1), np.zeros(1, np.float32))


@pytest.mark.parametrize("error", [KeyError("x"), IndexError(), ZeroDivisionError(), ValueError("too little")])
def test_an_undocumented_error_of_a_reader_is_found(monkeypatch, tmp_path, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(tables, "_column", broken)
    found = failures(first("csv", 60), tmp_path)
    assert found
    assert all(type(error).__name__ in failure.error for failure in found)


def test_a_checkpoint_that_gives_other_numbers_than_were_written_is_found(monkeypatch, tmp_path):
    cases = first("checkpoint bytes", 20)
    run_case(cases[0], tmp_path)  # which writes the checkpoint
    read = checkpoint._read_npz

    def spoilt(path):
        arrays, header = read(path)
        arrays["w1"][0, 0] += 1
        return arrays, header

    monkeypatch.setattr(checkpoint, "_read_npz", spoilt)
    monkeypatch.setattr(checkpoint, "_integrity", lambda *_: whole)
    _, header = read(tmp_path / "whole.npz")
    whole = header["sha256"]
    found = failures(cases, tmp_path)
    assert found
    assert all("w1: 1 of 6 elements differ" in failure.error for failure in found)
