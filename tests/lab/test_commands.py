"""`lab try` and `lab new` as people run them: output, exit codes, and what the machine may lack."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

import pybackprop as bp
from helpers.compile_c import compilers
from helpers.processes import COMMAND, is_running, python, run_command
from helpers.wrong_kernels import DEFINE, MATMUL, RELU, SIGNATURE, WRONG
from pybackprop.cli import lab_try
from pybackprop.cli.main import main
from pybackprop.lab import compiler, fitness, operations, peers, process, timing
from pybackprop.lab.machine import memory
from pybackprop.lab.operation import started

HAS_COMPILER = pytest.mark.skipif(not compilers(), reason="no compiler")
CHECKED = ("lab", "try", "--no-timing")


@pytest.fixture
def file(tmp_path):
    """Writes a kernel, and gives the options that try it."""

    def write(text, op="matmul"):
        path = tmp_path / "kernel.c"
        path.write_text(text)
        return [str(path), "--op", op]

    return write


# ---- new ----


@HAS_COMPILER
@pytest.mark.parametrize("op", operations.TRIED)
def test_from_new_to_a_verdict(tmp_path, capsys, op):
    path = tmp_path / "mine.c"
    assert main(["lab", "new", str(path), "--op", op, "--dtype", "float64"]) == 0
    assert f"lab try {path} --op {op}" in capsys.readouterr().out
    assert path.read_text().startswith(f"/* {op}: ")
    assert main([*CHECKED, str(path), "--op", op, "--dtype", "float64"]) == 0
    assert "BIT-EQUAL" in capsys.readouterr().out


def test_new_keeps_what_is_there(tmp_path, capsys):
    path = tmp_path / "mine.c"
    path.write_text("precious")
    assert main(["lab", "new", str(path), "--op", "relu"]) == 1
    assert path.read_text() == "precious"
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mine.py", "no/folder/mine.c"])
def test_new_refuses_other_places(tmp_path, capsys, name):
    assert main(["lab", "new", str(tmp_path / name), "--op", "relu"]) == 1
    assert "error" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_operations_of_the_command_are_those_there_are():
    assert tuple(operations.TRIED) == lab_try.OPERATIONS


# ---- try ----


@HAS_COMPILER
def test_times_beside_ours_and_the_peers(file, capsys):
    assert main(["lab", "try", *file(MATMUL), "--size", "32,32,32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["findings"], found["ulps"]) == (True, [], 0)
    assert found["cases"] == len(operations.MATMUL.shapes) + 6 * len(operations.MATMUL.hard)
    assert list(found["timing"]["engines"]) == ["kernel", *peers.installed()]
    for row in found["timing"]["engines"].values():
        assert row["least"] <= row["median"] <= row["most"]
        assert row["gflops"] == pytest.approx(2 * 32**3 / row["median"] / 1e9)
        assert row["percent_of_peak"] == pytest.approx(100 * row["gflops"] / found["timing"]["peak"])


@HAS_COMPILER
@pytest.mark.parametrize("op", [*operations.TRIED])
def test_every_operation_is_timed(op):
    trial = bp.lab.try_kernel(started(operations.TRIED[op], "float32"), op, size=(20,))
    assert trial.ok, str(trial)
    assert all("median" in row for row in trial.timing["engines"].values()), str(trial)
    assert "yours" in str(trial)


@HAS_COMPILER
@pytest.mark.parametrize("name", ["reassociated", "exits", "reads past the end", "does not compile"])
def test_a_wrong_kernel_ends_with_1(file, capsys, name):
    op, text, kind, words = WRONG[name]
    assert main([*CHECKED, *file(text, op)]) == 1
    printed = capsys.readouterr()
    assert kind.upper() in printed.out
    assert words in printed.out
    assert printed.err == ""
    assert main([*CHECKED, *file(text, op), "--rounding-ok"]) == (name != "reassociated")


@HAS_COMPILER
def test_a_kernel_that_dies_of_the_sizes_to_time(file, capsys):
    text = DEFINE + MATMUL.replace("for (size_t i", "if (rows == 200) abort();\n    for (size_t i", 1)
    assert main(["lab", "try", *file(text), "--size", "200,2,2"]) == 1
    assert "SIGABRT" in capsys.readouterr().out


@HAS_COMPILER
def test_a_right_kernel_that_is_wrong_on_the_sizes_to_time(file, capsys):
    text = MATMUL.replace("acc + 0;", "acc + (rows == 200);", 1)
    assert main(["lab", "try", *file(text), "--size", "200,2,2"]) == 1
    assert "WRONG RESULT" in capsys.readouterr().out


@HAS_COMPILER
def test_flags_are_shown_and_used(file, capsys):
    text = f"#ifdef TWICE\n{MATMUL}\n#endif\n"
    assert main([*CHECKED, *file(text), "--cflags=-O1 -DTWICE"]) == 0
    assert "-O1 -DTWICE kernel.c" in capsys.readouterr().out
    assert main([*CHECKED, *file(text)]) == 1
    assert "MISSING FUNCTION" in capsys.readouterr().out


@HAS_COMPILER
def test_a_file_may_include_its_neighbours(file, tmp_path):
    (tmp_path / "body.h").write_text(MATMUL)
    assert main([*CHECKED, *file('#include "body.h"\n')]) == 0


@HAS_COMPILER
def test_odd_names(tmp_path):
    path = tmp_path / 'odd "name" \\ of it.c'
    path.write_text(RELU)
    assert main([*CHECKED, str(path), "--op", "relu"]) == 0


@pytest.mark.parametrize(
    "options",
    [["k.c", "--op", "division"], ["k.c", "--op", "relu", "--limit", "0"], ["--op", "relu"]],
)
def test_wrong_usage_ends_with_2(options):
    with pytest.raises(SystemExit) as end:
        main(["lab", "try", *options])
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "1,2"], "expected 3 sizes, rows,inner,cols"),
        (["--size", "1000000"], "take smaller sizes"),
    ],
)
def test_sizes_that_cannot_be(file, capsys, options, words):
    assert main(["lab", "try", *file(MATMUL), *options]) == 1
    assert words in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert main([*CHECKED, str(tmp_path / "none.c"), "--op", "relu"]) == 1
    assert "none.c" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"expected one of matmul, linear_forward"):
        bp.lab.try_kernel(RELU, "division")


# ---- what the machine may lack ----


@pytest.mark.parametrize(
    ("cc", "words"),
    [
        ("nowhere-cc", "$CC names 'nowhere-cc', which is not there"),
        ("false", "does not compile an empty file"),
    ],
)
def test_no_compiler(file, capsys, monkeypatch, cc, words):
    monkeypatch.setenv("CC", cc)
    assert main([*CHECKED, *file(MATMUL)]) == 1
    assert words in capsys.readouterr().err


def test_no_compiler_on_the_path(file, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([*CHECKED, *file(MATMUL)]) == 1
    assert "there is no cc on the PATH; install gcc or clang" in capsys.readouterr().err


@HAS_COMPILER
def test_a_flag_that_the_compiler_does_not_know(file, capsys):
    assert main([*CHECKED, *file(MATMUL), "--cflags=-mavx9000"]) == 1
    out = capsys.readouterr().out
    assert "COMPILE ERROR" in out
    assert "mavx9000" in out


def script(tmp_path, monkeypatch, text):
    """A compiler of one's own."""
    path = tmp_path / "my-cc"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(path))


