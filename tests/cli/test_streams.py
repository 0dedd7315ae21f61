"""The command line where things go wrong around it: misspelt words, closed streams, Ctrl-C at any moment."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pybackprop as bp
from pybackprop.cli.main import main, parser
from pybackprop.engine.progress import Progress

COMMAND = [sys.executable, "-m", "pybackprop"]
SCRIPT = Path(sys.executable).with_name("pybackprop")
TIMEOUT = 300  # seconds after which a process hangs, on the busiest machine
COMMANDS = [
    ["info"],
    ["info", "--json"],
    ["memory", "--list"],
    ["memory", "--batch", "10"],
    ["memory", "--scheme", "plan", "--batch", "10"],
    ["bench", "--list"],
    ["judge", "x.T @ dz"],
    ["explain", "--element", "w1[0,1]"],
    ["train", "--epochs", "1"],
    ["--help"],
    ["memory", "--help"],
    ["--version"],
]

CLOSED = [
    "info", "info --json", "memory --batch 10", "train --epochs 1", "predict --model m.npz", "bench --list",
    "explain --element b1", "judge 'x.T @ dz'", "learn", "learn --list", "selftest --cases 3 --jobs 1",
    "lab --help", "sweep --grid epochs=1 --jobs 1", "export --help", "completion bash",
    "--help", "--version",
]  # fmt: skip
posix = pytest.mark.skipif(os.name != "posix", reason="shells and signals as POSIX has them")


def shell(line):
    """Runs a line of sh, in which $PB is the command."""
    line = line.replace("$PB", f"'{sys.executable}' -m pybackprop")
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=TIMEOUT)


# ---- misspelt ----


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["trian"], "did you mean train?"),
        (["memroy", "--list"], "did you mean memory?"),
        (["train", "--epohcs", "3"], "did you mean --epochs?"),
        (["train", "--epohcs=3"], "did you mean --epochs?"),
        (["memory", "--schema=plan"], "did you mean --scheme?"),
        (["explain", "--elemnt", "w1"], "did you mean --element?"),
        (["train", "--dtype", "float46"], "did you mean float64?"),
        (["bench", "--engines", "nunpy"], "did you mean numpy?"),
    ],
)
def test_a_misspelt_word_gets_a_suggestion(arguments, suggestion, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    printed = capsys.readouterr().err
    assert stopped.value.code == 2
    assert suggestion in printed
    assert printed.startswith(f"usage: pybackprop {arguments[0] if arguments[0] in printed.split() else ''}".rstrip())


@pytest.mark.parametrize("arguments", [["xyzzy"], ["train", "--xyzzy"], ["train", "xyzzy"]])
def test_a_word_like_no_other_gets_none(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "did you mean" not in capsys.readouterr().err


def test_an_unknown_option_shows_the_usage_of_its_command(capsys):
    with pytest.raises(SystemExit):
        main(["memory", "--nothing-like-it"])
    assert capsys.readouterr().err.startswith("usage: pybackprop memory ")


def test_the_old_name_of_an_option_still_works(capsys):
    printed = []
    for option in ("--scheme", "--way"):
        assert main(["memory", option, "numpy", "--batch", "10"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


# ---- streams that are closed ----


@posix
@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", CLOSED)
def test_a_stream_that_is_closed_is_the_null_device(streams, arguments, tmp_path):
    if arguments.startswith("predict"):
        bp.save(bp.mlp([64, 3, 10]), tmp_path / "m.npz")
    done = shell(f"cd {tmp_path}; $PB {arguments} {streams}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


@posix
def test_a_mistake_is_told_and_its_code_kept_with_stdout_closed():
    done = shell("$PB train --epochs 1 --data no.csv >&-")
    assert done.returncode == 1
    assert done.stderr.startswith("pybackprop: error: no.csv: cannot be read")
    assert len(done.stderr.splitlines()) == 1


@posix
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_reader_that_is_gone_is_no_error(arguments):
    """The other end of the pipe is closed before the command writes its first byte."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*COMMAND, *arguments], stdout=write, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@posix
def test_a_reader_of_both_streams_that_is_gone_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*COMMAND, "train", "--lr", "-1"], stdout=write, stderr=write, timeout=TIMEOUT)
    finally:
        os.close(write)
    assert done.returncode in (0, 1)


