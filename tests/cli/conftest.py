"""What tests of commands share."""

import json

import pytest

from pybackprop.cli.main import main


@pytest.fixture
def run(capsys):
    """Runs a command with --json in this process; the object that it printed, or what it said."""

    def run(*options, code=0):
        capsys.readouterr()
        assert main([*map(str, options), "--json"]) == code
        printed = capsys.readouterr()
        return json.loads(printed.out) if code == 0 else printed.err

    return run


@pytest.fixture
def explain(capsys):
    """Runs `explain` in this process; what it printed, or the error."""

    def run(*options):
        code = main(["explain", *map(str, options)])
        printed = capsys.readouterr()
        return printed.out if code == 0 else printed.err

    return run
