"""Fixtures of the tests of the benchmark."""

import json
import os

import pytest

from helpers.benches import OURS_AND_NUMPY
from helpers.compile_c import ROOT
from helpers.processes import run_command
from pybackprop.bench.engines.engine import Entry


@pytest.fixture
def found(tiny_report):
    """What two tiny works by two engines give; each test may change it."""
    return json.loads(tiny_report)


@pytest.fixture(scope="session")
def tiny_report():
    only = ["--only", "small: matmul 8 ", "--only", "4x3"]
    done = run_command("bench", *only, *OURS_AND_NUMPY, "--rounds", 3, "--threads", 1, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def here(monkeypatch):
    """Lets workers import the helpers; an Entry for an engine of helpers/bench_engines.py."""
    paths = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return lambda name: Entry(name, "numpy", f"helpers.bench_engines:{name}")
