"""What is decided about data where nobody says: the target's column, the task, the scale; and that it can be said."""

import gzip
import io
import sys

import numpy as np
import pytest

from pybackprop import data
from pybackprop.data import Choices, DataError, Description, rules
from pybackprop.data.scaling import Scaling, holds_bytes, standard


@pytest.fixture
def written(tmp_path):
    """Writes a text to a file; its path."""

    def write(text, name="d.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def rows(count, *columns):
    """Lines of a csv; each column is a function of the row's number."""
    return "\n".join(",".join(str(column(k)) for column in columns) for k in range(count))


def third(k):
    return k % 3


def real(k):
    return k / 4 - 2


# ---- the target ----


@pytest.mark.parametrize("name", rules.TARGET_NAMES)
@pytest.mark.parametrize("spelled", [str, str.upper, lambda name: f" {name.title()} "])
def test_a_column_is_the_target_by_its_name(written, name, spelled):
    spelt = spelled(name)
    for names, columns in (([spelt, "a", "b"], (third, real, real)), (["a", "b", spelt], (real, real, third))):
        found = data.read(written(",".join(names) + "\n" + rows(30, *columns))).description
        assert (found.target, found.reasons["target"]) == (spelt.strip(), "by its name")
        assert found.columns == ("a", "b")


def test_without_such_a_name_it_is_the_last_column(written):
    found = data.read(written("a,b,c\n" + rows(30, real, real, third))).description
    assert (found.target, found.target_at, found.reasons["target"]) == ("c", 2, "the last column")
    found = data.read(written(rows(30, real, real, third))).description
    assert (found.target, found.columns) == ("column 3", ())


def test_coordinates_named_x_and_y_are_features_beside_a_class(written):
    assert data.read(written("x,y,class\n" + rows(30, real, real, third))).description.target == "class"


def test_a_choice_goes_before_all_rules(written):
    path = written("y,b,c\n" + rows(30, third, third, real))
    for choice, target in {"b": "b", "1": "b", "-2": "b", "last": "c", "first": "y"}.items():
        assert data.read(path, choices=Choices(target=choice)).description.target == target
    for choice in ("d", "3", "-4", "1.5"):
        with pytest.raises(DataError, match=f"--target {choice}: found y, b, c; expected a name, a number from 0 to 2"):
            data.read(path, choices=Choices(target=choice))


def test_what_is_ambiguous_asks(written):
    with pytest.raises(DataError, match="choose with --target first or --target last"):
        data.read(written(rows(30, third, real, third)))
    with pytest.raises(DataError, match="choose with --target label or --target y"):
        data.read(written("label,b,y\n" + rows(30, third, real, third)))
    found = data.read(written(rows(30, third, real, third)), choices=Choices(target="first")).description
    assert (found.target, found.reasons["target"]) == ("column 1", "as asked for")


def test_a_pixel_that_is_always_zero_is_no_target(written):
    path = written(rows(60, third, lambda k: k * 4, lambda k: 0))
    found = data.read(path).description
    assert (found.target, found.labels) == ("column 1", (0, 1, 2))
    with pytest.raises(DataError, match="found 0 in every row, expected at least two classes; choose the target"):
        data.read(path, choices=Choices(target="last"))


def test_a_column_that_numbers_the_rows_is_left_out(written):
    for name in ("", "Id", "index", "Unnamed: 0"):
        found = data.read(written(f"{name},a,b\n" + rows(30, lambda k: k + 1, real, third))).description
        assert (found.columns, found.left_out) == (("a",), (name,))
    assert data.read(written("id,a,b\n" + rows(30, third, real, third))).description.left_out == ()


# ---- the task ----

TASKS = {
    "texts": (np.array(["a", "b"] * 5), "classification"),
    "ten digits, once each": (np.arange(10), "classification"),
    "digits as floats": (np.arange(10.0).repeat(3), "classification"),
    "one and two": (np.array([1, 2] * 9), "classification"),
    "minus and plus one": (np.array([-1, 1] * 9), "classification"),
    "stars": (np.array([1, 2, 4, 5] * 9), "classification"),
    "letters": (np.tile(np.arange(26), 10), "classification"),
    "a hundred classes": (np.tile(np.arange(100), 10), "classification"),
    "truth": (np.array([True, False] * 5), "classification"),
    "a hundred and one": (np.tile(np.arange(101), 10), "regression"),
    "prices": (np.arange(12) * 1000 + 5000, "regression"),
    "many": (np.arange(25, 347), "regression"),
    "halves": (np.array([0.5, 1, 0.5, 1]), "regression"),
    "two columns": (np.ones((5, 2), int), "regression"),
}


@pytest.mark.parametrize("what", TASKS)
def test_whole_numbers_are_classes_if_they_are_few(what):
    y, task = TASKS[what]
    assert rules.task_of(y)[0] == task


def test_the_task_can_be_chosen(written):
    path = written("a,b\n" + rows(30, real, third))
    assert data.read(path, choices=Choices(task="regression", scale="none")).split.y_train.dtype == np.float32
    path = written("a,b\n" + rows(30, real, lambda k: k * 7))
    assert data.read(path).description.task == "regression"
    found = data.read(path, choices=Choices(task="classification"))
    assert found.description.labels == tuple(range(0, 210, 7))
    path = written("a,b\n" + rows(30, real, lambda k: "ab"[k % 2]))
    with pytest.raises(DataError, match="found 'a', expected numbers for a regression"):
        data.read(path, choices=Choices(task="regression"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows(30, real, lambda k: "unknown" if k == 9 else k * 0.7), r"line 11, column 2 \(b\): found 'unknown'"),
        (rows(30, real, lambda k: "x" if k % 3 == 0 else k * 0.7), r"line 2, column 2 \(b\): found 'x'"),
    ],
)
@pytest.mark.parametrize("task", [None, "regression"])
def test_a_slip_in_a_target_of_numbers_makes_no_classes(written, text, message, task):
    path = written("a,b\n" + text)
    with pytest.raises(DataError, match=message + r", expected a number, .* which is the target"):
        data.read(path, task=task)
    assert len(data.read(path, task="classification").description.labels) > 2


