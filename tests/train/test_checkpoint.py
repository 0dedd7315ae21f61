"""Checkpoints: what was saved is loaded, whatever is not whole and honest is refused."""

import copy
import json
import os
import struct
import sys
import tracemalloc
import zipfile
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.checkpoints import ARRAYS, META, ODD_NAN, check
from pybackprop.core.errors import CheckpointError
from pybackprop.train import checkpoint


def test_what_was_saved_is_loaded(path):
    checkpoint.save(path, ARRAYS, META)
    check(path)
    others = {"w1": ARRAYS["w1"].T, "big": np.array([1.5, -2.0], ">f8"), "nan": ODD_NAN, "every": np.arange(9.0)[::2]}
    checkpoint.save(str(path), others, {})
    check(str(path), others, {})
    checkpoint.save(path, MappingProxyType(ARRAYS), MappingProxyType(META))
    check(path)
    assert os.listdir(path.parent) == [path.name]


FLOATS = st.sampled_from([np.float32, np.float64])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
NAMES = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="\\"), max_size=9)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, hnp.arrays(FLOATS, SHAPES), max_size=4))
def test_any_arrays_come_back(path, arrays):
    checkpoint.save(path, arrays, META)
    check(path, arrays)


@pytest.mark.parametrize("name", ["__pybackprop__", "__metadata__", "a\0b", "\n", "\ud800", "a\\b", "x" * 1001])
def test_names_that_a_file_could_not_give_back_are_refused(path, name):
    with pytest.raises(CheckpointError, match="cannot hold an array named"):
        checkpoint.save(path, {name: np.ones(2)}, {})
    assert not os.listdir(path.parent)


@pytest.mark.parametrize("dtype", [np.int32, np.float16, np.complex64, object, bool])
def test_other_dtypes_are_refused(path, dtype):
    with pytest.raises(CheckpointError, match=r"w1: found .*, expected float32 or float64"):
        checkpoint.save(path, {"w1": np.ones(3, dtype)}, {})
    assert not os.listdir(path.parent)


def test_a_meta_that_json_cannot_say_is_refused(path):
    with pytest.raises(CheckpointError, match="meta: found what JSON cannot hold"):
        checkpoint.save(path, ARRAYS, {"x": object()})
    assert not os.listdir(path.parent)


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
    assert checkpoint.digest({"n": ODD_NAN}) == checkpoint.digest({"n": np.full(3, np.nan, np.float32)})
    none = np.zeros(0)
    assert checkpoint.digest({"a": none, "b": none}) != checkpoint.digest({"a <f8 (0,)\nb": none})


def test_every_truncation_and_every_changed_byte_is_noticed(path):
    arrays = {**ARRAYS, "nan": ODD_NAN}
    checkpoint.save(path, arrays, META)
    whole = path.read_bytes()
    refused = 0
    for k in range(len(whole)):
        for damaged in (whole[:k], whole[:k] + bytes([whole[k] ^ 0x11]) + whole[k + 1 :]):
            path.write_bytes(damaged)
            try:
                check(path, arrays)  # a date in the archive may change, the content not
            except CheckpointError as error:
                assert str(path) in str(error)  # noqa: PT017 (most, not all, of them must be refused)
                refused += 1
    assert refused >= len(whole)


@pytest.mark.parametrize("installed", [True, False])
def test_what_is_no_checkpoint_is_refused(tmp_path, monkeypatch, installed):
    if not installed:
        monkeypatch.setitem(sys.modules, "safetensors", None)
    path = tmp_path / "some"
    for content in (b"P", b"PK", b"PK\3\4", b"\x89PNG\r\n", b"\0" * 100, b"\xff" * 100, b"PK" + b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(
            CheckpointError, match=r"some: (is damaged or not|found a file that .* expected) a checkpoint"
        ):
            checkpoint.load(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="some: found an empty file, expected"):
        checkpoint.load(path)
    for missing in (tmp_path / "missing", tmp_path):
        with pytest.raises(CheckpointError, match=f"{missing.name}: cannot be read"):
            checkpoint.load(missing)
    with pytest.raises(CheckpointError, match="null"):
        checkpoint.load("a\0b")


def test_a_foreign_archive_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, w1=np.ones(3))
    with pytest.raises(CheckpointError, match=r"^[^:]*: is not a checkpoint of"):
        checkpoint.load(path)
    np.savez(path, w1=np.array([None]))
    with pytest.raises(CheckpointError, match="unpickling"):
        checkpoint.load(path)
    np.savez_compressed(path, w1=np.zeros(1000))
    with pytest.raises(CheckpointError, match="compressed"):
        checkpoint.load(path)


