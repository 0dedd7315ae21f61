"""`pybackprop explain --model`: a trained network on rows that are scaled as in its training."""

import json

import numpy as np
import pytest

import pybackprop as bp


@pytest.fixture
def tables(tmp_path):
    """A regression with a column of texts, and two classes, with models that were made for them."""
    rng = np.random.default_rng(3)
    a, b = np.round(rng.normal(size=(2, 80)) * 10, 2)
    colour, price = rng.choice(["red", "blue"], 80), np.round(3 * a - b, 2)
    lines = [f"{row[0]},{row[1]},{row[2]},{row[3]}" for row in zip(a, b, colour, price, strict=True)]
    (tmp_path / "price.csv").write_text("\n".join(["a,b,colour,price", *lines]) + "\n")
    lines = [f"{row[0]},{row[1]},{'up' if row[2] > 0 else 'down'}" for row in zip(a, b, price, strict=True)]
    (tmp_path / "trend.csv").write_text("\n".join(["a,b,label", *lines]) + "\n")
    sizes = {"price": [4, 5, 1], "trend": [2, 6, 2]}
    for name, (inputs, hidden, outputs) in sizes.items():
        description = bp.data.read(tmp_path / f"{name}.csv").description
        bp.save(bp.mlp([inputs, hidden, outputs], seed=1), tmp_path / f"{name}.npz", description=description)
    layers = [bp.Lin(2, 6), bp.Tanh(), bp.Lin(6, 2)]
    bp.save(bp.Model(layers, loss=bp.CrossEntropy()), tmp_path / "classes.npz", description=description)
    return tmp_path


def gradients(folder, model, table):
    """w1.g and w2.g of the model on the first 64 rows, by the model itself."""
    loaded = bp.load(folder / f"{model}.npz")
    description = bp.load_description(folder / f"{model}.npz")
    x, y = bp.data.read_features(folder / f"{table}.csv", description)
    if model == "price":
        y = np.asarray(description.target_scaling.apply(y, np.float32))
    elif model == "trend":
        y = np.eye(2, dtype=np.float32)[y]
    loaded(x[:64], y[:64])
    loaded.backward()
    return [p.g.data for p in loaded.parameters() if p.ndim == 2]


@pytest.mark.parametrize(("model", "table"), [("price", "price"), ("trend", "trend"), ("classes", "trend")])
def test_gradients_are_those_of_the_model_on_scaled_rows(explain, tables, model, table):
    given = "--model", tables / f"{model}.npz", "--data", tables / f"{table}.csv", "--json"
    for name, g in zip(("w1", "w2"), gradients(tables, model, table), strict=True):
        for at in np.ndindex(g.shape):
            found = json.loads(explain(*given, "--element", f"{name}[{','.join(map(str, at))}]"))
            assert found["agrees"]
            assert np.float32(found["total"]) == np.float32(found["g"]) == g[at]
            assert abs(found["check"]) < 1e-3
    chain = json.loads(explain(*given))
    assert chain["steps"][0]["g"] == "out.g"


def test_text_page_and_plot(explain, tables):
    given = "--model", tables / "price.npz", "--data", tables / "price.csv"
    said = explain(*given, "--element", "w2[1,0]", "--html", tables / "page.html")
    assert said.startswith("w2[1,0] = ")
    assert "out = l2 @ w2 + b2" in said
    assert '"w2"' in (tables / "page.html").read_text()
    assert "cross_entropy" in explain("--model", tables / "classes.npz", "--data", tables / "trend.csv")
    pytest.importorskip("matplotlib")
    explain(*given, "--element", "w2", "--plot", tables / "plot.png")
    assert (tables / "plot.png").stat().st_size > 10000


def test_the_digits_are_the_data_where_none_are_given(explain, tmp_path):
    bp.save(bp.mlp([64, 3, 10], seed=0), tmp_path / "digits.npz", description=bp.data.digits_description())
    digits = bp.data.digits()
    model = bp.load(tmp_path / "digits.npz")
    model(digits.x_valid[:64], np.eye(10, dtype=np.float32)[digits.y_valid[:64]])
    model.backward()
    for options in ([], ["--data"]):
        found = json.loads(explain("--model", tmp_path / "digits.npz", "--element", "w2[1,4]", "--json", *options))
        assert np.float32(found["total"]) == model.layers[2].w.g.data[1, 4]


def test_a_model_without_a_description_takes_the_numbers_as_they_are(explain, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)).astype(np.float32), rng.normal(size=(9, 2)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x_train=x, y_train=y, x_valid=x, y_valid=y)
    model = bp.mlp([3, 4, 2], seed=0)
    bp.save(model, tmp_path / "model.npz")
    model(x, y)
    model.backward()
    given = "--model", tmp_path / "model.npz", "--data", tmp_path / "rows.npz"
    found = json.loads(explain(*given, "--element", "w1[2,3]", "--json"))
    assert np.float32(found["total"]) == model.layers[0].w.g.data[2, 3]


ERRORS = [
    (["--model", "no.npz"], "no.npz: cannot be read"),
    (["--model", "price.npz", "--shape", "4,3,2"], "--shape: only for the built-in example; leave it out with --model"),
    (["--model", "price.npz", "--data", "price.csv", "--scale", "none"], "--scale: with --model the data are read as"),
    (["--model", "price.npz", "--data", "trend.csv"], "the model was trained on a, b, colour"),
    (["--model", "price.npz"], "the model takes 4 features"),
    (["--model", "price.npz", "--data", "price.csv", "--element", "ww1[0,0]"], "; did you mean w1?"),
    (["--model", "price.npz", "--data", "only-x.csv"], "found no targets; --model needs them for the loss"),
    (["--model", "trend.npz", "--data", "sideways.csv"], "row 1, counted from 0: found a class that the model"),
    (["--model", "classes.npz", "--data", "trend.csv", "--html", "p.html"], "--html: the page shows layers of lin and"),
    (["--model", "classes.npz", "--data", "trend.csv", "--serve"], "--serve: the page shows layers of lin and relu"),
    (["--model", "price.npz", "--data", "shards"], "holds shards, which explain does not read; give a single file"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "said"), ERRORS, ids=range(len(ERRORS)))
def test_errors_say_what_to_do(explain, tables, monkeypatch, options, said):
    monkeypatch.chdir(tables)
    (tables / "only-x.csv").write_text("a,b,colour\n1,2,red\n3,4,blue\n")
    (tables / "sideways.csv").write_text("a,b,label\n1,2,up\n3,4,sideways\n")
    (tables / "shards").mkdir()
    for k in range(2):
        np.savez(tables / "shards" / f"{k}.npz", x=np.ones((3, 4), np.float32), y=np.ones(3, np.float32))
    assert said in explain(*options)
    assert not (tables / "p.html").exists()
