"""`train` and `predict` on rows that stay on disk: the decisions of the same rows in memory, and the bits of training
on them in the order of their windows.
"""

import hashlib

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import data
from pybackprop.data import Choices
from pybackprop.train.trainer import Settings, Trainer

SIZES = (30, 7, 63, 100, 1)


def cut(*arrays):
    """The arrays in pieces of SIZES rows."""
    start = 0
    for size in SIZES:
        yield [array[start : start + size] for array in arrays]
        start += size


def shards(folder, x, y):
    """(a folder of .npz, one .npz of the same rows)."""
    (folder / "rows").mkdir()
    for k, (some, targ) in enumerate(cut(x, y)):
        np.savez(folder / "rows" / f"part-{k}.npz", x=some, y=targ)
    np.savez(folder / "all.npz", x=x, y=y)
    return folder / "rows", folder / "all.npz"


def of_kind(kind, rng):
    """x (201,5) and y."""
    x = rng.normal(3, 5, (sum(SIZES), 5))
    y = (x[:, 0] > 3) * 4 + (x[:, 1] > 2) * 1
    if kind == "float32":
        return x.astype("f"), y
    if kind == "bytes":
        return rng.integers(0, 256, x.shape).astype(np.uint8), y
    if kind == "bytes as floats":
        x = np.where(rng.random(x.shape) < 0.9, 0, rng.integers(0, 256, x.shape)).astype("f")
        x[:37] = x[:37] > 0  # a block of zeros and ones
        return x, y
    if kind == "units":
        return rng.random(x.shape).astype("f"), y
    if kind == "a constant column":
        x[:, 2] = 0.1
        return x, y
    if kind == "a regression":
        return x, x[:, :2] * 7 + 1000
    if kind == "a regression of one":
        return x, x[:, 0] * 7 + 1000
    if kind == "whole numbers that are many":
        return x, np.arange(len(x)) * 3
    return rng.integers(-500, 500, x.shape), y


KINDS = ["float32", "bytes", "bytes as floats", "units", "a constant column", "a regression", "integers"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [None, "standard", "bytes", "none"])
def test_the_decisions_and_the_numbers_are_those_of_the_rows_in_memory(tmp_path, rng, kind, scale):
    folder, whole = shards(tmp_path, *of_kind(kind, rng))
    right = data.read(whole, "f", Choices(scale=scale))
    split, told = data.read_stored(folder, "f", Choices(scale=scale))
    assert {**told.to_json(), "target": "y"} == right.description.to_json()
    x, y = (np.concatenate(parts) for parts in zip(*(of[:2] for of in read(split.train)), strict=True))
    x_valid, y_valid = (np.concatenate(parts) for parts in zip(*(of[:2] for of in read(split.valid)), strict=True))
    in_memory = Trainer(Settings(), *right).parts
    assert (x == in_memory.split.x_train).all()
    assert (y == in_memory.targets).all()
    assert (x_valid == in_memory.x_valid).all()
    assert (y_valid == in_memory.targets_valid).all()


def read(rows):
    return [rows.read(block) for block in rows.blocks]


@pytest.mark.parametrize("kind", ["a regression of one", "whole numbers that are many"])
def test_one_column_is_scaled_as_in_memory_up_to_rounding(tmp_path, rng, kind):
    """numpy adds the numbers of a single column in another order than one after another."""
    x, y = of_kind(kind, rng)
    folder, whole = shards(tmp_path, x[:, :1], y)
    right, told = data.read(whole).description, data.read_stored(folder)[1]
    assert (told.task, told.reasons["task"]) == ("regression", right.reasons["task"])
    for found, expected in ((told.scaling, right.scaling), (told.target_scaling, right.target_scaling)):
        assert found.mean == pytest.approx(expected.mean, rel=1e-14)
        assert found.deviation == pytest.approx(expected.deviation, rel=1e-14)


