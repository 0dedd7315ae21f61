"""`pybackprop sweep`: the digests of `train`, ranks, a state that can be continued, and what goes wrong."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers.clusters import local_cluster, separate_cluster, sockets_left_open
from helpers.processes import COMMAND, TIMEOUT, is_running, run_command
from pybackprop.cli.main import main
from pybackprop.cli.sweep import Search
from pybackprop.core import version
from pybackprop.train import checkpoint, sweep, sweep_state

GRID = ["--grid", "lr=0.01,0.1", "hidden=20,20:10,none", "optimizer=sgd,adam", "--epochs", "2"]
HERE = ["--jobs", "1"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture
def run(capsys):
    """Runs `sweep --json` in this process; the object that it printed, or what it said."""

    def run(*options, code=0):
        capsys.readouterr()
        assert main(["sweep", "--json", *map(str, options)]) == code
        printed = capsys.readouterr()
        return json.loads(printed.out) if code == 0 else printed.err

    return run


def results(found):
    """What must not depend on where candidates are trained."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found["candidates"]]


@pytest.fixture
def count(monkeypatch):
    """The trainings in this process."""
    trained, train = [], sweep.train

    def counted(task, *options, **others):
        trained.append(task.settings)
        return train(task, *options, **others)

    monkeypatch.setattr(sweep, "train", counted)
    return trained


# ---- what is trained ----


def test_each_candidate_has_the_digest_of_train(run, capsys):
    found = run(*GRID, *HERE)["candidates"]
    assert len(found) == 12
    assert len({row["digest"] for row in found}) == 12
    for row in found:
        program, *arguments = shlex.split(row["train"])
        assert program == "pybackprop"
        capsys.readouterr()
        assert main([*arguments, "--json"]) == 0
        alone = json.loads(capsys.readouterr().out)
        assert [alone[name] for name in ("digest", "loss", "accuracy")] == [
            row[name] for name in ("digest", "loss", "accuracy")
        ]


def test_processes_change_no_bit(run):
    pytest.importorskip("joblib")
    assert results(run(*GRID, "--jobs", 2)) == results(run(*GRID, *HERE))


def test_arrays_that_joblib_maps_give_the_same_bits(run, tmp_path):
    """Those of more than a megabyte are shared by a file."""
    pytest.importorskip("joblib")
    rng = np.random.default_rng(0)
    x = rng.random((1000, 300))
    np.savez(tmp_path / "d.npz", x=x, y=x @ rng.standard_normal((300, 2)))
    options = ["--data", tmp_path / "d.npz", "--grid", "batch=10,100", "dtype=float32,float64", "--epochs", 1]
    found = run(*options, "--jobs", 2)
    assert results(found) == results(run(*options, *HERE))
    assert found["best"]["measure"] == "r2"


def test_a_dask_cluster_changes_no_bit(run, tmp_path):
    options = [*GRID, "--save", tmp_path / "m.npz"]
    with local_cluster() as cluster:
        done = run_command("sweep", "--json", *options, "--scheduler", cluster.scheduler_address)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert results(found) == results(run(*GRID, *HERE))
    assert digest_in(tmp_path / "m.npz") == found["best"]["digest"]


def test_candidates_are_ranked_and_equal_ones_keep_the_order_of_the_grid(run):
    rows = run("--grid", "lr=1e-30,2e-30,0.05", "hidden=20", *HERE, "--epochs", 3)["candidates"]
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert scores == [row["accuracy"] for row in rows]
    assert scores[1] == scores[2]
    assert [row["given"]["lr"] for row in rows] == [0.05, 1e-30, 2e-30]


