"""Columns of texts as features, cells that span lines, and missing cells in both parts and at predict time."""

import json

import numpy as np
import pytest

from pybackprop import data
from pybackprop.cli.main import main
from pybackprop.data import Choices, DataError, Description

COLOURS = ("red", "blue", "green")


def table(cells, head="size,colour,kind"):
    return "\n".join([head, *(",".join(map(str, row)) for row in cells)]) + "\n"


def coloured(count=30):
    return [(k / 4 - 2, COLOURS[k % 3], "uv"[k % 2]) for k in range(count)]


@pytest.fixture
def written(tmp_path):
    def write(text, name="d.csv"):
        (tmp_path / name).write_text(text, newline="")
        return tmp_path / name

    return write


def one_hot(colours):
    return np.array([[c == known for known in sorted(COLOURS)] for c in colours], float)


# ---- texts ----


def test_a_column_of_texts_becomes_one_column_for_each_category(written):
    rows = coloured()
    found = data.read(written(table(rows)), np.float64, Choices(scale="none"))
    d = found.description
    assert (d.features, d.cells, d.columns) == (4, 2, ("size", "colour"))
    assert d.categories == ((), ("blue", "green", "red"))
    kept = [row for k, row in enumerate(rows) if k % 5 != 4]
    expected = np.column_stack([[row[0] for row in kept], one_hot([row[1] for row in kept])])
    np.testing.assert_array_equal(found.split.x_train, expected)
    assert Description.from_json(json.loads(json.dumps(d.to_json()))) == d


def test_without_a_choice_they_are_standardised_beside_numbers_and_kept_alone(written):
    found = data.read(written(table(coloured())), np.float64)
    np.testing.assert_allclose(found.split.x_train.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(found.split.x_train.std(0), 1, rtol=1e-12)
    found = data.read(written(table([row[1:] for row in coloured()], "colour,kind")), np.float64)
    assert found.description.scaling.kind == "unit"
    assert set(found.split.x_train.ravel()) == {0, 1}
    bytes_beside = [(k * 8, *row[1:]) for k, row in enumerate(coloured())]
    assert data.read(written(table(bytes_beside))).description.scaling.kind == "standard"


def test_rows_to_predict_from_are_encoded_by_the_models_categories(written):
    d = data.read(written(table(coloured())), np.float64, Choices(scale="none")).description
    for text in ("size,colour\n1,red\n2,blue\n", "colour,size\nred,1\nblue,2\n", "1,red\n2,blue\n"):
        x, _ = data.read_features(written(text), d, np.float64)
        assert x.tolist() == [[1, 0, 0, 1], [2, 1, 0, 0]]
    with pytest.raises(DataError, match=r"line 3, column 2 \(colour\): found 'violet'.*it knows blue, green, red"):
        data.read_features(written("size,colour\n1,red\n2,violet\n"), d)
    with pytest.raises(DataError, match=r"found '7', which the model was not trained with"):
        data.read_features(written("size,colour\n1,7\n2,7\n"), d)
    with pytest.raises(DataError, match=r"column 1 \(size\): found 'big', expected a number"):
        data.read_features(written("size,colour\nbig,red\nbig,red\n"), d)
    with pytest.raises(DataError, match="found 3 features in a row, expected 2"):
        data.read_features(written("1,red,u,9\n2,blue,v,9\n"), d)


def test_categories_that_look_like_numbers_are_known_again(written):
    rows = [(k / 4, ("3", "A", "B")[k % 3], "uv"[k % 2]) for k in range(30)]
    d = data.read(written(table(rows)), np.float64, Choices(scale="none")).description
    x, _ = data.read_features(written("size,colour\n1,3\n2,3\n"), d, np.float64)
    assert x.tolist() == [[1, 1, 0, 0], [2, 1, 0, 0]]


def test_texts_that_hardly_repeat_are_refused(written):
    rows = [(k / 4, f"name {k}", "uv"[k % 2]) for k in range(60)]
    with pytest.raises(DataError, match=r"column 2 \(colour\): found 60 different texts .* at most 50 .*Leave this"):
        data.read(written(table(rows)))


# ---- cells that span lines ----


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_cell_in_quotes_may_span_lines(written, end):
    rows = [(k / 4, f'"two{end}{end}# lines, {"ab"[k % 2]}"', "uv"[k % 2]) for k in range(20)]
    text = table(rows, 'size,"a ""long""\nname",kind').replace("\n", end).replace("\r\r", "\r")
    found = data.read(written(text), np.float64, Choices(scale="none"))
    assert len(found.split.x_train) + len(found.split.x_valid) == 20
    assert found.description.categories == ((), ("two\n\n# lines, a", "two\n\n# lines, b"))
    assert found.split.x_train[:2].tolist() == [[0, 1, 0], [0.25, 0, 1]]
    last = text.rstrip().count("\n") + 2
    with pytest.raises(DataError, match=rf"line {last}: found 1 columns, expected 3"):
        data.read(written(text.rstrip() + end + "odd" + end))


def test_a_quote_that_nothing_closes_swallows_no_rows(written):
    rows = [(k / 4, "ab"[k % 2] if k else '"a', "uv"[k % 2]) for k in range(20)]
    with pytest.raises(DataError, match="line 2: found a cell that begins with a quote, and no quote that ends it"):
        data.read(written(table(rows)))
    inches = [(k / 4, ('5"', '6"')[k % 2], "uv"[k % 2]) for k in range(20)]
    assert data.read(written(table(inches))).description.categories == ((), ('5"', '6"'))


# ---- missing cells ----


def test_a_validation_part_is_treated_as_the_training_part_is(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 2)), np.arange(20) % 2
    x_valid, y_valid = rng.standard_normal((9, 2)), np.arange(9) % 2
    x[3, 0] = x_valid[4, 1] = x_valid[7, 0] = np.nan
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_valid=x_valid, y_valid=y_valid)
    found = data.read(tmp_path / "d.npz", np.float64, Choices(missing="drop", scale="none"))
    np.testing.assert_array_equal(found.split.x_train, np.delete(x, 3, 0))
    np.testing.assert_array_equal(found.split.x_valid, np.delete(x_valid, [4, 7], 0))
    assert found.split.y_valid.tolist() == np.delete(y_valid, [4, 7]).tolist()
    assert found.description.reasons["missing"] == "3 of 29 rows left out"
    found = data.read(tmp_path / "d.npz", np.float64, Choices(missing="mean", scale="none"))
    means = np.nanmean(x, 0)
    np.testing.assert_allclose(found.split.x_train[3, 0], means[0], rtol=1e-15)
    np.testing.assert_allclose([found.split.x_valid[7, 0], found.split.x_valid[4, 1]], means, rtol=1e-15)
    assert found.description.reasons["missing"] == "3 cells filled"