def test_a_slip_among_decimal_commas(written):
    path = written("a;b\n" + "".join(f"{k};{k},5\n" for k in range(20)) + "3;1.200,50\n")
    with pytest.raises(DataError, match=r"line 22, column 2 \(b\): found '1\.200,50', expected a number"):
        data.read(path)


def test_texts_with_some_numbers_are_classes(written):
    path = written("a,b\n" + rows(30, real, lambda k: ("7", "x", "y")[k % 3]))
    assert data.read(path).description.labels == ("7", "x", "y")


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("task", "regresion", "classification, regression"),
        ("scale", "std", "standard, bytes, none, pixels"),
        ("missing", "zap", "mean, drop"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(written, option, value, known):
    path = written("a,b\n" + rows(30, real, third))
    for ask in (
        lambda: Choices(**{option: value}),
        lambda: data.read(path, **{option: value}),
        lambda: data.dataset(path, **{option: value}),
    ):
        with pytest.raises(DataError, match=f"{option}: found '{value}', expected one of {known}"):
            ask()


def test_choices_are_given_in_one_way(written):
    path = written("a,b\n" + rows(30, real, third))
    left, right = data.read(path, target="a"), data.read(path, choices=Choices("a"))
    assert left.description == right.description
    with pytest.raises(TypeError, match="found choices and target, task, scale or missing beside them"):
        data.read(path, choices=Choices(), target="a")


def test_columns_of_the_same_name_are_refused(written):
    path = written("a,b,a,c\n" + rows(30, real, real, third, third))
    with pytest.raises(DataError, match="found columns 1 and 3 with the same name, a; give each column its own"):
        data.read(path)


def test_utf_16_is_named(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(DataError, match="is text in UTF-16; save it as UTF-8"):
        data.read(path)


def test_classes_are_numbered_in_the_order_of_their_labels(written):
    found = data.read(written("a,b\n" + rows(30, real, lambda k: (3, 1, 7)[k % 3])))
    assert found.description.labels == (1, 3, 7)
    assert found.split.y_train[:4].tolist() == [1, 0, 2, 1]


# ---- the scale ----


def test_whole_numbers_in_a_byte_are_bytes_wherever_they_come_from(tmp_path, written, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 6)).astype(np.uint8), np.arange(40) % 4
    right = data.split(x.astype(dtype) / dtype(255), y)
    np.savetxt(tmp_path / "k.csv", np.c_[y, x], "%d", ",", header="label,a,b,c,d,e,f", comments="")
    sources = [tmp_path / "k.csv"]
    for kind in ("u1", "i8", "f4", "f8"):
        sources.append(tmp_path / f"{kind}.npz")
        np.savez(sources[-1], x=x.astype(kind), y=y)
    for path in sources:
        for found in (data.read(path, dtype).split, data.dataset(path, dtype)):
            for array, expected in zip(found, right, strict=True):
                np.testing.assert_array_equal(array, expected)
                assert array.dtype == expected.dtype


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [([0, 16], "standard"), ([0, 256], "standard"), ([-1, 200], "standard"), ([0.5, 200], "standard"),
     ([0, 1], "unit"), ([0.25, 0.75], "unit"), ([0, 200], "bytes")],
)  # fmt: skip
def test_the_scale_is_decided_by_the_numbers(tmp_path, numbers, kind):
    np.savez(tmp_path / "d.npz", x=np.array(numbers * 10, float)[:, None], y=np.arange(20) % 2)
    found = data.read(tmp_path / "d.npz").description
    assert found.scaling.kind == kind
    for choice in ("standard", "bytes", "none"):
        found = data.read(tmp_path / "d.npz", choices=Choices(scale=choice)).description
        assert (found.scaling.kind, found.reasons["scale"]) == (choice, "as asked for")