def test_a_regression_is_ranked_by_r2_and_lone_training_data_by_loss(run, tmp_path):
    x = np.random.default_rng(0).random((60, 2))
    np.savez(tmp_path / "d.npz", x=x, y=x.sum(1))
    rows = run("--data", tmp_path / "d.npz", "--grid", "lr=0.001,0.1", "--epochs", 3, *HERE)["candidates"]
    assert [row["measure"] for row in rows] == ["r2", "r2"]
    assert [row["score"] for row in rows] == [row["r2"] for row in rows]
    assert rows[0]["r2"] > rows[1]["r2"]
    only = sweep.Outcome(loss=0.5, digest="d")
    assert (only.score, only.measure) == (-0.5, "-loss")
    assert sweep.Outcome(loss=0.5, valid_loss=0.25, digest="d").score == -0.25


def test_seeds(run):
    rows = run("--grid", "hidden=5,6", "--seeds", 3, "--seed", 4, "--epochs", 1, *HERE)["candidates"]
    assert {(*row["given"]["hidden"], row["given"]["seed"]) for row in rows} == {
        (hidden, seed) for hidden in (5, 6) for seed in (4, 5, 6)
    }


def test_what_an_optimizer_does_not_have_is_left_out_of_its_points(run):
    rows = run("--grid", "optimizer=sgd,adam", "momentum=0.5,0.9", "--epochs", 1, *HERE)["candidates"]
    assert sorted((row["given"]["optimizer"], row["given"].get("momentum", 0)) for row in rows) == [
        ("adam", 0), ("sgd", 0.5), ("sgd", 0.9),
    ]  # fmt: skip


# ---- errors of one, and of all ----


def test_a_candidate_that_diverges_is_a_row(run, tmp_path):
    options = ["--grid", "lr=50,0.05", "--epochs", 2, "--state", tmp_path / "s.jsonl", *HERE]
    good, bad = run(*options)["candidates"]
    assert (good["error"], bad["score"], bad["digest"]) == (None, None, None)
    assert "diverged" in bad["error"]
    assert run(*options)["skipped"] == 2


def test_only_errors_are_an_error(capsys):
    assert main(["sweep", "--grid", "lr=50,60", "--epochs", "2", *HERE]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("diverged") == 2
    assert "none of 2 candidates could be trained" in printed.err


def test_a_candidate_without_memory_is_tried_again(run, tmp_path, monkeypatch):
    options = ["--grid", "hidden=5,6", "--epochs", 1, "--state", tmp_path / "s.jsonl", *HERE]
    trainer = sweep.Trainer

    def trainer_of(settings, *samples):
        if settings.hidden == (6,):
            raise MemoryError
        return trainer(settings, *samples)

    with monkeypatch.context() as patched:
        patched.setattr(sweep, "Trainer", trainer_of)
        assert run(*options)["candidates"][1]["error"] == "out of memory"
    found = run(*options)
    assert found["skipped"] == 1
    assert [row["error"] for row in found["candidates"]] == [None, None]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("lrr=1", "did you mean lr?"),
        ("xyzzy=1", "hidden, epochs, batch, lr, momentum, seed, dtype, optimizer, nesterov, weight-decay"),
        ("lr", "found no value for lr, expected lr=0.01,0.1"),
        ("lr=", "found no value for lr"),
        ("lr=0.1,,1", "lr: found '', expected lr=0.01,0.1"),
        ("lr=nan", "lr: found 'nan', expected lr="),
        ("hidden=20:", "expected hidden=50,20:20,none"),
        ("hidden=0", "hidden: found '0'"),
        ("optimizer=sgd,adm", "expected optimizer=sgd,adam,adamw; did you mean adam?"),
        ("dtype=float46", "did you mean float64?"),
        ("nesterov=1", "expected nesterov=true,false"),
        ("epochs=2.5", "whole numbers from 1"),
        ("clip-norm=all", "numbers above 0"),
    ],
)
def test_a_grid_that_cannot_be_read_says_what_is_possible(word, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", "--grid", word])
    assert stopped.value.code == 2
    assert expected in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give --grid NAME=VALUE,VALUE ... or --seeds N"),
        (["--grid", "lr=-1"], "--grid: lr=-1.0: "),
        (["--grid", "seed=-1"], "--grid: seed=-1: "),
        (["--grid", "momentum=0.5", "--optimizer", "adam"], "adam has none"),
        (["--grid", "lr=1", "lr=2"], "found lr twice"),
        (["--grid", "lr=1", "--lr", 2], "--lr: the grid has it too"),
        (["--grid", "seed=1", "--seeds", 2], "--seeds: the grid has seed too"),
        (["--seeds", 2, "--seed", 2**64 - 1], "--seeds: found 2"),
        (["--grid", "lr=1", "--jobs", 2, "--scheduler", "tcp://x:1"], "leave one of them out"),
        (["--grid", "lr=1", "--save", "m.pt"], "expected .safetensors or .npz"),
        (["--grid", "lr=1", "--state", "no/s.jsonl"], "--state: there is no folder no"),
        (["--grid", "lr=1", "--data", "no.csv"], "no.csv: cannot be read"),
        (["--grid", "lr=1", "--target", "y"], "give --data"),
        (["--grid", "dtype=float32,float64", "--data", "-"], "stdin can be read once"),
        (["--seeds", 100_001], "more than 100000 candidates"),
    ],
)
def test_what_cannot_be_is_said_before_the_first_training(run, options, words, tmp_path, monkeypatch, count):
    monkeypatch.chdir(tmp_path)
    said = run(*options, code=1)
    assert said.startswith("pybackprop: error: ")
    assert words in said
    assert not count


