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


@pytest.mark.parametrize(
    "what", ["a bar on one rank", "a callback on one rank", "equal copies", "validation", "nothing"]
)
def test_what_ranks_may_do_differently(what):
    code, out, err = run(2, PROGRAM, json.dumps({"differ": what}), timeout=60)
    assert code == 0, err
    one, other = (json.loads(line) for line in out.splitlines())
    assert one == other
    assert len(one) == 64  # a digest


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("clipping", "plan.fit: the ranks do not agree: clip_norm is 0.0 on rank 0 and 0.001 on rank 1"),
        ("a schedule", "plan.fit: the ranks do not agree: the learning rate is 0.1 on rank 0 and 0.2 on rank 1"),
        ("the rate of a step", "plan.step: the ranks do not agree: the learning rate is 0.1 on rank 0 and 0.2"),
        (
            "predictions of one rank",
            "the ranks do not do the same: rank 0 is at a callback or a check and rank 1 at plan.step",
        ),
        (
            "rows to predict",
            "plan.predict: the ranks do not agree: the shape of x is (2048, 4) on rank 0 and (2047, 4)",
        ),
        ("rows of a step", "plan.grads: the ranks do not agree: the shape of x is [1000, 4] on rank 0"),
        ("data changed in place", "plan.fit: the ranks do not agree: the checksum of x is"),
        ("loaders", "plan.fit: the loaders of the ranks do not agree whether the epoch has ended"),
    ],
)
def test_what_would_train_different_networks_is_refused_on_all_ranks(what, words):
    code, out, err = run(2, PROGRAM, json.dumps({"differ": what}), timeout=60)
    assert code == 0, err
    for line in out.splitlines():
        assert json.loads(line).replace("(1000, 4)", "[1000, 4]").startswith(f"RankError: {words}")


@pytest.mark.parametrize(
    ("what", "words"), [("NaN", "x: found nan at row 3"), ("a step that is refused", "found x (100, 3)")]
)
def test_what_one_rank_refuses_is_refused_on_all(what, words):
    code, out, err = run(2, PROGRAM, json.dumps({"differ": what}), timeout=60)
    assert code == 0, err
    other, odd = (json.loads(line) for line in out.splitlines())
    assert words in odd
    assert other.startswith("RankError: rank 1 failed: ")
    assert words in other


def test_plans_do_not_use_up_communicators(tmp_path):
    program = tmp_path / "many.py"
    program.write_text(
        "from mpi4py import MPI\nimport pybackprop as bp\n"
        "for _ in range(3000):\n    bp.compile(bp.mlp([2, 2]), batch=4, comm=MPI.COMM_WORLD)\nprint('done')\n"
    )
    code, out, err = run(1, program)
    assert code == 0, err
    assert out == "done\n"


def test_the_buffers_of_ranks_are_counted(tmp_path):
    program = tmp_path / "memory.py"
    program.write_text(
        "from mpi4py import MPI\nimport pybackprop as bp\ncomm = MPI.COMM_WORLD\n"
        "def peak(comm):\n    model = bp.mlp([100, 200, 10])\n"
        "    return bp.compile(model, batch=512 * 7, optimizer=bp.SGD(lr=0.1), comm=comm).memory()\n"
        "shared, alone = peak(comm), bp.compile(bp.mlp([100, 200, 10]), batch=512, optimizer=bp.SGD(lr=0.1)).memory()\n"
        "more = comm.gather(shared['workspace'] - alone['workspace'])\n"
        "if comm.Get_rank() == 0:\n    print(*more, alone['gradients'])\n"
    )
    code, out, err = run(3, program)
    assert code == 0, err
    *more, gradients = map(int, out.split())
    copies = [1, 1 + 2, 1 + 2]  # the total, and the sums of 3, 2 and 2 segments, of which rank 0 keeps none
    for found, count in zip(more, copies, strict=True):
        assert count * gradients < found <= count * (gradients + 64) + 64