# ---- Ctrl-C ----


@posix
@pytest.mark.parametrize("how", ["module", "script"])
def test_ctrl_c_while_it_loads_is_quiet(how):
    """At many moments between the start and the end of all imports."""
    command = [str(SCRIPT)] if how == "script" else COMMAND
    if how == "script" and not SCRIPT.exists():
        pytest.skip("no script beside this interpreter")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("children would ignore the signal")
    began = time.monotonic()
    assert subprocess.run([*command, "--version"], capture_output=True, timeout=TIMEOUT).returncode == 0
    whole = time.monotonic() - began
    interrupted = 0
    for k in range(2, 12):
        # a later one waits in the endless training
        process = subprocess.Popen(
            [*command, "train", "--epochs", "100000", "--quiet"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if not wait_for_package(process):
            continue
        time.sleep(whole * k / 12)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=TIMEOUT)
        assert "Traceback" not in printed, printed
        assert process.returncode == 130
        interrupted += 1
    assert interrupted or not Path("/proc").exists()


SAVING = ["train", "--epochs", "100000", "--quiet", "--save"]
INTERRUPTED = {
    "train": SAVING,
    "predict": ["predict", "--model"],
    "bench": ["bench", "--quick"],
    "explain": ["explain", "--element", "w1[0,0]"],
    "judge": ["judge", "x.T @ dz"],
    "learn": ["learn"],
    "memory": ["memory", "--measure"],
    "info": ["info"],
    "sweep": ["sweep", "--grid", "hidden=5", "--seeds", "90000"],
    "selftest": ["selftest", "--cases", "50"],
}


@posix
@pytest.mark.skipif(not Path("/proc").exists(), reason="sees in /proc what a process has loaded")
@pytest.mark.parametrize("rounds", [1, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", INTERRUPTED)
def test_a_signal_at_a_random_moment(command, rounds, tmp_path):
    """Ctrl-C, in one process or the whole group, and SIGTERM: no traceback, and whole checkpoints."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("children would ignore the signal")
    choose, path = random.Random(command), tmp_path / "m.npz"
    bp.save(bp.mlp([64, 3, 10]), path)
    arguments = [*INTERRUPTED[command], *([str(path)] if command in ("train", "predict") else [])]
    for _ in range(rounds):
        number = choose.choice([signal.SIGINT] * 4 + [signal.SIGTERM])
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen([*COMMAND, *arguments], **pipes, text=True, start_new_session=True)
        wait_for_package(process)
        time.sleep(2 * choose.random() ** 2)
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if choose.random() < 0.5 else os.kill)(process.pid, number)
        printed = "".join(process.communicate(timeout=TIMEOUT))
        assert "Traceback" not in printed, printed
        assert "Exception ignored" not in printed, printed
        # 0: had ended; -SIGINT: Python itself was not up yet, or not any more
        expected = (130, 0, -signal.SIGINT) if number == signal.SIGINT else (-signal.SIGTERM, 0)
        assert process.returncode in expected, printed
        assert printed.count("pybackprop: interrupted") <= 1
        bp.load(path)


def test_a_training_is_interrupted_at_a_safe_point(monkeypatch, capsys, tmp_path):
    """Not where the signal strikes, which may be inside of the progress bar's lock."""
    update, moments = Progress.update, []

    def struck(self, moment):
        os.kill(os.getpid(), signal.SIGINT)
        update(self, moment)
        moments.append(moment)

    monkeypatch.setattr(Progress, "update", struck)
    assert main(["train", "--epochs", "5", "--save", str(tmp_path / "m.npz")]) == 130
    assert len(moments) == 1
    assert "interrupted in epoch 1" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def wait_for_package(process):
    """Until the process has loaded the C core's library or numpy's; False where that cannot be seen."""
    maps = Path(f"/proc/{process.pid}/maps")
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        try:
            if "numpy" in maps.read_text():
                return True
        except OSError:
            process.kill()
            process.communicate()
            return False
        time.sleep(0.001)
    return False


def test_every_command_is_tried_with_closed_streams():
    names = {word for line in CLOSED for word in line.split()[:1] if not word.startswith("-")}
    (commands,) = (action for action in parser()._actions if action.dest == "==SUPPRESS==" or action.choices)
    assert names == set(commands.choices)
