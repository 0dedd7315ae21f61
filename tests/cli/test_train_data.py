"""`train` and `predict` on data that people have, with no option: what is decided is right, said, and kept."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.cli.main import main
from pybackprop.train import checkpoint

IRIS = Path(__file__).parents[1] / "data" / "iris.csv"


def test_iris(run, tmp_path):
    found = run("train", "--data", IRIS, "--save", tmp_path / "m.npz")
    assert found["accuracy"] >= 0.93
    facts = found["data"]
    assert (facts["target"], facts["task"], facts["classes"]) == ("species", "classification", 3)
    assert facts["labels"] == ["setosa", "versicolor", "virginica"]
    assert (facts["scale"], facts["reasons"]["target"]) == ("standard", "the last column")
    assert found["warnings"] == []
    told = run("predict", "--model", tmp_path / "m.npz", "--data", IRIS)
    assert told["accuracy"] >= 0.95
    assert set(told["predictions"]) == set(facts["labels"])


WANTED = {"iris": 0.93, "wine": 0.95, "breast_cancer": 0.95, "digits": 0.94, "diabetes": 0.4}


@pytest.mark.parametrize("name", WANTED)
def test_scikit_learns_data_as_csv(run, tmp_path, name):
    sets = pytest.importorskip("sklearn.datasets")
    known = getattr(sets, f"load_{name}")()
    names = [*map(str, known.feature_names), "target"]
    table = np.c_[known.data, known.target]
    np.savetxt(tmp_path / "d.csv", table, "%.17g", ",", header=",".join(names), comments="")
    found = run("train", "--data", tmp_path / "d.csv", "--save", tmp_path / "m.npz")
    classes = None if name == "diabetes" else len(known.target_names)
    assert found["data"]["classes"] == classes
    assert (found["r2"] if classes is None else found["accuracy"]) >= WANTED[name]
    told = run("predict", "--model", tmp_path / "m.npz", "--data", tmp_path / "d.csv")
    assert (told["r2"] if classes is None else told["accuracy"]) >= WANTED[name]
    if classes is None:
        assert 50 < np.mean(told["predictions"]) < 250  # in the target's own units


def pictures():
    """The digits as bytes of 26x26 pixels, with a black border, and their labels."""
    digits = bp.data.digits(np.float64)
    x = np.r_[digits.x_train, digits.x_valid].reshape(-1, 8, 8) * 255
    large = np.kron(x, np.ones((1, 3, 3))).round().astype(np.uint8)
    return np.pad(large, ((0, 0), (1, 1), (1, 1))), np.r_[digits.y_train, digits.y_valid]


def test_the_same_pixels_from_everywhere(run, tmp_path):
    x, y = pictures()
    flat = x.reshape(len(x), -1)
    names = ["label", *(f"{i}x{j}" for i in range(1, 27) for j in range(1, 27))]
    np.savetxt(tmp_path / "k.csv", np.c_[y, flat], "%d", ",", header=",".join(names), comments="")
    np.savetxt(tmp_path / "headless.csv", np.c_[y, flat], "%d", ",")
    for kind in ("u1", "i8", "f4"):
        np.savez(tmp_path / f"{kind}.npz", X=flat.astype(kind), y=y)
    folder = tmp_path / "idx"
    folder.mkdir()
    bp.data.write_idx(folder / "train-images-idx3-ubyte", x)
    bp.data.write_idx(folder / "train-labels-idx1-ubyte", y.astype(np.uint8))
    sources = [folder, *(tmp_path / f"{kind}.npz" for kind in ("u1", "i8", "f4")), tmp_path / "k.csv"]
    sources.append(tmp_path / "headless.csv")
    found = [run("train", "--data", path, "--epochs", 10, "--save", tmp_path / "m.npz") for path in sources]
    assert found[0]["accuracy"] > 0.85
    assert {one["digest"] for one in found} == {found[0]["digest"]}
    assert found[-1]["data"]["target"] == "column 1"
    np.save(tmp_path / "x.npy", flat / np.float32(255))
    sources = [*sources[1:], tmp_path / "x.npy"]
    predicted = [run("predict", "--model", tmp_path / "m.npz", "--data", path) for path in sources]
    assert all(one["predictions"] == predicted[0]["predictions"] for one in predicted)
    assert predicted[0]["accuracy"] > 0.85


def test_a_summary_says_what_was_decided(capsys, tmp_path):
    assert main(["train", "--data", str(IRIS), "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    for words in (
        "species (the last column)",
        "3 classes: setosa, versicolor, virginica (texts)",
        "4, standardised with the training part's mean and deviation (neither bytes nor from 0 to 1)",
    ):
        assert words in said
    x = np.random.default_rng(0).random((50, 2)) * 9
    np.savez(tmp_path / "d.npz", x=x, y=x.sum(1) * 100)
    assert main(["train", "--data", str(tmp_path / "d.npz"), "--epochs", "30"]) == 0
    said = capsys.readouterr().out
    assert "a regression, standardised: so is the loss (numbers that are not all whole)" in said
    assert "R²" in said


def test_options_go_before_the_rules(run, tmp_path):
    lines = [line.rsplit(",", 1)[0] for line in IRIS.read_text().splitlines()]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    found = run("train", "--data", tmp_path / "d.csv", "--target", "sepal length", "--scale", "none", "--lr", 0.01)
    facts = found["data"]
    assert (facts["target"], facts["task"], facts["scale"]) == ("sepal length", "regression", "none")
    assert found["r2"] > 0.5
    said = run("train", "--target", "label", code=1)
    assert "--target: the built-in digits leave nothing to choose; give --data" in said


def test_resume_keeps_what_was_decided(run, tmp_path):
    data, saved = IRIS, tmp_path / "m.npz"
    whole = run("train", "--data", data, "--scale", "none", "--epochs", 4)
    run("train", "--data", data, "--scale", "none", "--epochs", 2, "--save", saved)
    again = run("train", "--data", data, "--resume", saved, "--epochs", 4)
    assert (again["digest"], again["data"]) == (whole["digest"], whole["data"])
    assert "other data" in run("train", "--data", data, "--resume", saved, "--epochs", 4, "--scale", "standard", code=1)


def test_columns_in_another_order_give_the_same_predictions(run, tmp_path):
    lines = [line.split(",") for line in IRIS.read_text().splitlines() if not line.startswith("#")]
    run("train", "--data", IRIS, "--epochs", 3, "--save", tmp_path / "m.npz")
    right = run("predict", "--model", tmp_path / "m.npz", "--data", IRIS)
    (tmp_path / "d.csv").write_text("\n".join(",".join(cells[::-1]) for cells in lines))
    assert run("predict", "--model", tmp_path / "m.npz", "--data", tmp_path / "d.csv") == right
    (tmp_path / "d.csv").write_text("\n".join(",".join(cells[1:]) for cells in lines))
    said = run("predict", "--model", tmp_path / "m.npz", "--data", tmp_path / "d.csv", code=1)
    assert "d.csv: columns: found no column sepal length; the model was trained on sepal length, sepal width" in said


def test_a_checkpoint_without_a_description_predicts_as_before(run, tmp_path):
    run("train", "--epochs", 2, "--save", tmp_path / "m.npz")
    arrays, meta = checkpoint.load(tmp_path / "m.npz")
    before = run("predict", "--model", tmp_path / "m.npz")
    del meta["description"]
    checkpoint.save(tmp_path / "m.npz", arrays, meta)
    assert run("predict", "--model", tmp_path / "m.npz") == before
    assert run("train", "--resume", tmp_path / "m.npz", "--epochs", 3)["epochs"] == 3
    checkpoint.save(tmp_path / "m.npz", arrays, {**meta, "description": {"task": 3}})
    assert "holds no description of data that can be used" in run("predict", "--model", tmp_path / "m.npz", code=1)


def test_a_network_without_a_unit_alive_is_said(run, tmp_path, capsys):
    x = np.random.default_rng(0).random((40, 3)) * 1000
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(40) % 2)
    options = ["train", "--data", tmp_path / "d.npz", "--hidden", 3, "--epochs", 30, "--scale", "none"]
    for rate in (1e-5, 3e-5, 1e-4, 3e-4, 1e-3):
        capsys.readouterr()
        if main([*map(str, options), "--lr", str(rate), "--json"]):
            continue
        printed = capsys.readouterr()
        (warnings,) = [json.loads(printed.out)["warnings"]]
        if warnings:
            assert "no unit of hidden layer 1 is alive" in warnings[0]
            assert f"pybackprop: warning: {warnings[0]}" in printed.err
            return
    pytest.fail("no rate killed the units")


def test_stdin(run, monkeypatch):
    right = run("train", "--data", IRIS, "--epochs", 1)["digest"]
    with open(IRIS, encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert run("train", "--data", "-", "--epochs", 1)["digest"] == right
