"""`pybackprop completion`: real shells complete real lines with the script; the words are those of the parsers."""

import os
import select
import shutil
import subprocess
import sys

import pytest

from pybackprop.cli.commands import COMMANDS
from pybackprop.cli.completion import SHELLS, nodes
from pybackprop.cli.main import main, parser

TIMEOUT = 300  # seconds
LINES = {  # what is typed before TAB: what stands there then
    "pybackprop tra": "train",
    "pybackprop train --opti": "train --optimizer",
    "pybackprop train --optimizer s": "train --optimizer sgd",
    "pybackprop train --epochs 3 --schedule one": "train --epochs 3 --schedule one-cycle",
    "pybackprop train --dtype=float6": "train --dtype=float64",
    "pybackprop lab lad": "lab ladder",
    "pybackprop lab counters --dtype float3": "lab counters --dtype float32",
    "pybackprop completion f": "completion fish",
    "pybackprop predict --model some-ho": "predict --model some-homes.npz",
    "pybackprop --vers": "--version",
}


@pytest.fixture
def script(capsys, tmp_path):
    """A shell's script in a file, in a folder with some-homes.npz."""
    (tmp_path / "some-homes.npz").touch()

    def made(shell):
        assert main(["completion", shell]) == 0
        path = tmp_path / f"completion.{shell}"
        path.write_text(capsys.readouterr().out, encoding="utf-8")
        return path

    return made


def typed(folder, command, begin, keys):
    """What the function pybackprop is called with, after an interactive shell was given keys in a terminal."""
    pty = pytest.importorskip("pty", reason="terminals of POSIX")
    theirs, ours = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "HISTFILE": "", "PS1": "", "INPUTRC": os.devnull, "LC_ALL": "C.UTF-8"}
    options = {"stdin": ours, "stdout": ours, "stderr": ours, "cwd": folder, "env": environment}
    with subprocess.Popen(command, start_new_session=True, **options) as shell:
        os.close(ours)
        heard = b""
        try:
            os.write(theirs, f"{begin}; echo rea''dy\n".encode())
            heard = until(theirs, heard, b"ready\r\n")
            os.write(theirs, keys.encode() + b"\t\n")
            heard = until(theirs, b"", b"]]")
        finally:
            shell.kill()
            os.close(theirs)
    return heard.decode().rpartition("ran[[")[2].partition("]]")[0].strip()


def until(terminal, heard, mark):
    while mark not in heard:
        assert select.select([terminal], [], [], TIMEOUT)[0], heard
        heard += os.read(terminal, 1000)
    return heard


RAN = "pybackprop() { echo \"ran\"'[['\"$*\"']'']'; }"


INTERACTIVE = {  # options of a shell without its user's files, and what it does before
    "bash": (["--norc", "--noprofile", "-i"], ""),
    "zsh": (["-f", "-i"], "autoload -U compinit; compinit -u -D; "),
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("shell", INTERACTIVE)
def test_a_shell_completes_a_line(script, shell, line):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    path, (options, before) = script(shell), INTERACTIVE[shell]
    assert typed(path.parent, [program, *options], f"{before}. {path}; {RAN}", line) == LINES[line]


@pytest.mark.parametrize("line", LINES)
def test_fish_offers_a_word(script, line):
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("fish is not installed")
    path = script("fish")
    code = f"source {path}; complete -C '{line}'"
    options = {"cwd": path.parent, "env": {**os.environ, "HOME": str(path.parent)}, "timeout": TIMEOUT}
    done = subprocess.run([fish, "--no-config", "-c", code], capture_output=True, text=True, check=True, **options)
    assert LINES[line].split(" ")[-1] in [offer.partition("\t")[0] for offer in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_parses(script, shell):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([program, "-n", script(shell)], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_the_script(script, shell):
    text = script(shell).read_text("utf-8")
    for node in nodes(parser(), ""):
        for word in node.words:
            assert (word.lstrip("-") if shell == "fish" else word) in text


def test_the_words_are_those_of_the_parsers():
    found = {node.path: node for node in nodes(parser(), "")}
    assert set(COMMANDS) <= set(found[""].words)
    assert found["train"].choices["--optimizer"] == ["sgd", "adam", "adamw"]
    assert "--worker" not in found["selftest"].words  # hidden from --help, too
    assert found["completion"].choices[""] == [*SHELLS]


def test_help_loads_no_command():
    code = "import sys, pybackprop.cli.main as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in sys.modules if name.startswith(('pybackprop.train', 'pybackprop.teach', 'rich'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)
