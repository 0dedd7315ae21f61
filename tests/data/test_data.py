"""Data: what files hold, and that whatever is not whole and honest is refused by name."""

import gzip
import hashlib
import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pybackprop import data
from pybackprop.data import DataError

IDX_TYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]


# ---- the built-in digits ----


def test_digits_are_the_published_ones():
    split = data.digits()
    assert [array.shape for array in split] == [(1438, 64), (1438,), (359, 64), (359,)]
    assert (split.x_train.dtype, split.y_train.dtype) == (np.float32, np.int64)
    assert 0 == split.x_train.min() < split.x_train.max() == 1
    assert set(split.y_train) == set(split.y_valid) == set(range(10))
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in data.digits(np.float64))
    assert hashlib.sha256(content).hexdigest() == "32821a31c3ffd5d5efe175021e392fa8063e6f665b243f25047e948f74e1bc9b"


def test_digits_equal_scikit_learns():
    original = pytest.importorskip("sklearn.datasets").load_digits()
    split = data.digits(np.float64)
    valid = np.arange(1797) % 5 == 4
    np.testing.assert_array_equal(split.x_valid * 16, original.data[valid])
    np.testing.assert_array_equal(split.x_train * 16, original.data[~valid])
    np.testing.assert_array_equal(split.y_valid, original.target[valid])


def test_every_fifth_row_is_for_validation():
    split = data.split(np.arange(12)[:, None], np.arange(12))
    assert split.y_valid.tolist() == [4, 9]
    assert split.x_train.ravel().tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]
    with pytest.raises(DataError, match="found 4 rows, expected at least 5"):
        data.split(np.ones((4, 1)), np.ones(4))
    with pytest.raises(DataError, match="one for each row"):
        data.split(np.ones((9, 1)), np.ones(8))


def test_what_is_not_finite_is_located():
    array = np.ones((3, 4))
    data.check_finite("x", array)
    data.check_finite("labels", np.arange(3))
    array[1, 2], array[2, 0] = np.inf, np.nan
    with pytest.raises(DataError, match=r"x: found inf at row 1, column 2 \(counted from 0\), 2 such values of 12"):
        data.check_finite("x", array)


# ---- IDX ----


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(IDX_TYPES).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=4, min_side=0, max_side=5))
    ),
    st.booleans(),
)
def test_idx_comes_back(tmp_path, array, packed):
    path = tmp_path / ("a.idx.gz" if packed else "a.idx")
    data.write_idx(path, array)
    found = data.load(path)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


def idx(kind=8, shape=(2, 3), body=bytes(range(6)), magic=b"\0\0"):
    return magic + bytes([kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


LIES = {
    "nothing": (b"", "no line of numbers"),
    "half a magic": (b"\0\0\x08", "magic: found 00 00 08"),
    "unknown type": (idx(kind=7), "element type: found 0x07"),
    "no dimensions": (idx(shape=(), body=b""), "number of dimensions: found 0"),
    "too many dimensions": (b"\0\0\x08\xff" + b"\0" * 2000, "number of dimensions: found 255"),
    "half the sizes": (b"\0\0\x08\x02\0\0\0\x02\0", "dimensions: found 5 bytes, expected 8"),
    "a byte too few": (idx(body=bytes(5)), "need 6 bytes, found 5"),
    "a byte too many": (idx(body=bytes(7)), "need 6 bytes, found 7"),
    "a size that lies": (idx(shape=(2**31, 2**31)), "need 4611686018427387904 bytes, found 6"),
    "a product that overflows": (idx(kind=14, shape=(2**32 - 1,) * 4), "need "),
}


@pytest.mark.parametrize("lie", LIES)
def test_idx_that_lies_is_refused_before_anything_is_allocated(tmp_path, lie):
    content, words = LIES[lie]
    path = tmp_path / "lie.idx"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=words) as caught:
        data.load(path)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    assert str(path) in str(caught.value)
    if content:
        path.write_bytes(gzip.compress(content))
        with pytest.raises(DataError, match=r"lie\.idx"):
            data.load(path)


def test_a_gzip_that_goes_on_for_ever_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx() + bytes(200_000_000), 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="more than 6 bytes, expected 6"):
        data.load(path)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_every_truncation_is_refused_and_no_changed_byte_breaks_out(tmp_path):
    path = tmp_path / "x"
    npy = io.BytesIO()
    np.save(npy, np.arange(6.0).reshape(2, 3))
    npz = io.BytesIO()
    np.savez_compressed(npz, x=np.arange(6.0), y=np.arange(3))
    for whole in (idx(), gzip.compress(idx()), npy.getvalue(), npz.getvalue()):
        for k in range(1, len(whole)):
            path.write_bytes(whole[:k])
            with pytest.raises(DataError, match="x"):
                data.load(path)
            path.write_bytes(whole[:k] + bytes([whole[k] ^ 0x15]) + whole[k + 1 :])
            try:
                data.load(path)
            except DataError as error:
                assert str(path) in str(error)  # noqa: PT017 (some changes are harmless)


