"""Checkpoints: whole or refused, whatever happens to the process or the file."""

import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from compare import assert_same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pybackprop import checkpoint
from pybackprop.errors import CheckpointError

ARRAYS = {"w1": np.arange(6, dtype=np.float32).reshape(2, 3), "b1": np.array([0.5, -0.0]), "s": np.array(np.nan)}
META = {"epoch": 3, "words": "é", "list": [1, 2.5, None]}


@pytest.fixture(params=["npz", "safetensors"])
def path(request, tmp_path):
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model.{request.param}"


def check(path, arrays=ARRAYS, meta=META):
    found, told = checkpoint.load(path)
    assert told == meta
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        assert_same_bits(found[name], array)
        assert found[name].flags.c_contiguous
        assert found[name].flags.writeable


def test_what_was_saved_is_loaded(path):
    checkpoint.save(path, ARRAYS, META)
    check(path)
    checkpoint.save(str(path), {"w1": ARRAYS["w1"].T}, {})
    check(str(path), {"w1": ARRAYS["w1"].T}, {})
    assert os.listdir(path.parent) == [path.name]


FLOATS = st.sampled_from([np.float32, np.float64])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9.]{0,8}", fullmatch=True), hnp.arrays(FLOATS, SHAPES), max_size=4))
def test_any_arrays_come_back(path, arrays):
    checkpoint.save(path, arrays, META)
    check(path, arrays)


def test_the_name_may_have_changed(path):
    checkpoint.save(path, ARRAYS, META)
    check(path.rename(path.with_name("anything")))


def test_the_digest_is_the_same_on_every_machine():
    assert checkpoint.digest({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert checkpoint.digest(ARRAYS) == "fa573035bcdc836859e48ecd0f7d9e7eadc3ee0525d1a24eddf55bb80a57d953"


def test_the_digest_sees_everything_but_the_order_and_the_memory():
    a, b = np.array([1.0, 2.0]), np.array([[3.0]], np.float32)
    found = checkpoint.digest({"a": a, "b": b})
    assert checkpoint.digest({"b": b, "a": a}) == found
    assert checkpoint.digest({"a": a.astype(">f8"), "b": np.asfortranarray(b)}) == found
    assert checkpoint.digest({"a": np.repeat(a, 2)[::2], "b": b}) == found
    different = [
        {"a": a},
        {"c": a, "b": b},
        {"a": a[::-1], "b": b},
        {"a": a, "b": b[0]},
        {"a": a, "b": b.astype(float)},
        {"a": np.nextafter(a, 9), "b": b},
        {"a": np.array([1.0, np.nan]), "b": b},
    ]
    digests = [checkpoint.digest(arrays) for arrays in different]
    assert len({found, *digests}) == len(different) + 1
    assert checkpoint.digest({"a": np.array([0.0])}) != checkpoint.digest({"a": np.array([-0.0])})


def test_every_truncation_and_every_changed_byte_is_noticed(path):
    checkpoint.save(path, ARRAYS, META)
    whole = path.read_bytes()
    refused = 0
    for k in range(len(whole)):
        for damaged in (whole[:k], whole[:k] + bytes([whole[k] ^ 0x11]) + whole[k + 1 :]):
            path.write_bytes(damaged)
            try:
                check(path)  # a date in the archive may change, the content not
            except CheckpointError as error:
                assert str(path) in str(error)  # noqa: PT017 (most, not all, of them must be refused)
                refused += 1
    assert refused >= len(whole)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"P", b"PK", b"PK\3\4", b"\x89PNG\r\n", b"\0" * 100, b"\xff" * 100, b"PK" + b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="file"):
            checkpoint.load(path)
    for missing in (tmp_path / "missing", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            checkpoint.load(missing)


def test_a_foreign_archive_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, w1=np.ones(3))
    with pytest.raises(CheckpointError, match="no checkpoint of"):
        checkpoint.load(path)
    np.savez(path, w1=np.array([None]))
    with pytest.raises(CheckpointError, match="unpickling"):
        checkpoint.load(path)
    np.savez_compressed(path, w1=np.zeros(1000))
    with pytest.raises(CheckpointError, match="compressed"):
        checkpoint.load(path)
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"w1": np.ones(3)}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of"):
        checkpoint.load(path)


def test_another_version_or_dtype_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", "2")
    checkpoint.save(path, ARRAYS, META)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="version: found 2, expected 1"):
        checkpoint.load(path)
    monkeypatch.setattr(checkpoint, "_integrity", lambda arrays, told: "")
    checkpoint.save(path, {"w1": np.ones(3, np.int32)}, {})
    with pytest.raises(CheckpointError, match="w1: found int32"):
        checkpoint.load(path)


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path):
    import tracemalloc

    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w1.npy", b"\x93NUMPY\x01\x00\x76\x00" + repr(
            {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
        ).encode().ljust(117) + b"\n")  # fmt: skip
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"w1\.npy: shape: .*1099511627776.*found 0"):
        checkpoint.load(path)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_other_endings_are_refused_before_anything_is_written(tmp_path):
    for name in ("model.pt", "model", "model.npy"):
        with pytest.raises(CheckpointError, match=r"expected \.safetensors or \.npz"):
            checkpoint.save(tmp_path / name, ARRAYS, META)
    assert not os.listdir(tmp_path)


def test_without_safetensors_its_absence_is_explained(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match=r"pip install 'pybackprop\[safetensors\]'.*\.npz"):
        checkpoint.save(path, ARRAYS, META)


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


def test_where_nothing_can_be_written_it_says_so(path, tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.save(tmp_path / "no" / path.name, ARRAYS, META)
    with pytest.raises(CheckpointError, match="there is no folder"):
        checkpoint.check_place(tmp_path / "no" / path.name)
    checkpoint.check_place(path)
    path.mkdir()
    for write in (lambda: checkpoint.save(path, ARRAYS, META), lambda: checkpoint.check_place(path)):
        with pytest.raises(CheckpointError, match="cannot be written"):
            write()
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="links and permissions as POSIX has them")
def test_links_are_followed_and_permissions_are_those_of_any_new_file(path, tmp_path):
    real = tmp_path / "elsewhere"
    real.mkdir()
    path.symlink_to(real / path.name)
    checkpoint.save(path, ARRAYS, META)
    assert path.is_symlink()
    check(real / path.name)
    plain = tmp_path / "plain"
    plain.touch()
    assert (real / path.name).stat().st_mode == plain.stat().st_mode


SAVES_FOR_EVER = """
import sys, numpy as np
from pybackprop import checkpoint
k = 0
while True:
    checkpoint.save(sys.argv[1], {"w1": np.full(20000, float(k)), "b1": np.full(3, float(k))}, {"k": k})
    k += 1
    print(k, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
def test_a_killed_process_leaves_a_whole_file(path):
    for attempt in range(8):
        process = subprocess.Popen([sys.executable, "-c", SAVES_FOR_EVER, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        saved = int(rest[-1]) if rest else 1
        arrays, meta = checkpoint.load(path)
        assert meta["k"] >= saved - 1
        assert (arrays["w1"] == meta["k"]).all()
        assert (arrays["b1"] == meta["k"]).all()