@pytest.mark.parametrize("window", [1, 2, 8])
def test_the_digest_is_that_of_training_in_memory_in_the_order_of_the_windows(run, tmp_path, rng, window):
    folder, _ = shards(tmp_path, *of_kind("float32", rng))
    found = run("train", "--data", folder, "--window", window, "--epochs", 3, "--batch", 20, "--lr", 0.1)
    split, _ = data.read_stored(folder, window=window)
    x, y = (np.concatenate(parts) for parts in zip(*(of[:2] for of in read(split.train)), strict=True))
    model = bp.mlp([5, 50, 4], seed=0)
    plan = bp.compile(model, batch=20, optimizer=bp.SGD(model, lr=0.1, momentum=0.9))
    losses = []
    for epoch in (1, 2, 3):
        order = split.train.order(0, epoch)
        batches = [(x[order[k : k + 20]], y[order[k : k + 20]]) for k in range(0, len(order), 20)]
        losses += [e.loss for e in plan.fit(batches, epochs=1)]
    assert found["loss"] == losses[-1]
    from pybackprop.train.checkpoint import digest

    assert found["digest"] == digest({p.name: p.data for p in model.parameters()})
    right = (plan.predict(np.concatenate([of.x for of in read(split.valid)])).data.argmax(1)
             == np.concatenate([of.targ for of in read(split.valid)]).argmax(1)).mean()  # fmt: skip
    assert found["accuracy"] == pytest.approx(right)


def test_training_goes_on_and_the_model_predicts(run, tmp_path, rng):
    folder, whole = shards(tmp_path, *of_kind("a regression", rng))
    saved, options = tmp_path / "m.npz", ("--data", folder, "--window", 2)
    right = run("train", *options, "--epochs", 4)
    run("train", *options, "--epochs", 2, "--save", saved)
    found = run("train", *options, "--resume", saved, "--epochs", 4)
    assert found["digest"] == right["digest"]
    assert found["data"] == right["data"]
    said = run("train", "--data", folder, "--resume", saved, "--epochs", 4, code=1)
    assert "was trained on other data than this; resume with the same data, in the same files, and the same" in said
    predicted = run("predict", "--model", saved, "--data", folder)
    assert predicted == run("predict", "--model", saved, "--data", whole)
    assert predicted["r2"] is not None


@pytest.mark.parametrize("kind", ["float32", "bytes", "bytes as floats", "units"])
def test_predictions_are_those_of_the_rows_in_memory(run, tmp_path, rng, kind):
    folder, whole = shards(tmp_path, *of_kind(kind, rng))
    run("train", "--data", folder, "--epochs", 1, "--save", tmp_path / "m.npz")
    found = run("predict", "--model", tmp_path / "m.npz", "--data", folder)
    assert found == run("predict", "--model", tmp_path / "m.npz", "--data", whole)
    assert set(found["predictions"]) <= {0, 1, 4, 5}


def test_a_pair_of_npy_files_and_a_single_shard(run, tmp_path, rng):
    x, y = of_kind("float32", rng)
    np.save(tmp_path / "x-01.npy", x)
    np.save(tmp_path / "y-01.npy", y)
    np.savez(tmp_path / "one.npz", x=x, y=y)
    pair = run("train", "--data", tmp_path / "x-01.npy", "--epochs", 2)
    assert pair["digest"] == run("train", "--data", tmp_path / "one.npz", "--window", 1, "--epochs", 2)["digest"]


