"""Ranks that train from rows on disk, or by a loader: the bits of one process; a rank whose file fails ends all."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.ranks import run

PROGRAM = Path(__file__).parent / "stored_program.py"


@pytest.fixture
def folder(tmp_path, rng):
    for k, n in enumerate((900, 40, 1300, 611)):
        x = rng.standard_normal((n, 6)).astype("f")
        np.savez(tmp_path / f"part-{k}.npz", x=x, targ=x[:, :2] * 2)
    return tmp_path


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_bits_are_those_of_one_process(folder, ranks):
    code, out, err = run(ranks, PROGRAM, folder, "same")
    assert code == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == ranks
    for together, alone in told:
        assert together == alone == told[0][1]


def test_ranks_end_a_slice_of_a_loaders_batches_together(folder):
    code, out, err = run(3, PROGRAM, folder, "loader")
    assert code == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == 3
    for together, alone in told:
        assert together == alone == told[0][1]


def test_a_rank_that_cannot_read_ends_all(folder):
    code, out, err = run(2, PROGRAM, folder, "failing")
    assert code == 0, err
    other, failing = (json.loads(line) for line in out.splitlines())
    assert failing.startswith("DataError: ")
    assert failing.endswith(".npz: cannot be read: Input/output error")
    assert other == f"RankError: rank 1 failed: {failing}"