def test_real_numbers_are_standardised_by_the_training_part(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 3)) * [1, 100, 0] + [0, 5, 0.1]
    x[4::5] += 1000
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(50) % 2)
    found = data.read(tmp_path / "d.npz", np.float64)
    train = found.split.x_train
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(train.std(0), [1, 1, 0], atol=1e-12)
    assert (train[:, 2] == 0).all()
    assert (found.split.x_valid[:, 0] > 100).all()
    assert (found.split.x_valid[:, 2] == 0).all()


def test_what_dataset_gives_is_in_the_files_own_units(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 3))
    np.savez(tmp_path / "d.npz", x=x, y=x @ [1.0, 2.0, 3.0] * 100)
    found = data.dataset(tmp_path / "d.npz", np.float64)
    np.testing.assert_array_equal(found.x_valid, x[4::5])
    np.testing.assert_array_equal(found.y_valid[:, 0], (x @ [1.0, 2.0, 3.0] * 100)[4::5])


def test_targets_of_a_regression_are_standardised_and_come_back(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 2))
    y = x @ [[300.0, 1.0], [5.0, 0.0]] + 1000
    np.savez(tmp_path / "d.npz", x=x, y=y)
    found = data.read(tmp_path / "d.npz", np.float64)
    np.testing.assert_allclose(found.split.y_train.std(0), 1)
    np.testing.assert_allclose(found.description.target_scaling.undo(found.split.y_valid), y[4::5])
    kept = data.read(tmp_path / "d.npz", np.float64, Choices(scale="none"))
    np.testing.assert_array_equal(kept.split.y_valid, y[4::5])


def test_bytes_and_fractions_stand_for_each_other():
    x = np.array([[0, 51, 255]], np.uint8)
    for kind in ("bytes", "unit"):
        for given in (x, x.astype(int), x.astype(float), x / 255):
            np.testing.assert_allclose(Scaling(kind).apply(given, np.float32), [[0, 0.2, 1]], rtol=1e-6)
    assert Scaling("none").apply(x, np.float32).tolist() == [[0, 51, 255]]
    assert not holds_bytes(np.zeros((0, 3)))


def test_a_constant_column_has_no_deviation_however_it_is_rounded():
    assert standard(np.full((7, 1), 0.1)).deviation == (0.0,)


# ---- tables ----


@pytest.fixture
def plain(written):
    return data.read(written("a,b,kind\n" + rows(30, real, lambda k: k * k / 8, lambda k: "xyz"[k % 3])), np.float64)


