"""Several ranks of MPI share a step: the bits of one process, whatever their number; and what they refuse."""

import json
from pathlib import Path

import pytest

from helpers.ranks import run

PROGRAM = Path(__file__).parent / "program.py"
CASES = {
    "segments cut everywhere": {"rows": 3001, "batch": 1537, "loss": "Mse", "optimizer": "Adam", "dtype": "float32"},
    "as many segments as ranks": {"rows": 2600, "batch": 2560, "loss": "CrossEntropy", "optimizer": "SGD",
                                  "dtype": "float64", "weights": True, "validation_split": 0.01},
    "fewer segments than ranks": {"rows": 700, "batch": 600, "loss": "BinaryCrossEntropy", "optimizer": "AdamW",
                                  "dtype": "float32", "schedule": True},
    "one segment": {"rows": 300, "batch": 64, "loss": "CrossEntropy", "optimizer": "SGD", "dtype": "float32"},
    "clipped": {"rows": 2000, "batch": 1025, "loss": "Mse", "optimizer": "SGD", "dtype": "float64", "clip_norm": 0.1},
    "layers": {"rows": 2000, "batch": 1100, "loss": "Mse", "optimizer": "SGD", "dtype": "float32",
               "strategy": "layers", "validation_split": 0.3},
    "fused": {"rows": 2000, "batch": 1100, "loss": "CrossEntropy", "optimizer": "SGD", "dtype": "float32",
              "strategy": "fused"},
}  # fmt: skip


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_one_process(ranks, case):
    code, out, err = run(ranks, PROGRAM, json.dumps(CASES[case]))
    assert code == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == ranks
    for of_rank in told:
        assert of_rank["all"] == told[0]["one"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("model", "compile: the ranks do not agree: the parameters is"),
        ("batch", "compile: the ranks do not agree: batch is 600 on rank 0 and 64 on rank 2"),
        ("data", "plan.fit: the ranks do not agree: the checksum of x is"),
        ("seed", "plan.fit: the ranks do not agree: seed is 0 on rank 0 and 5 on rank 2"),
    ],
)
def test_ranks_that_would_compute_something_else_are_named_on_all_of_them(what, words):
    code, out, err = run(3, PROGRAM, json.dumps({"refuse": what}))
    assert code == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == 3
    assert all(line.startswith(f"RankError: {words}") for line in told), told


def test_an_exception_of_one_ranks_callback_ends_all():
    code, out, err = run(3, PROGRAM, json.dumps({"refuse": "callback"}))
    assert code == 0, err
    other, same, odd = (json.loads(line) for line in out.splitlines())
    assert other == same == "RankError: rank 2 failed: ZeroDivisionError: division by zero"
    assert odd == "ZeroDivisionError: division by zero"