def test_write_idx_refuses_what_idx_lacks(tmp_path):
    for array in (np.ones(3, np.int64), np.ones(3, complex), np.float32(1)):
        with pytest.raises(DataError, match="IDX cannot hold"):
            data.write_idx(tmp_path / "x", array)


# ---- .npy, .npz ----


class Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_nothing_is_ever_unpickled(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([Harmful()], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"x\.npy: dtype: found Python objects"):
        data.load(path)
    np.savez(tmp_path / "x.npz", x=np.array([Harmful()], object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        data.load(tmp_path / "x.npz")


NPY = {
    "whole numbers": np.arange(6).reshape(2, 3),
    "by columns": np.asfortranarray(np.ones((2, 3))),
    "nothing": np.ones((0, 3)),
    "one number": np.array(2.5),
    "big-endian": np.arange(3, dtype=">f4"),
    "bool": np.array([True]),
}


@pytest.mark.parametrize("array", NPY.values(), ids=NPY)
def test_npy_and_npz_come_back(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", a=array, b=np.arange(2))
    for found in (data.load(tmp_path / "x.npy"), data.load(str(tmp_path / "x.npz"))["a"]):
        np.testing.assert_array_equal(found, array)
        assert found.dtype.isnative


def npy_header(shape, descr="<f8"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("shape", "words"), [((2**40,), "takes 8796093022208 bytes, found 8"), ((-1,), "shape"), ((2**62, 4), "takes")]
)
def test_npy_that_lies_is_refused_before_anything_is_allocated(tmp_path, shape, words):
    content = npy_header(shape) + bytes(8)
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        tracemalloc.start()
        with pytest.raises(DataError, match=words):
            data.load(path)
        assert tracemalloc.get_traced_memory()[1] < 10**6
        tracemalloc.stop()


# ---- .csv ----


def test_csv_with_and_without_names(tmp_path):
    path = tmp_path / "x.csv"
    for text in ("1,2\n3,4.5\n", "a,b\n1,2\n3,4.5", '\ufeff"a","b"\r\n1,2\r\n\r\n3,4.5\r\n'):
        path.write_text(text, encoding="utf-8")
        assert data.load(path).tolist() == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line of numbers"),
        ("a,b\n", "no line of numbers"),
        ("1,2\n3\n", "line 2: found 1 columns, expected 2"),
        ("1,2\n3,x\n", "line 2, column 2: found 'x', expected a number"),
        ("a,b\n1,2\n3,\n", "line 3, column 2: found '', expected a number"),
        ("a,b,c\n1,2\n", "found 3 names for 2 columns"),
        ("1;2\n3;4\n", "line 2|no line of numbers"),
    ],
)
def test_csv_that_is_not_numbers_names_line_and_column(tmp_path, text, words):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        data.load(path)


def test_what_is_no_text_and_what_is_not_there(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(DataError, match=r"neither IDX, \.npy, \.npz nor text"):
        data.load(path)
    for missing in (tmp_path / "no", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            data.load(missing)


# ---- MNIST's folder ----


def write_mnist(folder, parts=("train", "t10k"), mark="-", end="", n=20):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n, 4, 3)).astype(np.uint8), (np.arange(n) % 10).astype(np.uint8)
    for part in parts:
        data.write_idx(folder / f"{part}-images{mark}idx3-ubyte{end}", images)
        data.write_idx(folder / f"{part}-labels{mark}idx1-ubyte{end}", labels)
    return images, labels


@pytest.mark.parametrize(("mark", "end"), [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")])
def test_mnist_in_every_spelling(tmp_path, mark, end, dtype):
    images, labels = write_mnist(tmp_path, mark=mark, end=end)
    split = data.mnist(tmp_path, dtype)
    np.testing.assert_array_equal(split.x_train, images.reshape(20, 12).astype(dtype) / dtype(255))
    assert split.x_valid.dtype == dtype
    np.testing.assert_array_equal(split.y_valid, labels)


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_mnist_with_two_files_is_split(tmp_path, part):
    write_mnist(tmp_path, [part])
    assert [len(array) for array in data.mnist(tmp_path)] == [16, 16, 4, 4]


def test_mnist_that_is_not_whole(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"found notes\.txt, expected train-images"):
        data.mnist(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        data.mnist(tmp_path / "no")
    _, labels = write_mnist(tmp_path)
    data.write_idx(tmp_path / "t10k-labels-idx1-ubyte", labels[:-1])
    with pytest.raises(DataError, match="expected one for each row"):
        data.mnist(tmp_path)
    data.write_idx(tmp_path / "t10k-labels-idx1-ubyte", labels[:, None])
    with pytest.raises(DataError, match="number of dimensions: found 2, expected 1"):
        data.mnist(tmp_path)
    data.write_idx(tmp_path / "t10k-labels-idx1-ubyte", labels.astype(np.float32))
    with pytest.raises(DataError, match="labels: found float32"):
        data.mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels is missing"):
        data.mnist(tmp_path)


# ---- whatever --data takes ----


def test_dataset_from_npz(tmp_path):
    path = tmp_path / "d.npz"
    x, y = np.arange(40, dtype=np.uint8).reshape(10, 2, 2), np.arange(10)
    np.savez(path, x=x, y=y)
    split = data.dataset(path)
    np.testing.assert_array_equal(split.x_valid, x[4::5].reshape(2, 4).astype(np.float32) / np.float32(255))
    assert split.y_valid.tolist() == [4, 9]
    for third, fourth in (("x_valid", "y_valid"), ("x_test", "y_test")):
        np.savez(path, x_train=x / 2, y_train=y / 2, **{third: x[:3], fourth: y[:3] / 2})
        split = data.dataset(path, np.float64)
        assert split.y_train.shape == (10, 1)
        assert len(split.x_valid) == 3
    np.savez(path, x_train=x, y_train=y)
    assert len(data.dataset(path).x_valid) == 2


def test_dataset_from_csv(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("\n".join(f"{k},{k / 2},{k % 3}" for k in range(10)))
    split = data.dataset(path)
    assert split.y_train.tolist() == [k % 3 for k in range(10) if k % 5 != 4]
    assert split.x_valid.tolist() == [[4, 2], [9, 4.5]]
    path.write_text("Label,a,b\n" + "\n".join(f"{k % 3},{k},{k / 2}" for k in range(10)))
    np.testing.assert_array_equal(data.dataset(path).x_valid, split.x_valid)
    path.write_text("\n".join(f"{k},{k / 2 - 1}" for k in range(10)))
    assert data.dataset(path).y_train.shape == (8, 1)


def test_a_dataset_that_is_none(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, images=np.ones((9, 2)))
    with pytest.raises(DataError, match="found images, expected x and y"):
        data.dataset(path)
    np.savez(path, x=np.array(["a"] * 9), y=np.ones(9))
    with pytest.raises(DataError, match="x: found <U1"):
        data.dataset(path)
    np.savez(path, x=np.array([[1.0]] * 7 + [[np.nan]] * 2), y=np.ones(9))
    with pytest.raises(DataError, match=r"d\.npz: x: found nan at row 7, column 0"):
        data.dataset(path)
    np.save(tmp_path / "d.npy", np.ones((9, 2)))
    with pytest.raises(DataError, match="holds one array"):
        data.dataset(tmp_path / "d.npy")
    (tmp_path / "d.csv").write_text("1\n2\n")
    with pytest.raises(DataError, match="found one column"):
        data.dataset(tmp_path / "d.csv")


def test_features_to_predict_from(tmp_path):
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 3
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    np.savez(tmp_path / "xy.npz", x=x, y=y)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    np.savetxt(tmp_path / "xy.csv", np.c_[x, y], delimiter=",")
    for name, labelled in {"x.npy": 0, "x.npz": 0, "xy.npz": 1, "x.csv": 0, "xy.csv": 1}.items():
        found, labels = data.features(tmp_path / name, 2)
        np.testing.assert_array_equal(found, x)
        assert (labels is not None) == labelled
        if labelled:
            np.testing.assert_array_equal(labels, y)
        with pytest.raises(DataError, match=r"found [123] features in a row, expected 7"):
            data.features(tmp_path / name, 7)
    data.write_idx(tmp_path / "x.idx", np.ones((3, 2, 4), np.uint8))
    assert data.features(tmp_path / "x.idx", 8)[0].shape == (3, 8)
    write_mnist(tmp_path)
    assert data.features(tmp_path, 12)[0].shape == (20, 12)