@pytest.mark.parametrize("separator", [";", "\t", ", ", " ; "])
@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz"])
def test_separators_quotes_comments_and_gzip(written, plain, separator, name):
    lines = ["# a comment", '"a","b","kind"']
    lines += [f'"{real(k)}",{k * k / 8},"{"xyz"[k % 3]}"' for k in range(30)]
    text = "\n".join(lines).replace(",", separator) + "\n\n"
    found = data.read(written(text, name), np.float64)
    assert found.description == plain.description
    for array, expected in zip(found.split, plain.split, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_a_comma_is_a_decimal_point_between_semicolons(written, plain):
    lines = [f"{real(k)};{k * k / 8};{'xyz'[k % 3]}".replace(".", ",") for k in range(30)]
    found = data.read(written("a;b;kind\n" + "\n".join(lines)), np.float64)
    np.testing.assert_array_equal(found.split.x_train, plain.split.x_train)


def test_blanks_separate_too(written):
    text = "\n".join(f"  {real(k)}   {k}  {k % 2}" for k in range(20))
    assert data.read(written(text, "d.data")).description.features == 2


def test_stdin(written, plain, monkeypatch):
    text = "a,b,kind\n" + rows(30, real, lambda k: k * k / 8, lambda k: "xyz"[k % 3])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert data.read("-", np.float64).description == plain.description


def test_a_first_line_that_counts_is_no_row(written):
    found = data.read(written("30,2,red,green,blue\n" + rows(30, real, real, third))).description
    assert (found.labels, found.features) == (("red", "green", "blue"), 2)
    assert len(data.read(written("30,2,red,green,blue\n" + rows(30, real, real, third))).split.x_train) == 24


@pytest.mark.parametrize("cell", ["", "NA", "?", "nan", " NULL "])
def test_missing_cells_are_counted_and_can_be_filled_or_dropped(written, cell):
    lines = rows(30, real, lambda k: k / 2, third).splitlines()
    lines[7], lines[9], lines[11] = f"{cell},1.5,0", f"{cell},{cell},1", f"0,0,{cell}"
    path = written("a,b,c\n" + "\n".join(lines))
    words = r"found 4 missing cells in 3 of 30 rows; choose --missing drop .* or --missing mean"
    with pytest.raises(DataError, match=words):
        data.read(path)
    dropped = data.read(path, choices=Choices(missing="drop")).split
    assert len(dropped.x_train) + len(dropped.x_valid) == 27
    kept = data.read(path, np.float64, Choices(missing="mean", scale="none"))
    assert len(kept.split.x_train) + len(kept.split.x_valid) == 29
    rest = [k for k in range(30) if k != 11]  # row 11 has no target, and every fifth of the rest is for validation
    there = [real(k) for at, k in enumerate(rest) if at % 5 != 4 and k not in (7, 9)]
    assert kept.split.x_train[6, 0] == kept.description.fill[0] == pytest.approx(np.mean(there))


def test_text_where_a_number_is_expected_is_located(written):
    path = written("a,size,c\n" + rows(9, real, lambda k: "red" if k in (3, 5) else k, third) + "\n")
    with pytest.raises(DataError, match=r"line 5, column 2 \(size\): found 'red', expected a number, as in most"):
        data.read(path)
    with pytest.raises(DataError, match="line 3: found 2 columns, expected 3"):
        data.read(written("a,b,c\n1,2,3\n1,2\n"))
    path = written("a,b\n1,2", "d.csv.gz")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="gzip: "):
        data.read(path)


def test_a_table_for_pandas(tmp_path, plain):
    pandas = pytest.importorskip("pandas")
    columns = {"a": real, "b": lambda k: k * k / 8, "kind": lambda k: "xyz"[k % 3]}
    frame = pandas.DataFrame({name: [column(k) for k in range(30)] for name, column in columns.items()})
    frame.to_stata(tmp_path / "d.dta", write_index=False)
    found = data.read(tmp_path / "d.dta", np.float64)
    assert found.description == plain.description
    np.testing.assert_array_equal(found.split.x_train, plain.split.x_train)
    (tmp_path / "d.dta").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"d\.dta: cannot be read by pandas"):
        data.read(tmp_path / "d.dta")