def test_libraries_that_are_not_there_are_named(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "joblib", None)
    assert "pip install 'pybackprop[sweep]'" in run("--grid", "lr=0.1,0.2", "--jobs", 2, code=1)
    assert "pip install 'pybackprop[dask]'" in run("--grid", "lr=0.1,0.2", "--scheduler", "tcp://x:1", code=1)


def test_a_scheduler_that_does_not_answer_is_named(run, monkeypatch):
    pytest.importorskip("dask.distributed")
    monkeypatch.setattr(sweep, "CONNECTS", 0.5)
    with sockets_left_open():
        said = run("--grid", "lr=0.1", "--scheduler", "tcp://127.0.0.1:9", code=1)
    assert "--scheduler: tcp://127.0.0.1:9: " in said
    assert "is it running?" in said


def test_workers_of_another_version_are_refused():
    sweep._check_versions({"tcp://a": version.__version__})
    with pytest.raises(ValueError, match=r"tcp://b: found 0\.0\.1, expected pybackprop"):
        sweep._check_versions({"tcp://b": "0.0.1"})
    with pytest.raises(ValueError, match="ModuleNotFoundError: No module named 'pybackprop'"):
        sweep._check_versions({"tcp://b": ModuleNotFoundError("No module named 'pybackprop'")})


# ---- the state and the best ----


def test_what_is_known_is_not_trained_again(run, tmp_path, count):
    state = tmp_path / "s.jsonl"
    options = [*GRID, *HERE, "--state", state]
    first = run(*options)
    assert (len(count), first["skipped"]) == (12, 0)
    lines = state.read_bytes().splitlines(keepends=True)
    assert len(lines) == 12
    state.write_bytes(b"".join(lines[:5]) + lines[5][:-10])  # as a process that was killed may leave it
    again = run(*options)
    assert (len(count), again["skipped"]) == (12 + 7, 5)
    assert results(again) == results(first)
    assert len(state.read_bytes().splitlines()) == 12
    other = run("--grid", "lr=0.01", "--hidden", 20, "--optimizer", "sgd", "--epochs", 2, "--state", state)
    assert other["skipped"] == 1  # another grid, the same settings


def test_a_state_of_other_data_or_another_version_is_refused(run, tmp_path, monkeypatch):
    state = tmp_path / "s.jsonl"
    run("--grid", "hidden=5", "--epochs", 1, "--state", state, *HERE)
    kept = state.read_bytes()
    np.savez(tmp_path / "d.npz", x=np.ones((20, 64)), y=np.arange(20) % 2)
    said = run("--grid", "hidden=6", "--epochs", 1, "--state", state, "--data", tmp_path / "d.npz", code=1)
    assert "s.jsonl: line 1 is of other data than this; give another --state" in said
    monkeypatch.setattr(sweep_state, "__version__", "99")
    said = run("--grid", "hidden=6", "--epochs", 1, "--state", state, code=1)
    assert f"line 1 is of pybackprop {version.__version__}, and this is 99" in said
    assert state.read_bytes() == kept


