"""Files that random damage led to: each ends in a DataError that says what is wrong, and none passes in silence."""

import numpy as np
import pytest

from pybackprop import data
from pybackprop.data import Choices, DataError


def table(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    return path


ROWS = "".join(f"{k},{k % 3}.5,{k * 0.25}\n" for k in range(10))


@pytest.mark.parametrize("missing", data.MISSING)
@pytest.mark.parametrize("cell", ["inf", "-inf", "1e400"])
@pytest.mark.parametrize("column", ["feature", "target"])
def test_infinity_is_refused_where_cells_may_be_missing(tmp_path, missing, cell, column):
    row = f"{cell},1,2\n" if column == "feature" else f"1,1,{cell}\n"
    path = table(tmp_path, "a,b,y\n" + ROWS + row)
    with pytest.raises(DataError, match=r"found -?inf at row 10"):
        data.read(path, np.float32, Choices(task="regression", missing=missing))


@pytest.mark.parametrize("missing", [None, *data.MISSING])
def test_numbers_that_do_not_fit_float32_are_refused(tmp_path, missing):
    path = table(tmp_path, "a,b,y\n" + ROWS + "1e200,1,2\n")
    choices = Choices(task="regression", scale="none", missing=missing)
    with pytest.raises(DataError, match="as float32: found inf"):
        data.read(path, np.float32, choices)
    assert data.read(path, np.float64, choices).split.x_train.max() == 1e200


def test_they_are_refused_for_a_prediction_too(tmp_path):
    choices = Choices(task="regression", scale="none")
    description = data.read(table(tmp_path, "a,b,y\n" + ROWS), np.float32, choices).description
    with pytest.raises(DataError, match="as float32: found inf at row 0, column 1"):
        data.read_features(table(tmp_path, "a,b\n1,1e200\n"), description)


@pytest.mark.parametrize("text", [";\n;\n", "1;\n2;\n", "a;y\n2;\n", "\r\n;"])
def test_a_column_without_a_cell_is_no_error_of_numpys(tmp_path, text):
    with pytest.raises(DataError):
        data.read(table(tmp_path, text), np.float32, Choices(target="first"))


def test_a_comma_between_semicolons_is_still_a_decimal_point(tmp_path):
    rows = "".join(f"{k};{k},5;{k % 2}\n" for k in range(10))
    found = data.read(table(tmp_path, "a;b;y\n" + rows), np.float64, Choices(scale="none"))
    assert found.split.x_train[1].tolist() == [1, 1.5]


@pytest.mark.parametrize("name", ["x", "data", "images", "features"])
@pytest.mark.parametrize("array", [np.uint8(3), np.float32(1), np.array("2001-01-01", "M8[s]"), np.ones(3)])
def test_samples_without_rows_of_numbers_are_refused(tmp_path, name, array):
    path = tmp_path / "t.npz"
    np.savez(path, **{name: array})
    with pytest.raises(DataError, match="expected rows of 2 numbers"):
        data.features(path, 2)


@pytest.mark.parametrize("missing", data.MISSING)
@pytest.mark.parametrize("shape", [(6,), (6, 0), (0, 2), (0,), (6, 2, 2)])
def test_arrays_of_any_shape_with_a_choice_for_missing_cells(tmp_path, missing, shape):
    """numpy's own errors about axes and sizes never get through."""
    path, n = tmp_path / "t.npz", shape[0]
    np.savez(path, x=np.ones(shape), y=np.arange(n) % 2)
    try:
        found = data.read(path, np.float32, Choices(missing=missing))
    except DataError:
        assert 0 in shape
    else:
        assert len(found.split.x_train) + len(found.split.x_valid) == n
