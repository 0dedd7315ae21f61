"""Checkpoints: whole or refused, whatever happens to the process, the disk or the place."""

import os
import random
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers.checkpoints import ARRAYS, META, ODD_NAN, check
from helpers.processes import ended
from pybackprop.core.errors import CheckpointError
from pybackprop.train import checkpoint


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch, broken):
    checkpoint.save(path, ARRAYS, META)

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(path, {"w1": np.zeros(3)}, {})
    monkeypatch.undo()
    check(path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere folders cannot be flushed")
def test_the_file_is_on_the_disk_before_its_name_and_then_the_name(path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def watch_fsync(file):
        found = os.fstat(file)
        done.append("folder" if stat.S_ISDIR(found.st_mode) else found.st_size)
        fsync(file)

    def watch_replace(old, new):
        done.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "replace", watch_replace)
    checkpoint.save(path, ARRAYS, META)
    assert done == [path.stat().st_size, "replace", "folder"]


FULL = """
import resource, sys, numpy as np
from pybackprop.train import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
for n in (10**5, 1249):  # while the data is written, or only at the end
    try:
        checkpoint.save(sys.argv[1], {"a": np.zeros(n), "b": np.zeros(9)}, {})
    except checkpoint.CheckpointError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits as POSIX has them")
def test_a_disk_that_is_full_leaves_the_old_file(path):
    checkpoint.save(path, ARRAYS, META)
    command = [sys.executable, "-W", "error", "-c", FULL, path]
    done = ended(command)
    assert done.returncode == 0
    assert done.stdout == f"{path}: cannot be written: File too large\n" * 2
    assert not done.stderr
    check(path)
    assert os.listdir(path.parent) == [path.name]


def test_where_nothing_can_be_written_it_says_so(path, tmp_path, monkeypatch):
    def refused(place, match):
        for write in (lambda: checkpoint.save(place, ARRAYS, META), lambda: checkpoint.check_place(place)):
            with pytest.raises(CheckpointError, match=f"{path.suffix}: cannot be written: {match}"):
                write()

    refused(tmp_path / "no" / path.name, "there is no folder .*no$")
    refused(str(tmp_path / "nul\0") + path.suffix, ".*null")
    checkpoint.check_place(path)
    path.mkdir()
    refused(path, "it is a folder")
    path.rmdir()
    path.write_bytes(b"old")
    for forbidden in (path, tmp_path):
        monkeypatch.setattr(os, "access", lambda place, mode, forbidden=forbidden: place != forbidden)
        refused(path, "no permission")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
def test_links_are_followed_and_pipes_left_alone(path, tmp_path):
    real = tmp_path / "elsewhere"
    real.mkdir()
    path.symlink_to(real / path.name)
    for arrays in (ARRAYS, {"w1": ODD_NAN}):
        checkpoint.save(path, arrays, META)
        assert path.is_symlink()
        check(real / path.name, arrays)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(CheckpointError, match="leads to itself"):
        checkpoint.save(path, ARRAYS, META)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        checkpoint.save(path, ARRAYS, META)
    assert path.is_fifo()


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_that_open_would_give(path, mask):
    before = os.umask(mask)
    try:
        checkpoint.save(path, ARRAYS, META)
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask
        for mode in (0o600, 0o664):
            path.chmod(mode)
            checkpoint.save(path, ARRAYS, META)
            assert path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_private_file_is_private_while_it_is_written(path, monkeypatch):
    checkpoint.save(path, ARRAYS, META)
    path.chmod(0o600)
    chmod, modes = os.chmod, []

    def watch(name, mode):
        modes.append(os.stat(name).st_mode & 0o777)
        chmod(name, mode)

    monkeypatch.setattr(os, "chmod", watch)
    checkpoint.save(path, ARRAYS, META)
    assert modes == [0o600]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere whole paths are limited")
def test_a_name_may_be_as_long_as_the_file_system_allows(path):
    longest = path.with_name("n" * (255 - len(path.suffix)) + path.suffix)
    checkpoint.save(longest, ARRAYS, META)
    check(longest)


SAVES_FOR_EVER = """
import sys, numpy as np
from pybackprop.train import checkpoint
k = 0
while True:
    checkpoint.save(sys.argv[1], {"w1": np.full(20000, float(k)), "b1": np.full(3, float(k))}, {"k": k})
    k += 1
    print(k, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
def test_a_killed_process_leaves_a_whole_file(path):
    chance = random.Random(path.suffix)
    for _ in range(15):
        process = subprocess.Popen([sys.executable, "-c", SAVES_FOR_EVER, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        saved = int(rest[-1]) if rest else 1
        arrays, meta = checkpoint.load(path)
        assert meta["k"] >= saved - 1
        assert (arrays["w1"] == meta["k"]).all()
        assert (arrays["b1"] == meta["k"]).all()