@pytest.mark.parametrize(
    "content",
    [
        b"lr,score\n",
        b"[]\n",
        b"{}\n",
        b'{"pybackprop": 1}\n',
        b"notes without an end",
        b'{"pybackprop": "0", "data": "d", "settings": {"dtype": "float32"}, "loss": null, "valid_loss": null, '
        b'"accuracy": null, "r2": null, "seconds": "x", "digest": null, "error": "e"}\n',
    ],
)
def test_a_file_that_is_no_state_is_refused_and_kept(run, tmp_path, content):
    state = tmp_path / "s.jsonl"
    state.write_bytes(content)
    assert "none of a sweep's state" in run("--grid", "hidden=5", "--state", state, code=1)
    assert state.read_bytes() == content


def test_a_line_that_cannot_be_written_whole_leaves_none(tmp_path, monkeypatch):
    state = sweep_state.State(tmp_path / "s.jsonl", {"float32": "d"})
    state.add(sweep.Settings(), sweep.Outcome(loss=1.0, digest="d"))
    before, write = state.path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, line: write(handle, line[:20]))
    with pytest.raises(OSError, match=r"s\.jsonl: cannot be written"):
        state.add(sweep.Settings(seed=1), sweep.Outcome(loss=1.0, digest="d"))
    assert state.path.read_bytes() == before