@pytest.mark.parametrize("dtype", ["F32", "F64", "BF16", "F8_E4M3", "I64"])
def test_foreign_safetensors_are_refused(tmp_path, dtype):
    pytest.importorskip("safetensors")
    header = json.dumps({"w1": {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "x.npz"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(CheckpointError, match=r"^[^:]*: is not a checkpoint of"):
        checkpoint.load(path)


def test_another_version_or_dtype_is_refused(path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", "2")
    checkpoint.save(path, ARRAYS, META)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="version: found 2, expected 1"):
        checkpoint.load(path)
    monkeypatch.setattr(checkpoint, "_check_dtype", lambda *_: None)
    checkpoint.save(path, {"w1": np.ones(3, np.int32)}, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="w1: found int32"):
        checkpoint.load(path)


@pytest.mark.parametrize("told", ["no JSON", "[1]", "[" * 100_000, "\ud800", "1" * 5000])
def test_a_forged_meta_is_refused(path, monkeypatch, told):
    monkeypatch.setattr(checkpoint, "_as_json", lambda *_: told)
    if path.suffix == ".safetensors" and not told.isprintable():
        pytest.skip("safetensors itself refuses it")
    checkpoint.save(path, ARRAYS, {})
    with pytest.raises(CheckpointError, match="meta: found"):
        checkpoint.load(path)


def npy_bytes(shape, descr="<f8", data=b""):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def refused_in_little_memory(path, match):
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=match):
        checkpoint.load(path)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_headers_that_lie_allocate_nothing(tmp_path):
    path = tmp_path / "x.npz"
    lies = {(2**40,): "1099511627776.*found 0", (0, 2**70): "dimension", (-1, -1): "found 0", (0,) * 70: "64|32"}
    for shape, match in lies.items():
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w1.npy", npy_bytes(shape))
        refused_in_little_memory(path, rf"x\.npz.*w1\.npy: .*({match})")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__pybackprop__.npy", npy_bytes((10**5,), "|u1", b"[" * 10**5))
    with pytest.raises(CheckpointError, match="meta: found invalid JSON"):
        checkpoint.load(path)


def test_bombs_do_not_go_off(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w1.npy", npy_bytes((10**6,), data=bytes(8 * 10**6)))
    refused_in_little_memory(path, "8000128 bytes.*compressed")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w0.npy", npy_bytes((10**4,), data=bytes(8 * 10**4)))
        for k in range(1, 200):  # the same bytes, again and again
            again = copy.copy(archive.filelist[0])
            again.filename = f"w{k}.npy"
            archive.filelist.append(again)
    refused_in_little_memory(path, "16025600 bytes.*overlap")


def test_other_endings_are_refused_before_anything_is_written(tmp_path):
    for name in ("model.pt", "model", "model.npy"):
        with pytest.raises(CheckpointError, match=r"expected \.safetensors or \.npz"):
            checkpoint.save(tmp_path / name, ARRAYS, META)
    assert not os.listdir(tmp_path)


def test_without_safetensors_its_absence_is_explained(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    monkeypatch.setitem(sys.modules, "safetensors", None)
    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    for act in (lambda: checkpoint.save(path, ARRAYS, META), lambda: checkpoint.load(path)):
        with pytest.raises(CheckpointError, match=r"pip install 'pybackprop\[safetensors\]'.*\.npz"):
            act()
    checkpoint.save(tmp_path / "m.npz", ARRAYS, META)
    check(tmp_path / "m.npz")
