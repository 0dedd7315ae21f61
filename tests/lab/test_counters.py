"""Counters: what perf and cachegrind say, and what is said where they say nothing."""

import json
import shutil
import stat
import subprocess

import pytest

from pybackprop.cli.main import main
from pybackprop.lab.counters import count

TASK = count.Task("matmul", (8, 8, 8), "float32", "generic", 1)
PERF = """# started on ...

1000,,cycles:u,100,100.00,,
<not supported>,,cache-misses,0,100.00,,
2500,,instructions,100,100.00,2.50,insn per cycle
<not counted>,,branch-misses,0,0.00,,
"""
GRIND = """==7== Cachegrind, a cache and branch-prediction profiler
==7== I   refs:      2,000,000
==7== I1  misses:        1,000
==7== D   refs:        500,000  (300,000 rd   + 200,000 wr)
==7== D1  misses:       10,000  (  8,000 rd   +   2,000 wr)
==7== LLd misses:          100  (     90 rd   +      10 wr)
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Puts a program of this name on the path, or nothing at all."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def tool(name, script):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return tool


def test_what_perf_counted_and_what_not():
    assert count.perf_counts(PERF) == {"cycles": 1000, "instructions": 2500}
    assert count.perf_counts("") == {}


def test_what_cachegrind_counted():
    found = count.cachegrind_counts(GRIND)
    assert found == {"instructions": 2e6, "loads and stores": 5e5, "L1 misses": 1e4, "last-level misses": 100}
    with pytest.raises(RuntimeError, match="gave no counts"):
        count.cachegrind_counts("==7== killed")


def test_what_follows_from_counts():
    counts = {"cycles": {"median": 256.0}, "instructions": {"median": 512.0}}
    found = count.derived(TASK, counts)
    assert found["instructions a cycle"] == 2
    assert found["floating-point operations a cycle"] == 2 * 8**3 / 256
    assert count.derived(TASK, {"L1 misses": 1.0, "loads and stores": 4.0}) == {"L1 misses a load or store": 0.25}


def test_the_difference_of_two_runs_is_divided_by_their_calls(tools, capsys):
    """A perf that counts a million cycles for Python and ten for each call."""
    calls = r"""calls=$(echo "$@" | /bin/sed 's/.*"calls": \([0-9]*\).*/\1/')"""
    tools("perf", f'{calls}\necho "$((1000000 + 10 * calls)),,cycles,1,100.00,," >&2')
    assert main(["lab", "counters", "matmul", "--sizes", "8x8x8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["cycles"]["median"] == 10
    assert found["counts"]["cycles"]["samples"] == 5
    assert "instructions" in found["missing"]
    assert found["fitness"]["looks"] == 5
    assert main(["lab", "counters", "matmul", "--sizes", "8x8x8", "--rounds", "2"]) == 0
    assert "the machine is " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo '<not supported>,,cycles,0,100.00,,' >&2", "no counters that perf can read"),
        ("echo 'No permission to enable cycles event. perf_event_paranoid' >&2; exit 255", "does not permit"),
        ("echo 'strange' >&2", "strange"),
    ],
)
def test_where_perf_counts_nothing_it_says_why_and_what_to_do(script, why, tools, capsys):
    tools("perf", script)
    assert main(["lab", "counters", "linear"]) == 1
    said = capsys.readouterr().err
    assert why in said
    assert "--simulate" in said


def test_without_the_tools(tools, capsys):
    assert main(["lab", "counters", "linear"]) == 1
    assert "install" in capsys.readouterr().err
    assert main(["lab", "counters", "linear", "--simulate"]) == 1
    assert "apt-get install valgrind" in capsys.readouterr().err


def test_a_valgrind_that_fails(tools, capsys):
    tools("valgrind", "echo 'out of memory' >&2; exit 3")
    assert main(["lab", "counters", "linear", "--simulate"]) == 1
    assert "ended with code 3: out of memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--simulate", "--sizes", "1000x1000x1000"], "too long"),
        (["--simulate", "--threads", "2"], "one thread"),
        (["--kernel", "sse9"], "not among the kernels"),
        (["--simulate", "--kernel", "avx512"], "not among the kernels"),
    ],
)
def test_what_cannot_be_counted(arguments, why, tools, capsys):
    tools("valgrind", "exit 9")
    assert main(["lab", "counters", "linear", *arguments]) == 1
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("op", ["matmul", "linear", "backward_w", "backward_x"])
def test_the_counted_program_runs(op):
    task = count.Task(op, (5, 4, 3), "float64", "generic", 1)
    subprocess.run(task.command(3), check=True)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_simulated_counts_are_those_of_the_loop(capsys):
    """The plain kernel's calls of fma alone take several instructions for each of 16*16*16 products."""
    arguments = ["lab", "counters", "matmul", "--simulate", "--sizes", "16x16x16", "--kernel", "generic", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert 16**3 < found["counts"]["instructions"] < 1000 * 16**3
    assert found["counts"]["loads and stores"] > 0