def test_a_missing_text_is_counted_once_and_its_frequencies_fill_it(written):
    rows = coloured()
    rows[6] = (rows[6][0], "", rows[6][2])
    path = written(table(rows))
    with pytest.raises(DataError, match="found 1 missing cell in 1 of 30 rows"):
        data.read(path)
    found = data.read(path, np.float64, Choices(missing="mean", scale="none"))
    kept = [row[1] for k, row in enumerate(rows) if k % 5 != 4 and k != 6]
    np.testing.assert_allclose(found.split.x_train[5, 1:], one_hot(kept).mean(0), rtol=1e-15)
    assert found.description.reasons["missing"] == "1 cell filled"


def test_what_was_done_about_gaps_is_done_again(written, tmp_path, capsys):
    rows = coloured(40)
    rows[3] = ("", *rows[3][1:])
    path, model = written(table(rows)), tmp_path / "m.npz"
    empty_target = written("size,colour,kind\n1,red,\n,blue,u\n", "p.csv")
    for choice, count, said in (("drop", 1, "1 of 40 rows left out"), ("mean", 2, "1 cell filled")):
        train = ["train", "--data", str(path), "--save", str(model), "--hidden", "3"]
        assert main([*train, "--missing", choice, "--epochs", "1"]) == 0
        assert said in capsys.readouterr().out
        assert main(["train", "--data", str(path), "--resume", str(model), "--epochs", "2"]) == 0
        capsys.readouterr()
        assert main(["predict", "--model", str(model), "--data", str(empty_target), "--json"]) == 0
        printed = capsys.readouterr()
        assert len(json.loads(printed.out)["predictions"]) == count
        assert ("1 of 2 rows left out" in printed.err) is (choice == "drop")


def test_explain_takes_the_choices_that_its_errors_name(written, capsys):
    path = written("\n".join(f"{k % 2},{k / 4},{k % 3}" for k in range(30)) + "\n")
    assert main(["explain", "--data", str(path)]) == 1
    assert "--target first or --target last" in capsys.readouterr().err
    shapes = []
    for target in ("first", "last"):
        assert main(["explain", "--data", str(path), "--target", target, "--element", "b2", "--json"]) == 0
        shapes.append(capsys.readouterr().out)
    assert shapes[0] != shapes[1]
    assert main(["explain", "--target", "first"]) == 1
    assert "--target: the built-in data leave nothing to choose; give --data" in capsys.readouterr().err
