"""The command line, run as people run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from helpers.digests import TWO_EPOCHS, TWO_EPOCHS_DOUBLE
from helpers.processes import COMMAND, TIMEOUT, cpu_seconds, cpu_seconds_of_children, ended, run_command
from pybackprop.cli.main import main
from pybackprop.train import checkpoint
from pybackprop.train.trainer import Trainer

KEYS = ["loss", "accuracy", "r2", "epochs", "seconds", "samples_per_second", "peak_bytes", "digest", "kernel"]
KEYS += ["threads", "data", "warnings"]


@pytest.fixture
def train(capsys):
    """Runs `train --json` in this process; the object that it printed."""

    def run(*options, code=0):
        assert main(["train", "--json", *map(str, options)]) == code
        printed = capsys.readouterr()
        return json.loads(printed.out) if code == 0 else printed.err

    return run


# ---- train ----


def test_train_without_arguments_learns_the_digits():
    done = run_command("train", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == KEYS
    assert found["accuracy"] >= 0.96
    assert found["epochs"] == 40
    assert found["samples_per_second"] == pytest.approx(1438 * 40 / found["seconds"], rel=0.01)
    assert 10**7 < found["peak_bytes"] < 10**9
    assert found["kernel"] in bp.kernels()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="elsewhere the system does not tell")
def test_the_peak_is_of_this_process_not_of_what_started_it():
    ask = "from pybackprop.cli.train import peak_bytes; print(peak_bytes())"
    start = (
        f"import subprocess, sys, numpy; x = numpy.ones(50_000_000); subprocess.run([sys.executable, '-c', {ask!r}])"
    )
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True)
    assert 10**7 < int(done.stdout) < 2 * 10**8


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_learns_from_any_start(train, seed):
    assert train("--seed", seed)["accuracy"] >= 0.96


def test_the_digest_is_a_constant(train, each_setting):
    assert train("--epochs", 2)["digest"] == TWO_EPOCHS


def test_the_digest_in_double_is_a_constant(train):
    assert train("--epochs", 2, "--dtype", "float64")["digest"] == TWO_EPOCHS_DOUBLE


def test_threads_change_no_bit(train):
    found = train("--epochs", 1, "--batch", 1000, "--hidden", "300,200", "--threads", 1)
    again = train("--epochs", 1, "--batch", 1000, "--hidden", "300,200", "--threads", 3)
    assert found["digest"] == again["digest"]
    assert again["threads"] == (3 if bp.info()["pool"] else 1)


def test_options_reach_the_training(train):
    options = ["--hidden 20", "--hidden=", "--batch 7", "--lr 0.01", "--momentum 0", "--seed 5", "--dtype float64"]
    options += ["--optimizer adam", "--optimizer adamw", "--nesterov", "--weight-decay 0.01", "--clip-norm 0.1"]
    options += [f"--schedule {name}" for name in ("step", "cosine", "one-cycle", "warmup")]
    digests = {train("--epochs", 1, *option.split())["digest"] for option in [*options, ""]}
    assert len(digests) == len(options) + 1


def test_a_summary_for_people():
    done = run_command("train", "--epochs", 1)
    for word in ("64 → 50 → 10", "loss", "accuracy", "samples/s", "peak memory", "digest"):
        assert word in done.stdout
    done = run_command("train", "--epochs", 1, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_own_data(train, tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3))
    np.savez(tmp_path / "d.npz", x=x, y=(x[:, 0] > 0).astype(int))
    assert train("--data", tmp_path / "d.npz", "--epochs", 20)["accuracy"] > 0.9
    np.savetxt(tmp_path / "d.csv", np.c_[x, x @ [1.0, -2.0, 0.5]], delimiter=",")
    folder = tmp_path / "mnist"
    folder.mkdir()
    bp.data.write_idx(folder / "train-images-idx3-ubyte.gz", rng.integers(0, 256, (50, 5, 5)).astype(np.uint8))
    bp.data.write_idx(folder / "train-labels-idx1-ubyte.gz", (np.arange(50) % 10).astype(np.uint8))
    assert 0 <= train("--data", folder, "--epochs", 1)["accuracy"] <= 1
    found = train("--data", tmp_path / "d.csv", "--epochs", 20, "--lr", 0.01)
    assert found["accuracy"] is None
    assert found["loss"] < 0.1


def test_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["train", "--epochs", "2", "--quiet", "--plot", str(tmp_path / "p.png")]) == 0
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_a_plot_that_cannot_be_drawn_is_known_before_the_training(train, tmp_path, monkeypatch):
    assert "expected a name that ends in .png" in train("--plot", tmp_path / "p.xyz", code=1)
    assert "no folder" in train("--plot", tmp_path / "no" / "p.png", code=1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'pybackprop[plot]'" in train("--plot", tmp_path / "p.png", code=1)


# ---- what it refuses ----


@pytest.mark.parametrize(
    "options",
    [["--epochs", "0"], ["--batch", "x"], ["--hidden", "5,,3"], ["--hidden", "0"], ["--dtype", "int8"], ["--no"]],
)
def test_wrong_usage_exits_with_2(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", *options])
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lr", "-1"], "found lr=-1.0"),
        (["--momentum", "1"], "found momentum=1.0"),
        (["--seed", "-3"], "seed: found -3"),
        (["--data", "no.csv"], "no.csv: cannot be read"),
        (["--resume", "no.npz"], "no.npz: cannot be read"),
        (["--save", "model.pt"], "expected .safetensors or .npz"),
        (["--save", "no/model.npz"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(train, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = train(*options, code=1)
    assert said.startswith("pybackprop: error: ")
    assert words in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_is_not_finite_is_refused_and_located(train, tmp_path, bad):
    x = np.ones((20, 3))
    x[7, 2] = bad
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(20) % 2)
    assert f"d.npz: x: found {bad} at row 7, column 2" in train("--data", tmp_path / "d.npz", code=1)


def test_training_that_diverges_stops_and_says_what_to_try(train, tmp_path):
    train("--epochs", 1, "--save", tmp_path / "m.npz")
    before = (tmp_path / "m.npz").read_bytes()
    said = train("--lr", 50, "--epochs", 3, "--resume", tmp_path / "m.npz", "--save", tmp_path / "m.npz", code=1)
    assert "diverged: the loss became" in said
    assert "at step" in said
    assert "smaller learning rate (it is 50)" in said
    assert (tmp_path / "m.npz").read_bytes() == before


# ---- checkpoints ----


@pytest.fixture(params=["npz", "safetensors"])
def saved(request, tmp_path):
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"m.{request.param}"


def test_resume_reaches_the_digest_of_an_uninterrupted_run(train, saved):
    first = train("--epochs", 1, "--save", saved)
    assert checkpoint.load(saved)[1]["epoch"] == 1
    second = train("--epochs", 2, "--resume", saved, "--save", saved)
    assert (second["digest"], second["epochs"]) == (TWO_EPOCHS, 2)
    assert first["digest"] != second["digest"]
    assert checkpoint.load(saved)[1]["epoch"] == 2
    assert "has 2 already" in train("--epochs", 2, "--resume", saved, code=1)


def test_resume_keeps_the_settings_and_refuses_others(train, saved, tmp_path):
    options = ["--hidden", "20,10", "--batch", 50, "--lr", 0.1, "--momentum", 0.5, "--seed", 4, "--dtype", "float64"]
    whole = train(*options, "--epochs", 4)
    train(*options, "--epochs", 2, "--save", saved)
    assert train("--resume", saved, "--epochs", 4)["digest"] == whole["digest"]
    for option, value in (("--hidden", "20"), ("--seed", "5"), ("--dtype", "float32")):
        assert f"{option}: " in train("--resume", saved, option, value, "--epochs", 4, code=1)
    assert train("--resume", saved, "--epochs", 4, "--lr", 0.2)["digest"] != whole["digest"]
    np.savez(tmp_path / "d.npz", x=np.ones((20, 64)), y=np.arange(20) % 10)
    assert "other data" in train("--resume", saved, "--epochs", 4, "--data", tmp_path / "d.npz", code=1)


RULES = {
    "adam": ["--optimizer", "adam", "--weight-decay", 0.01, "--clip-norm", 0.05],
    "adamw": ["--optimizer", "adamw", "--schedule", "one-cycle"],
    "nesterov": ["--nesterov", "--weight-decay", 0.001, "--schedule", "cosine"],
}


@pytest.mark.parametrize("rule", RULES)
def test_resume_with_each_optimizer(train, saved, rule, monkeypatch):
    options = [*RULES[rule], "--batch", 50, "--epochs", 4]
    whole = train(*options)["digest"]
    run_epoch = Trainer.run_epoch

    def interrupted(trainer, *given):
        if trainer.epoch == 2:
            raise KeyboardInterrupt
        return run_epoch(trainer, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "run_epoch", interrupted)
        train(*options, "--save", saved, code=130)
    _, optimizer = bp.load(saved, with_optimizer=True)
    assert optimizer.steps == 2 * 29
    assert optimizer.name.lower() == ("sgd" if rule == "nesterov" else rule)
    assert train("--resume", saved)["digest"] == whole


def test_resume_refuses_what_would_be_another_training(train, saved):
    train("--optimizer", "adam", "--schedule", "cosine", "--epochs", 1, "--batch", 200, "--save", saved)
    for option, value in (("--optimizer", "sgd"), ("--schedule", "step"), ("--epochs", 9)):
        assert f"{option}: " in train("--resume", saved, option, value, code=1)


@pytest.mark.parametrize("option", ["--momentum=0.5", "--nesterov"])
def test_options_of_sgd_are_refused_for_adam(train, option):
    assert "adam has none; leave it out" in train("--optimizer", "adam", option, code=1)


def test_a_damaged_checkpoint_is_refused(train, saved):
    train("--epochs", 1, "--save", saved)
    content = bytearray(saved.read_bytes())
    content[-len(content) // 2] ^= 1
    saved.write_bytes(content)
    assert str(saved) in train("--resume", saved, "--epochs", 2, code=1)
    assert main(["predict", "--model", str(saved)]) == 1


def start(*options):
    return subprocess.Popen([*COMMAND, "train", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_epoch(path, epoch, process):
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        if path.exists() and checkpoint.load(path)[1]["epoch"] >= epoch:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    raise AssertionError("no checkpoint in time")


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_training_goes_on_to_the_same_digest(train, saved, how):
    others = cpu_seconds_of_children()
    process = start("--epochs", "100000", "--save", str(saved), "--batch", "64")
    wait_for_epoch(saved, 2, process)
    used = cpu_seconds(process.pid)
    process.send_signal(how)
    _, said = process.communicate(timeout=TIMEOUT)
    if how == signal.SIGINT:
        assert cpu_seconds_of_children() - others - used < 10  # a second is meant
        assert process.returncode == 130
        assert "interrupted in epoch" in said
        assert f"{saved} holds the state after epoch" in said
        assert "Traceback" not in said
    done = checkpoint.load(saved)[1]["epoch"]
    resumed = train("--resume", saved, "--epochs", done + 2)["digest"]
    assert resumed == train("--batch", 64, "--epochs", done + 2)["digest"]


# ---- predict, info ----


def test_predict_agrees_with_the_training(train, saved, tmp_path, capsys):
    accuracy = train("--epochs", 5, "--save", saved)["accuracy"]
    assert main(["predict", "--model", str(saved), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == accuracy
    digits = bp.data.digits()
    assert np.mean(found["predictions"] == digits.y_valid) == accuracy
    np.save(tmp_path / "x.npy", digits.x_valid[:3])
    assert main(["predict", "--model", str(saved), "--data", str(tmp_path / "x.npy")]) == 0
    assert [int(line) for line in capsys.readouterr().out.split()] == found["predictions"][:3]
    np.save(tmp_path / "x.npy", digits.x_valid[:3, :5])
    assert main(["predict", "--model", str(saved), "--data", str(tmp_path / "x.npy")]) == 1
    assert "found 5 features in a row, expected 64" in capsys.readouterr().err


def test_predict_targets(train, tmp_path, capsys):
    x = np.random.default_rng(0).standard_normal((60, 2))
    np.savez(tmp_path / "d.npz", x=x, y=x @ [[1.0, 0.0, -1.0], [0.0, 2.0, 0.5]])
    train("--data", tmp_path / "d.npz", "--epochs", 60, "--hidden", "", "--save", tmp_path / "m.npz")
    assert main(["predict", "--model", str(tmp_path / "m.npz"), "--data", str(tmp_path / "d.npz")]) == 0
    rows = [[float(cell) for cell in line.split(",")] for line in capsys.readouterr().out.split()]
    np.testing.assert_allclose(rows, x @ [[1.0, 0.0, -1.0], [0.0, 2.0, 0.5]], atol=0.05)
    assert main(["predict", "--model", str(tmp_path / "m.npz")]) == 1
    assert "takes 2 features" in capsys.readouterr().err


def test_predict_from_what_is_no_model(tmp_path, capsys):
    checkpoint.save(tmp_path / "m.npz", {"a": np.ones(3)}, {})
    assert main(["predict", "--model", str(tmp_path / "m.npz")]) == 1
    assert "holds no model" in capsys.readouterr().err


def test_info(capsys):
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == bp.info()
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    for word in ("version", "cpu", "kernels", "threads", "pool", "compiler", "numpy", "cffi"):
        assert word in said


def test_version_and_help(capsys):
    for option, word in (("--version", bp.__version__), ("--help", "train")):
        with pytest.raises(SystemExit) as stopped:
            main([option])
        assert stopped.value.code == 0
        assert word in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    main(["train", "--epochs", "1", "--quiet", "--save", str(tmp_path / "m.npz")])
    done = ended(f"'{sys.executable}' -m pybackprop predict --model '{tmp_path / 'm.npz'}' | head -1", shell=True)
    assert "Traceback" not in done.stderr
    assert done.stdout.strip().isdigit()