@HAS_COMPILER
def test_a_compiler_without_the_usual_flags(file, tmp_path, capsys, monkeypatch):
    refuse = 'for f in "$@"; do case $f in -march=*|-mcpu=*|-fopenmp) echo no $f >&2; exit 1;; esac; done'
    script(tmp_path, monkeypatch, f'{refuse}; exec {compilers()[0]} "$@"')
    assert main([*CHECKED, *file(MATMUL)]) == 0
    assert "-march" not in capsys.readouterr().out
    assert compiler.find().native == ()


@HAS_COMPILER
def test_a_full_disk_as_the_compiler_sees_it(file, tmp_path, capsys, monkeypatch):
    full = 'case "$*" in *kernel.so*) echo "fatal error: No space left on device" >&2; exit 1;; esac'
    script(tmp_path, monkeypatch, f'{full}; exec {compilers()[0]} "$@"')
    assert main([*CHECKED, *file(MATMUL)]) == 1
    assert "set TMPDIR to a folder with space" in capsys.readouterr().err


@HAS_COMPILER
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_folder_that_cannot_be_written(file, capsys, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pybackprop.lab.folder.tempfile.TemporaryDirectory", refuse)
    assert main([*CHECKED, *file(MATMUL)]) == 1
    assert "temporary files cannot be written" in capsys.readouterr().err


@HAS_COMPILER
def test_a_compiler_without_a_sanitizer(file, tmp_path, capsys, monkeypatch):
    script(tmp_path, monkeypatch, f'case "$*" in *-print-file-name*) echo x;; *) exec {compilers()[0]} "$@";; esac')
    assert main(["lab", "try", *file(MATMUL), "--sanitize"]) == 1
    assert "has no AddressSanitizer" in capsys.readouterr().err


# ---- harms nothing ----


def ended(pids):
    """Waits until none of these processes runs; there must be some."""
    assert pids
    until = time.monotonic() + 30
    while any(map(is_running, pids)):
        assert time.monotonic() < until
        time.sleep(0.05)


@HAS_COMPILER
def test_what_a_kernel_started_is_stopped(file, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_TEST_PID", str(tmp_path / "pid"))
    child = 'FILE *f = fopen(getenv("LAB_TEST_PID"), "a"); fprintf(f, "%d\\n", getpid()); fclose(f); for (;;) sleep(1);'
    text = DEFINE + f"{SIGNATURE} {{ if (!fork()) {{ {child} }} sleep(1); }}\n"
    assert main([*CHECKED, *file(text), "--limit", "4"]) == 1
    ended((tmp_path / "pid").read_text().split())


@HAS_COMPILER
@pytest.mark.skipif(sys.platform != "linux", reason="what a kernel forks outlives it elsewhere")
def test_a_kernel_ends_when_the_command_is_killed(file, tmp_path, monkeypatch):
    """An endless one, and what it forked."""
    pids = tmp_path / "pid"
    monkeypatch.setenv("LAB_TEST_PID", str(pids))
    note = 'FILE *f = fopen(getenv("LAB_TEST_PID"), "a"); fprintf(f, "%d\\n", getpid()); fclose(f);'
    options = file(DEFINE + f"{SIGNATURE} {{ fork(); {note} for (;;) {{}} }}\n")
    process = subprocess.Popen([*COMMAND, *CHECKED, *options, "--limit", "600"], stdout=subprocess.DEVNULL)
    try:
        while not pids.exists() or len(pids.read_text().split()) < 2:
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    ended(pids.read_text().split())


@HAS_COMPILER
def test_nothing_is_left_in_the_temporary_folder(file, tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    for name in ("exits", "writes to NULL", "reassociated"):
        op, text, _, _ = WRONG[name]
        main([*CHECKED, *file(text, op)])
    assert not list(place.iterdir())


def test_import_does_not_load_it():
    code = "import sys, pybackprop as bp; assert 'pybackprop.lab' not in sys.modules; assert 'rich' not in sys.modules"
    done = python(f"{code}; bp.lab.try_kernel; assert 'pybackprop.lab' in sys.modules; assert 'lab' in dir(bp)")
    assert done.returncode == 0, done.stderr


# ---- watch ----


@HAS_COMPILER
def test_watch_repeats_when_the_file_is_saved(file, tmp_path):
    options = file(MATMUL)
    process = subprocess.Popen(
        [*COMMAND, *CHECKED, *options, "--watch", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert json.loads(process.stdout.readline())["ok"]
        (tmp_path / "new.c").write_text(WRONG["one term too few"][1])
        (tmp_path / "new.c").replace(tmp_path / "kernel.c")
        assert not json.loads(process.stdout.readline())["ok"]
        for _ in range(2):  # the second time, the last trial is over
            assert "waiting for the file to be saved" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
        process.communicate()


def test_watch_needs_a_file(tmp_path):
    done = run_command(*CHECKED, tmp_path / "none.c", "--op", "relu", "--watch")
    assert done.returncode == 1
    assert "there is no file" in done.stderr


@HAS_COMPILER
def test_ctrl_c_ends_a_trial(file):
    options = file(WRONG["sleeps for ever"][1])
    process = subprocess.Popen([*COMMAND, *CHECKED, *options], stderr=subprocess.PIPE, text=True)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.communicate()[1] == "pybackprop: interrupted\n"


# ---- times ----


class Machine:
    """Processes on a machine whose state changes with each look; what is timed while it is not quiet takes twice."""

    def __init__(self, *states):
        self.states, self.now, self.seen = list(states), fitness.QUIET, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, do, *_, calls=1, **__):
        if do == "look":
            self.now = self.states.pop(0) if self.states else fitness.QUIET
            self.seen.append(self.now)
            return {"state": self.now}
        if do == "fitness":
            report = fitness.Watch(1).report()
            return {**report, "state": max(self.seen, key=lambda state: state != fitness.QUIET)}
        slower = 1 + (self.now != fitness.QUIET)
        return {"flops": 100e9 / slower} if do == "peak" else {"seconds": float(slower * calls)}


@pytest.mark.parametrize(
    ("states", "left_out", "not_quiet"),
    [
        ((), 0, 0),
        ((fitness.BUSY, fitness.BUSY), 1, 0),
        ((fitness.DISTURBED,) * 100, 3, 3),
    ],
)
def test_what_was_timed_while_disturbed_is_timed_again(monkeypatch, tmp_path, states, left_out, not_quiet):
    machine, op = Machine(*states), operations.MATMUL
    monkeypatch.setattr(timing, "Process", lambda *_: machine)
    race = timing.Race(op, op.named((8,)), "float32", 1)
    race.run([timing.Entrant("one", machine, calls=4)], 3, tmp_path, lambda text: None)
    report = race.to_dict()
    one = report["engines"]["one"]
    assert (one["samples"], one["left_out"], one["not_quiet"]) == (3, left_out, not_quiet)
    assert one["median"] == (2.0 if not_quiet else 1.0)
    assert report["peak"] == pytest.approx(50.0 if not_quiet else 100.0)
    notes = " ".join(report["notes"])
    assert ("samples count though the machine was not quiet" in notes) == bool(not_quiet)
    assert f"the machine is {report['fitness']['state']}" in notes


def test_an_engine_that_dies_has_no_times(monkeypatch, tmp_path):
    class Dying(Machine):
        def ask(self, do, *_, **request):
            if do == "time" and len(self.seen) > 3:
                raise process.RequestError("it died")
            return super().ask(do, **request)

    op, machine = operations.MATMUL, Dying()
    monkeypatch.setattr(timing, "Process", lambda *_: machine)
    race = timing.Race(op, op.named((8,)), "float32", 1)
    unprepared = timing.Entrant("two", machine, why="it cannot")
    race.run([timing.Entrant("one", machine), unprepared], 3, tmp_path, lambda text: None)
    assert race.to_dict()["engines"] == {"one": {"why": "it died"}, "two": {"why": "it cannot"}}


def test_too_many_threads_are_mentioned():
    op = operations.MATMUL
    race = timing.Race(op, op.named((8,)), "float32", 1000, fitness=fitness.Watch(1).report())
    assert "1000 threads share" in race.notes({})[-1]


# ---- the roofline ----


@pytest.fixture
def unknown(tmp_path, monkeypatch):
    """A machine that has not been measured yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@HAS_COMPILER
def test_a_kernel_is_put_on_the_roofline(file, capsys, unknown):
    assert main(["lab", "try", *file(MATMUL), "--size", "64,32,16", "--json"]) == 0
    timing = json.loads(capsys.readouterr().out)["timing"]
    roofline = timing["roofline"]
    assert roofline["roof"]["peak"] == pytest.approx(timing["peak"])
    assert [level["name"] for level in roofline["roof"]["levels"]] == list(memory.levels())
    assert [row["name"] for row in roofline["engines"]] == list(timing["engines"])
    for row in roofline["engines"]:
        moved = 4 * (64 * 32 + 32 * 16 + 64 * 16)
        assert row["intensity"] == pytest.approx(2 * 64 * 32 * 16 / moved)
        rate = {level["name"]: level["bandwidth"] for level in roofline["roof"]["levels"]}[row["level"]]
        assert row["reachable_gflops"] == pytest.approx(min(timing["peak"], rate * row["intensity"]))
        assert row["part"] == pytest.approx(row["gflops"] / row["reachable_gflops"])


@HAS_COMPILER
def test_the_roofline_is_shown_and_drawn(file, tmp_path, capsys, unknown):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "roofline.png"
    options = file(RELU, "relu")
    assert main(["lab", "try", *options, "--size", "1000", "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    for words in ("of roof", "roofline: 0.125 operations a byte, operands in L1", "bound by L1", "the machine is"):
        assert words in shown
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["lab", "try", *options, "--plot", str(tmp_path / "a.xyz")]) == 1
    assert "expected a name that ends in .png" in capsys.readouterr().err