def tables(folder, x, y, names):
    """Parquet files of the rows, whose last column is y."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder.mkdir()
    for k, (some, targ) in enumerate(cut(x, y)):
        columns = dict(zip(names, [*some.T, targ], strict=True))
        parquet.write_table(pyarrow.table(columns), folder / f"{k}.parquet")
    return folder


def test_parquet_has_columns_and_a_target_by_the_rules(run, tmp_path, rng):
    x, y = of_kind("float64", rng)
    folder = tables(tmp_path / "p", x, y, ["a", "b", "c", "d", "e", "class"])
    found = run("train", "--data", folder, "--epochs", 2, "--save", tmp_path / "m.npz")["data"]
    assert (found["target"], found["columns"]) == ("class", ["a", "b", "c", "d", "e"])
    chosen = run("train", "--data", folder, "--epochs", 1, "--target", "b")["data"]
    assert (chosen["target"], chosen["columns"]) == ("b", ["a", "c", "d", "e", "class"])
    other = tables(tmp_path / "other", np.c_[x[:, ::-1]], y, ["e", "d", "c", "b", "a", "class"])
    predicted = run("predict", "--model", tmp_path / "m.npz", "--data", other)
    assert predicted == run("predict", "--model", tmp_path / "m.npz", "--data", folder)
    wrong = tables(tmp_path / "wrong", x, y, ["a", "b", "c", "d", "z", "class"])
    assert "found no column e, unknown z" in run("predict", "--model", tmp_path / "m.npz", "--data", wrong, code=1)


def test_a_column_that_numbers_the_rows_is_left_out(run, tmp_path, rng):
    x, y = of_kind("float64", rng)
    names = ["id", "a", "b", "c", "d", "e", "class"]
    numbered = tables(tmp_path / "p", np.c_[np.arange(len(x)) + 5, x], y, names)
    plain = tables(tmp_path / "q", x, y, names[1:])
    found = run("train", "--data", numbered, "--epochs", 2, "--save", tmp_path / "m.npz")
    assert found["data"]["left_out"] == ["id"]
    assert found["digest"] == run("train", "--data", plain, "--epochs", 2)["digest"]
    predicted = run("predict", "--model", tmp_path / "m.npz", "--data", numbered)
    assert predicted == run("predict", "--model", tmp_path / "m.npz", "--data", plain)
    mixed = tables(tmp_path / "r", np.c_[rng.permutation(len(x)), x], y, names)
    assert run("train", "--data", mixed, "--epochs", 1)["data"]["left_out"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--missing", "mean"), "--missing: "),
        (("--target", "first"), "--target: part-0.npz holds the targets as targ or y; leave it out"),
    ],
)
def test_what_shards_leave_no_choice_of(run, tmp_path, rng, options, words):
    folder, _ = shards(tmp_path, *of_kind("float32", rng))
    assert words in run("train", "--data", folder, *options, code=1)


def test_what_is_wrong_with_a_shard_is_said_with_its_name(run, tmp_path, rng):
    x, y = of_kind("float32", rng)
    x[35, 2] = np.nan
    folder, _ = shards(tmp_path, x, y)
    said = run("train", "--data", folder, code=1)
    assert "part-1.npz: x: found nan at row 5, column 2" in said
    (folder / "part-1.npz").write_bytes(b"PK nothing")
    assert "part-1.npz" in run("train", "--data", folder, code=1)
    assert "expected whole numbers, the labels of classes" in run(
        "train", "--data", shards_of(tmp_path / "b", x=rng.random((9, 2)), y=rng.random(9)), "--task",
        "classification", code=1,
    )  # fmt: skip


def shards_of(folder, **arrays):
    folder.mkdir()
    np.savez(folder / "only.npz", **arrays)
    return folder


def test_a_window_is_refused_where_nothing_is_read_in_blocks(run, tmp_path):
    (tmp_path / "d.csv").write_text("a,b\n" + "1,2\n3,4\n" * 10)
    for options in (("--data", tmp_path / "d.csv"), ()):
        assert "--window: " in run("train", *options, "--window", 3, code=1)


def test_a_sweep_refuses_shards(run, tmp_path, rng):
    folder, _ = shards(tmp_path, *of_kind("float32", rng))
    said = run("sweep", "--data", folder, "--grid", "lr=0.1,0.2", code=1)
    assert "a sweep keeps all samples in memory" in said


def test_five_rows_are_needed_for_validation(run, tmp_path, rng):
    found = run("train", "--data", shards_of(tmp_path / "few", x=rng.random((4, 2)), y=np.arange(4) % 2), "--epochs", 1)
    assert found["accuracy"] is None


def test_the_digest_of_the_data_does_not_depend_on_its_reader(tmp_path, rng):
    folder, _ = shards(tmp_path, *of_kind("float32", rng))
    one, other = (data.read_stored(folder)[0].digest for _ in range(2))
    assert one == other
    assert one != data.read_stored(folder, window=1)[0].digest
    assert one != data.read_stored(folder, choices=Choices(scale="none"))[0].digest
    assert len(one) == hashlib.sha256().digest_size * 2
