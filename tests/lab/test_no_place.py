"""Temporary folders that are full or cannot be written, as mounted file systems: who is to blame, and what helps."""

import os
import shutil
import subprocess

import pytest

from helpers.compile_c import compilers
from helpers.processes import COMMAND, TIMEOUT
from helpers.wrong_kernels import MATMUL

HAS_COMPILER = pytest.mark.skipif(not compilers(), reason="no compiler")
READ_ONLY = "mount -o remount,bind,ro / && cd /"
REMEDY = "set TMPDIR to a folder with space"


def mounted(setup, *arguments, **variables):
    """Runs the command where a mount namespace was set up so."""
    script = f'{setup} && exec "$@"'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *COMMAND, *map(str, arguments)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def may_mount():
    """Whether this system lets a test have file systems of its own."""
    script = f"mount -t tmpfs tmpfs /mnt && {READ_ONLY} && ! touch /tmp/written && ! touch /var/tmp/written"
    unshare = shutil.which("unshare")
    return bool(unshare) and subprocess.run([unshare, "-rm", "sh", "-c", script], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not may_mount(), reason="no file system can be mounted here")


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "kernel.c"
    path.write_text(MATMUL)
    return path


@HAS_COMPILER
@pytest.mark.parametrize("size", ["8k", "40k", "100k", "300k"])
def test_a_full_folder_is_not_the_kernels_fault(kernel, tmp_path, size):
    """Full for the compiler, for its result, for the kernel's results on cases, for those on the sizes to time."""
    place = tmp_path / "small"
    place.mkdir()
    setup = f"mount -t tmpfs -o size={size} tmpfs {place}"
    done = mounted(setup, "lab", "try", kernel, "--op", "matmul", TMPDIR=str(place))
    assert done.returncode == 1
    assert REMEDY in done.stderr
    assert "CRASH" not in done.stdout
    assert list(place.iterdir()) == []


@HAS_COMPILER
@pytest.mark.parametrize(
    "arguments",
    [
        ("try", "KERNEL", "--op", "matmul"),
        ("ladder", "--size", "8"),
        ("sweep", "matmul", "--rounds", "1"),
        ("roofline",),
        ("machine", "--quick"),
    ],
)
def test_where_nothing_can_be_written(kernel, arguments, tmp_path):
    arguments = [kernel if word == "KERNEL" else word for word in arguments]
    done = mounted(READ_ONLY, "lab", *arguments, XDG_CACHE_HOME=str(tmp_path / "none"))
    assert done.returncode == 1
    assert REMEDY in done.stderr
    assert done.stdout == ""


def test_a_result_that_cannot_be_written_is_shown(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    setup = f"mount -t tmpfs -o size=4k tmpfs {place} && head -c 8192 /dev/zero > {place}/full 2> /dev/null; true"
    sweep = ("lab", "sweep", "matmul", "--shapes", "8x8x8", "--threads", "1", "--rounds", "1")
    done = mounted(setup, *sweep, "--out", place / "a.json")
    assert done.returncode == 1
    assert f"--out: {place / 'a.json'} cannot be written: No space left on device" in done.stderr
    assert "matmul: GF/s, median" in done.stdout


@pytest.mark.parametrize("option", ["--out=/a.json", "--plot=/a.png"])
def test_a_folder_that_cannot_be_written_is_noticed_before_anything_is_measured(option):
    pytest.importorskip("matplotlib")
    done = mounted(READ_ONLY, "lab", "sweep", "matmul", option)
    assert done.returncode == 1
    assert f"{option.partition('=')[0]}: the folder / cannot be written" in done.stderr
    assert done.stdout == ""