def test_pandas_that_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"d\.xlsx: needs the library pandas \(pip install 'pybackprop\[tables\]'\)"):
        data.read(tmp_path / "d.xlsx")


# ---- .npz ----


@pytest.mark.parametrize(
    "names",
    [("x", "y"), ("X", "y"), ("X", "Y"), ("data", "target"), ("images", "labels"),
     ("X_train", "y_train", "X_test", "y_test"), ("x_train", "y_train", "x_val", "y_val"),
     ("train_images", "train_labels", "test_images", "test_labels")],
)  # fmt: skip
def test_usual_names_in_an_npz(tmp_path, names):
    x, y = np.random.default_rng(0).random((40, 2, 2)), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", **dict(zip(names, (x, y, x[:7], y[:7]), strict=False)))
    found = data.dataset(tmp_path / "d.npz")
    assert [len(array) for array in found] == ([40, 40, 7, 7] if len(names) == 4 else [32, 32, 8, 8])
    assert len(data.read_features(tmp_path / "d.npz", data.read(tmp_path / "d.npz").description)[0]) in (7, 40)


def test_texts_are_labels_in_an_npz(tmp_path):
    np.savez(tmp_path / "d.npz", X=np.random.default_rng(0).random((20, 2)), y=np.array(["no", "yes"] * 10))
    found = data.read(tmp_path / "d.npz")
    assert found.description.labels == ("no", "yes")
    assert found.split.y_train[:2].tolist() == [0, 1]


# ---- rows to predict from ----


def test_columns_are_put_into_order_or_refused_by_name(written, plain):
    d = plain.description
    x = data.read_features(written("a,b,kind\n1,2,x\n3,4,z\n"), d, np.float64)
    assert x[1].tolist() == [0, 2]
    for text in ("b,kind,a\n2,x,1\n4,z,3\n", "b,a\n2,1\n4,3\n", "1,2\n3,4\n", "1,2,x\n3,4,z\n"):
        np.testing.assert_array_equal(data.read_features(written(text), d, np.float64)[0], x[0])
    for text, words in {
        "a,c\n1,2\n": "found no column b, unknown c; the model was trained on a, b",
        "a,b,c\n1,2,3\n": "found unknown c; the model",
        "a,b,a\n1,2,3\n": "found twice a; the model",
        "1\n2\n": "found 1 features in a row, expected 2",
        "1,2,3,4\n": "found 3 features in a row, expected 2",
    }.items():
        with pytest.raises(DataError, match=words):
            data.read_features(written(text), d)
    with pytest.raises(DataError, match=r"found 1 missing cell; the model was trained with none"):
        data.read_features(written("a,b\n1,\n2,3\n"), d)
    assert len(data.read_features(written("a,b\n1,\n2,3\n"), d, missing="drop")[0]) == 1


def test_labels_that_the_model_does_not_know(written, plain):
    assert data.read_features(written("a,b,kind\n1,2,x\n3,4,q\n"), plain.description)[1].tolist() == [0, -1]
    assert data.read_features(written("a,b,kind\n1,2,p\n3,4,q\n"), plain.description)[1] is None


def test_missing_cells_are_filled_as_in_training(written):
    lines = rows(30, real, lambda k: k / 2, third).splitlines()
    lines[7] = ",1.5,0"
    found = data.read(written("a,b,c\n" + "\n".join(lines)), np.float64, Choices(missing="mean"))
    x, _ = data.read_features(written("a,b\n,3\n"), found.description, np.float64)
    assert x[0, 0] == pytest.approx(0, abs=1e-12)


def test_a_description_comes_back_from_json(plain, tmp_path):
    import json

    for told in (plain.description, data.digits_description()):
        assert Description.from_json(json.loads(json.dumps(told.to_json()))) == told
    told = plain.description.to_json()
    for wrong in ({"task": "guessing"}, {"scaling": {"kind": "x", "mean": [], "deviation": []}}, {"features": None}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Description.from_json({**told, **wrong})
