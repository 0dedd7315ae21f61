"""Types, as a user's type checker sees them; each test runs where its checker is installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPLETE = 0.95  # share of the names that other modules see whose types are known without inference


def run(tool, *arguments):
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed")
    command = [sys.executable, "-m", tool, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(("tool", "arguments"), [("mypy", ["--strict"]), ("pyright", [])], ids=["mypy", "pyright"])
def test_a_users_program_has_no_type_errors(tool, arguments):
    result = run(tool, *arguments, ROOT / "tests" / "typing_surface.py")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("tool", "arguments"), [("mypy", ["--strict"]), ("pyright", [])], ids=["mypy", "pyright"])
def test_what_does_not_exist_is_found(tmp_path, tool, arguments):
    wrong = ["bp.Linear(784, 50)", "bp.mlp([784, 10]).fit()", "bp.tensor([1.0]).grad", "bp.lin(1)"]
    program = tmp_path / "wrong.py"
    program.write_text("import pybackprop as bp\n\n" + "\n".join(wrong) + "\n")
    found = run(tool, *arguments, program).stdout
    assert [f":{line}:" in found for line in range(3, 3 + len(wrong))] == [True] * len(wrong), found


def test_types_are_complete():
    result = run("pyright", "--verifytypes", "pybackprop", "--ignoreexternal", "--outputjson")
    score = json.loads(result.stdout)["typeCompleteness"]["completenessScore"]
    assert score >= COMPLETE
