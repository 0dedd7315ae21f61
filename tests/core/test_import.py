"""What `import pybackprop` loads, and the one place of its version."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import pybackprop as bp
from pybackprop.core import interrupt

SLOW = (
    "rich",
    "matplotlib",
    "importlib.metadata",
    "zipfile",
    "csv",
    "argparse",
    "difflib",
    "pybackprop.teach",
    "pybackprop.memory",
    "pybackprop.bench",
    "pybackprop.lab",
    "pybackprop.cli",
    "pybackprop.data",
    "pybackprop.train",
)


def loaded_after(code):
    """The modules of SLOW that a program has loaded."""
    program = f"import sys, json; {code}; print(json.dumps([m for m in {SLOW} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_loads_only_what_training_needs():
    assert loaded_after("import numpy") == loaded_after("import numpy, pybackprop")


def test_a_step_loads_nothing_more():
    step = "import pybackprop as bp; m = bp.mlp([3, 2]); m([[1.0, 2.0, 3.0]], [[1.0, 0.0]]); m.backward()"
    assert loaded_after("import numpy") == loaded_after(step)


def test_a_ledger_loads_what_shows_it_only_when_it_is_shown():
    ledger = "import pybackprop as bp; l = bp.mlp([3, 2]).memory(5); l.peak"
    assert "rich" not in loaded_after(ledger)
    assert "rich" in loaded_after(f"{ledger}; str(l)")


@pytest.mark.parametrize("name", ["explain", "judge", "gradcheck", "GradCheck", "Ledger", "ledger", "fits", "data"])
def test_what_is_loaded_at_first_use_is_there(name):
    code = f"import pybackprop as bp; assert bp.{name} is bp.{name}; assert '{name}' in dir(bp)"
    loaded_after(code)
    loaded_after(f"from pybackprop import {name}")


def test_the_version_is_in_one_place():
    assert bp.__version__ == metadata.version("pybackprop") == bp.info()["version"]
    folder = Path(bp.__file__).parent
    places = [path for path in folder.rglob("*.py") if re.search(r'"\d+\.\d+\.\d+"', path.read_text("utf-8"))]
    assert places == [folder / "core" / "version.py"]


@pytest.mark.parametrize(
    ("arguments", "argv", "is_command"),
    [
        (["python", "-m", "pybackprop", "train"], ["-m"], True),
        (["python", "-m", "pybackprop.bench.worker"], ["-m"], False),
        (["python", "-m", "pytest"], ["/lib/pytest/__main__.py"], False),
        (["python", "/bin/pybackprop", "info"], ["/bin/pybackprop"], True),
        (["python", "mine.py", "pybackprop"], ["mine.py"], False),
        (["python", "-c", "import pybackprop"], ["-c"], False),
        (["python"], [""], False),
        (["python"], [], False),
    ],
)
def test_only_the_command_changes_ctrl_c(monkeypatch, arguments, argv, is_command):
    monkeypatch.setattr(sys, "orig_argv", arguments)
    monkeypatch.setattr(sys, "argv", argv)
    assert interrupt.is_command() is is_command


def test_a_program_that_imports_keeps_its_ctrl_c():
    code = "import signal, pybackprop; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    loaded_after(f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {code}")