def digest_in(path):
    arrays, _ = checkpoint.load(path)
    return checkpoint.digest({name: array for name, array in arrays.items() if "." not in name})


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_best_is_saved_as_train_saves_it(run, tmp_path, jobs, capsys):
    if jobs > 1:
        pytest.importorskip("joblib")
    best = run(*GRID, "--jobs", jobs, "--save", tmp_path / "m.npz")["best"]
    assert digest_in(tmp_path / "m.npz") == best["digest"]
    _, *arguments = shlex.split(best["train"])
    assert main([*arguments, "--quiet", "--save", str(tmp_path / "t.npz")]) == 0
    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "t.npz").read_bytes()
    assert main(["predict", "--model", str(tmp_path / "m.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == best["accuracy"]


def test_the_best_of_an_earlier_run_is_saved_too(run, tmp_path, count):
    options = [*GRID, *HERE, "--state", tmp_path / "s.jsonl"]
    best = run(*options)["best"]
    before = len(count)
    for _ in range(2):  # the second time it is there
        run(*options, "--save", tmp_path / "m.npz")
        assert digest_in(tmp_path / "m.npz") == best["digest"]
        assert len(count) == before + 1


# ---- what is shown, and Ctrl-C ----


def test_a_table_for_people(capsys, tmp_path):
    options = ["--grid", "lr=0.05,50", "hidden=5", "--epochs", "2", *HERE]
    assert main(["sweep", *options, "--save", str(tmp_path / "m.npz")]) == 0
    said = capsys.readouterr().out
    for words in ("2 candidates, the best first", "lr", "accuracy", "%", "diverged", "the best: pybackprop train --"):
        assert words in said
    assert "optimizer" not in said.partition("the best")[0].replace("2 candidates, the best first", "")
    assert main(["sweep", *options, "--quiet"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_ctrl_c_while_an_outcome_is_kept_is_said_in_one_line(monkeypatch, capsys):
    """And joblib warns of nothing, as it does where its generator is closed while it runs."""
    pytest.importorskip("joblib")

    def strike(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Search, "add", strike)
    assert main(["sweep", "--grid", "hidden=5", "--epochs", "1", "--seeds", "500", "--jobs", "2", "--quiet"]) == 130
    assert capsys.readouterr().err == "pybackprop: interrupted after 0 of 500 candidates\n"


@posix
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_sweep_goes_on(jobs, how, tmp_path):
    """The state has whole lines, the other processes end too, and a rerun comes to what an uninterrupted one does."""
    if jobs > 1:
        pytest.importorskip("joblib")
    state = tmp_path / "s.jsonl"
    command = [*COMMAND, "sweep", "--grid", "hidden=5", "--epochs", "50", "--jobs", str(jobs), "--state", str(state)]
    process = subprocess.Popen(
        [*command, "--seeds", "90000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_lines(state, 3, process)
    (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
    _, said = process.communicate(timeout=TIMEOUT)  # until all who have its stderr have ended
    assert not is_running(process.pid)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert said.startswith("pybackprop: interrupted after ")
        assert said.endswith(f" of 90000 candidates; {state} holds them\n")
    lines = state.read_bytes()
    known = [json.loads(line) for line in lines[: lines.rfind(b"\n")].splitlines()]
    done = run_command(*command[len(COMMAND) :], "--seeds", 4, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["skipped"] == sum(record["settings"]["seed"] < 4 for record in known) > 0
    fresh = run_command("sweep", "--grid", "hidden=5", "--epochs", 50, "--seeds", 4, "--jobs", 1, "--json")
    assert results(found) == results(json.loads(fresh.stdout))


def wait_for_lines(path, count, process):
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    raise AssertionError("no lines in time")


def sweep_while_workers_die(folder, seeds, killed):
    """(exit code, what it said, the lines of its state) of a sweep of which `killed` of two workers die."""
    state = folder / "s.jsonl"
    options = ["sweep", "--grid", "hidden=5", "--epochs", "30", "--seeds", str(seeds), "--state", str(state), "--json"]
    with separate_cluster(folder) as (address, workers):
        command = [*COMMAND, *options, "--scheduler", address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for_lines(state, 3, process)
            for worker in workers[:killed]:
                worker.kill()
            _, said = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    return process.returncode, said, state


@posix
def test_a_sweep_outlives_a_worker_or_says_so_once_and_goes_on(run, tmp_path):
    """Which of the two depends on whether the other worker has the data too."""
    code, said, state = sweep_while_workers_die(tmp_path, 200, killed=1)
    if code:
        assert (code, said.count("pybackprop: error: --scheduler: ")) == (1, 1), said
    found = run("--grid", "hidden=5", "--epochs", 30, "--seeds", 200, "--state", state, "--jobs", 1)
    assert found["skipped"] >= 3
    assert code or found["skipped"] == 200
    assert len({row["digest"] for row in found["candidates"]}) == 200


@posix
def test_a_sweep_without_workers_ends_with_a_message(tmp_path):
    code, said, state = sweep_while_workers_die(tmp_path, 2000, killed=2)
    assert code == 1
    assert said.count("pybackprop: error: --scheduler: ") == 1, said
    assert "workers died" in said
    assert 3 <= len(state.read_text().splitlines()) < 2000


def test_a_scheduler_is_not_asked_if_all_is_known(run, tmp_path):
    options = ("--grid", "lr=0.1,0.2", "--epochs", 1, "--state", tmp_path / "s.jsonl")
    first = run(*options, *HERE)
    found = run(*options, "--scheduler", "tcp://127.0.0.1:9")
    assert found["skipped"] == 2
    assert results(found) == results(first)


def test_a_state_that_cannot_be_written_is_found_before_the_first_training(run, tmp_path, count, monkeypatch):
    def opened(path, *others):
        raise PermissionError(13, "Permission denied", str(path))

    options = ("--grid", "lr=0.1,0.2", "--epochs", 1, "--state", tmp_path / "s.jsonl", *HERE)
    with monkeypatch.context() as patched:
        patched.setattr(sweep_state.os, "open", opened)
        assert "Permission denied" in run(*options, code=1)
        assert count == []
    run(*options)
    with monkeypatch.context() as patched:
        patched.setattr(sweep_state.os, "open", opened)
        assert run(*options)["skipped"] == 2  # there is nothing to write
