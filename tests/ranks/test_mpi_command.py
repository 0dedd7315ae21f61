"""`pybackprop train --mpi`: the digest, one report, one message for a failure, and a rank that dies."""

import json
import os
import random
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.ranks import children, flags, mpiexec, run, start
from pybackprop.cli import mpi

TRAIN = ("-m", "pybackprop", "train", "--batch", "1000", "--lr", "0.3", "--hidden", "20", "--json")


def alone(epochs):
    code, out, err = run(1, *TRAIN, "--epochs", epochs)
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_the_digest_is_that_of_one_process(ranks):
    code, out, err = run(ranks, *TRAIN, "--mpi", "--epochs", 5)
    assert code == 0, err
    told = json.loads(out)  # one object: rank 0's
    right = alone(5)
    for name in ("digest", "loss", "accuracy"):
        assert told[name] == right[name]


def test_training_goes_on_with_another_number_of_ranks(tmp_path):
    saved = tmp_path / "state.npz"
    for ranks, epochs in ((3, 2), (2, 4), (1, 5)):
        start_of = (*TRAIN[:3], "--json", "--resume", saved) if saved.exists() else TRAIN
        code, out, err = run(ranks, *start_of, "--mpi", "--epochs", epochs, "--save", saved)
        assert code == 0, err
    assert json.loads(out)["digest"] == alone(5)["digest"]


def test_shards_larger_than_memory_are_shared(tmp_path, rng):
    for k, n in enumerate((900, 40, 1300)):
        x = rng.normal(3, 5, (n, 6)).astype("f")
        np.savez(tmp_path / f"part-{k}.npz", x=x, y=(x[:, 0] > 3) * 1)
    options = ("--data", tmp_path, "--window", 2, "--epochs", 2)
    told = []
    for ranks, asked in ((2, ("--mpi",)), (1, ())):
        code, out, err = run(ranks, *TRAIN, *asked, *options)
        assert code == 0, err
        told.append(json.loads(out))
    for name in ("digest", "loss", "accuracy", "data"):
        assert told[0][name] == told[1][name]


@pytest.mark.parametrize("kind", ["table", "shards", "digits"])
def test_predictions_are_shared_and_said_once(tmp_path, rng, kind):
    saved, n = tmp_path / "state.npz", 700
    x = rng.normal(3, 5, (n, 6)).astype("f")
    y = (x[:, 0] > 3) * 1
    if kind == "table":
        rows = "".join(
            ",".join(f"{value:.5g}" for value in row) + f",{label}\n" for row, label in zip(x, y, strict=True)
        )
        (tmp_path / "d.csv").write_text(f"a,b,c,d,e,f,class\n{rows}")
        options = ("--data", tmp_path / "d.csv")
    elif kind == "shards":
        for k in range(3):
            np.savez(tmp_path / f"part-{k}.npz", x=x[k::3], y=y[k::3])
        options = ("--data", tmp_path, "--window", 2)
    else:
        options = ()
    place = tmp_path / "saved" / saved.name
    place.parent.mkdir()
    code, _, err = run(1, *TRAIN, *options, "--epochs", 1, "--save", place)
    assert code == 0, err
    told = []
    for ranks, asked in ((3, ("--mpi",)), (1, ())):
        code, out, err = run(ranks, "-m", "pybackprop", "predict", "--model", place, "--json", *asked, *options)
        assert code == 0, err
        told.append(json.loads(out))  # one object: rank 0's
    assert told[0] == told[1]
    assert len(told[0]["predictions"]) > 300


def test_a_table_on_stdin_is_read_once_and_shared(tmp_path):
    if flags(mpiexec()):
        pytest.skip("refused with Open MPI: the test below")
    path = tmp_path / "d.csv"
    path.write_text("a,b,class\n" + "".join(f"{k % 7},{k % 5},{k % 2}\n" for k in range(300)))
    told = []
    for ranks, options in ((2, ("--mpi", "--data", "-")), (1, ("--data", path))):
        with path.open() as stdin:
            code, out, err = run(ranks, *TRAIN, *options, "--epochs", 2, stdin=stdin)
        assert code == 0, err
        told.append(json.loads(out))
    assert told[0]["digest"] == told[1]["digest"]
    assert told[0]["data"] == told[1]["data"]


def test_stdin_is_refused_where_it_would_never_end(monkeypatch):
    vendor = SimpleNamespace(get_vendor=lambda: ("Open MPI", (5, 0, 11)))
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=vendor))
    with pytest.raises(ValueError, match=r"--mpi --data -: Open MPI's mpiexec .* write the data to a file"):
        mpi.share_stdin(None)


def test_without_mpi_several_ranks_are_refused():
    code, _, err = run(2, *TRAIN, "--epochs", 1)
    assert code != 0
    assert "started as one of 2 ranks, but without --mpi" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data", "/nowhere"), "cannot be read"),
        (("--lr", "1e30"), "training diverged: the loss became inf at step 2 (epoch 1)"),
        (("--resume", "/nowhere.npz"), "/nowhere.npz"),
    ],
)
def test_what_fails_on_all_ranks_is_said_once(options, words):
    code, out, err = run(3, *TRAIN, "--mpi", "--epochs", 3, *options)
    assert code != 0
    assert err.count("pybackprop: error:") == 1, err
    assert words in err
    assert out == ""


def test_what_fails_on_rank_0_ends_all(tmp_path):
    code, _, err = run(3, *TRAIN, "--mpi", "--epochs", 3, "--save", tmp_path / "no" / "folder.npz")
    assert code != 0
    assert "rank 0 of 3: CheckpointError" in err


def killed_while_training(tmp_path, seed):
    """Kills a rank at a random moment; what is left must be whole, and lead to the digest of one process."""
    draw, saved = random.Random(seed), tmp_path / f"state{seed}.npz"
    process = start(3, *TRAIN, "--mpi", "--epochs", 100_000, "--save", saved)
    try:
        until = time.monotonic() + 60
        while not saved.exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(draw.random())
        victims = children(process)
        assert len(victims) == 3
        os.kill(draw.choice(victims), signal.SIGKILL)
        told = "".join(process.communicate(timeout=60))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert "KILL" in told.upper()  # mpiexec names the signal, or the process
    return saved


def assert_resumes(saved):
    from pybackprop.train import checkpoint

    epochs = checkpoint.load(saved)[1]["epoch"] + 3
    code, out, err = run(2, "-m", "pybackprop", "train", "--mpi", "--resume", saved, "--epochs", epochs, "--json")
    assert code == 0, err
    assert json.loads(out)["digest"] == alone(epochs)["digest"]


def test_a_killed_rank_ends_the_others_and_the_checkpoint_leads_on(tmp_path):
    assert_resumes(killed_while_training(tmp_path, 1))


@pytest.mark.slow
def test_fifty_killed_ranks(tmp_path):
    for seed in range(50):
        assert_resumes(killed_while_training(tmp_path, seed))


def test_ctrl_c_ends_all_ranks(tmp_path):
    saved = tmp_path / "state.npz"
    process = start(3, *TRAIN, "--mpi", "--epochs", 100_000, "--save", saved)
    until = time.monotonic() + 60
    while not saved.exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert_resumes(saved)
