"""A file with a right sha256 whose names, sizes or numbers make no sense ends in a CheckpointError with a remedy."""

import copy
import random

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.cli.main import main
from pybackprop.train import checkpoint
from pybackprop.train.trainer import settings_of

REMEDY = "save it again, with bp.save or 'pybackprop train --save'"
ODD_NAMES = ["w03", "w²", "w٣", "w0", "w1_0", "w+1", "w 1", "W1", "w", "b9", "x", "velocity.", "velocity.w03"]
SIZES = [(0, 3), (2, 0), (0, 0), (), (3,), (2, 3, 1), (2**40, 0)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(path of a table, arrays, meta) of a training on the command line."""
    folder = tmp_path_factory.mktemp("trained")
    rows = [f"{k % 7},{k % 5 / 4},{'uv'[k % 2]}" for k in range(40)]
    (folder / "a.csv").write_text("\n".join(["a,b,target", *rows]))
    arguments = ["--data", str(folder / "a.csv"), "--hidden", "3", "--epochs", "1", "--save", str(folder / "m.npz")]
    assert main(["train", *arguments, "--quiet"]) == 0
    return folder / "a.csv", *checkpoint.load(folder / "m.npz")


@pytest.fixture
def forged(tmp_path, trained):
    """Writes a checkpoint with changed arrays and meta, and returns its path."""

    def write(change):
        arrays, meta = copy.deepcopy(trained[1:])
        change(arrays, meta)
        checkpoint.save(tmp_path / "forged.npz", arrays, meta)
        return tmp_path / "forged.npz"

    return write


def set_array(name, shape=(2, 3), dtype=np.float32):
    return lambda arrays, meta: arrays.update({name: np.zeros(shape, dtype)})


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_array_that_no_layer_has(forged, name):
    path = forged(set_array(name))
    with pytest.raises(bp.CheckpointError, match=REMEDY):
        bp.load(path)


@pytest.mark.parametrize("name", ["w03", "w²", "w٣"])
def test_an_odd_name_in_the_place_of_a_right_one(forged, name):
    path = forged(lambda arrays, meta: arrays.update({name: arrays.pop("w2")}))
    with pytest.raises(bp.CheckpointError, match=REMEDY):
        bp.load(path)


@pytest.mark.parametrize("name", ["w1", "w2", "b1", "velocity.w1"])
@pytest.mark.parametrize("shape", SIZES)
def test_sizes_that_no_layer_has(forged, name, shape):
    if (name, shape) == ("b1", (3,)):
        return
    with pytest.raises(bp.CheckpointError, match=REMEDY):
        bp.load(forged(set_array(name, shape)))


@pytest.mark.parametrize("name", ["w1", "b1", "w2", "velocity.w2"])
def test_arrays_of_two_dtypes(forged, name):
    def change(arrays, meta):
        arrays[name] = arrays[name].astype(np.float64)

    with pytest.raises(bp.CheckpointError, match=REMEDY):
        bp.load(forged(change))


HUGE = [2**30, 10**400, -1, 0, 3.0, float("nan"), float("inf"), None, True, "3", [3]]


@pytest.mark.parametrize("size", HUGE)
def test_settings_of_another_network_allocate_nothing(forged, trained, size, capsys):
    path = forged(lambda arrays, meta: meta["settings"].update(hidden=[size]))
    with pytest.raises(bp.CheckpointError, match=REMEDY):
        settings_of(path)
    assert main(["train", "--resume", str(path), "--data", str(trained[0]), "--epochs", "2"]) == 1
    assert REMEDY in capsys.readouterr().err


@pytest.mark.parametrize("name", ["batch", "lr", "momentum", "seed", "dtype", "epochs"])
def test_settings_that_are_none(forged, name):
    for value in (None, [], {}, -1, float("nan"), "x"):
        path = forged(lambda arrays, meta, value=value: meta["settings"].update({name: value}))
        with pytest.raises(bp.CheckpointError, match=REMEDY):
            settings_of(path)


@pytest.mark.parametrize("name", ["epoch", "losses", "accuracies"])
def test_progress_that_is_none(forged, trained, name, capsys):
    for value in (None, [], {}, -1, "x", [None, None], ["x"]):
        if (name, value) == ("epoch", -1):
            continue
        path = forged(lambda arrays, meta, value=value: meta.update({name: value}))
        assert main(["train", "--resume", str(path), "--data", str(trained[0]), "--epochs", "2"]) == 1
        assert REMEDY in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"features": 3}, {"features": float("inf")}, {"features": float("nan")}, {"columns": ["a"]}, {"fill": [1.0]},
        {"labels": ["u", "v", "w"]}, {"labels": [[1], None]}, {"task": "x"}, {"target_at": "x"},
        {"scaling": {"kind": "standard", "mean": [], "deviation": []}},
        {"scaling": {"kind": "standard", "mean": [float("nan")] * 2, "deviation": [1, 1]}},
        {"scaling": {"kind": "standard", "mean": [1], "deviation": [1]}}, {"scaling": {"kind": "odd"}},
        {"target_scaling": {"kind": "standard", "mean": [1, 1, 1], "deviation": [1, 1, 1]}}, {"columns": 3},
    ],
)  # fmt: skip
def test_a_description_that_is_none(forged, trained, change, capsys):
    path = forged(lambda arrays, meta: meta["description"].update(change))
    assert main(["predict", "--model", str(path), "--data", str(trained[0])]) == 1
    assert REMEDY in capsys.readouterr().err


def test_a_model_without_layers(forged):
    for layers in ([], {}, "", 0, [{"layer": "Relu"}], [{}], [None]):
        path = forged(lambda arrays, meta, layers=layers: meta.update(layers=layers))
        with pytest.raises(bp.CheckpointError, match=REMEDY):
            bp.load(path)


def test_memory_that_is_not_there_is_told(forged, monkeypatch):
    path = forged(lambda arrays, meta: None)

    def read(*_, **__):
        raise MemoryError

    monkeypatch.setattr(checkpoint.files, "read_npz", read)
    with pytest.raises(bp.CheckpointError, match="more memory than there is"):
        bp.load(path)


# ---- random ones ----

VALUES = [None, True, 0, -1, 3, 2**64, 10**400, 1e300, float("nan"), float("inf"), "", "w1", "Relu", [], {}, [1],
          ["w9"], {"a": 1}, "²", "float64"]  # fmt: skip


def change_meta(choose, value):
    """value with a random part replaced, doubled or removed."""
    if isinstance(value, (dict, list)) and value and choose.random() < 0.9:
        key = choose.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if choose.random() < 0.15:
            value.pop(key)
        else:
            value[key] = change_meta(choose, value[key])
        return value
    return copy.deepcopy(choose.choice(VALUES))


def change_arrays(choose, arrays):
    name, shape = choose.choice(list(arrays)), choose.choice([*SIZES, (2, 3), (3, 2)])
    act = choose.randrange(3)
    if act == 0:
        arrays[choose.choice(ODD_NAMES)] = arrays.pop(name)
    elif act == 1:
        arrays[name] = np.zeros(shape, choose.choice([np.float32, np.float64]))
    else:
        del arrays[name]


def change_bytes(choose, path):
    content = bytearray(path.read_bytes())
    for _ in range(choose.choice([1, 1, 3])):
        at, act = choose.randrange(len(content)), choose.randrange(4)
        if act == 0:
            content[at] = choose.randrange(256)
        elif act == 1:
            del content[max(at, 1) :]
        elif act == 2:
            content[at:at] = bytes(choose.choices(range(256), k=9))
        else:
            del content[at : at + choose.choice([1, 8, 100])]
    path.write_bytes(content or b"P")


def mutate(choose, path, arrays, meta):
    """Writes a random variation of a checkpoint."""
    changed = copy.deepcopy(arrays), copy.deepcopy(meta)
    for _ in range(choose.choice([0, 1, 1, 2])):
        if choose.random() < 0.5:
            change_arrays(choose, changed[0])
        else:
            change_meta(choose, changed[1])
    checkpoint.save(path, *changed)
    if choose.random() < 0.3:
        change_bytes(choose, path)


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_random_changes_end_in_a_checkpoint_error_or_a_model(trained, tmp_path, monkeypatch, count):
    monkeypatch.setattr("os.fsync", lambda _: None)
    choose, path = random.Random(17), tmp_path / "forged.npz"
    outcomes = {"model": 0, "refused": 0}  # the errors that name the file
    for _ in range(count):
        mutate(choose, path, *trained[1:])
        for act in (bp.load, lambda path: bp.load(path, with_optimizer=True), settings_of):
            try:
                found = act(path)
            except bp.CheckpointError as error:
                outcomes["refused"] += str(path) in str(error)
            else:
                outcomes["model"] += 1
                model = found[0] if isinstance(found, tuple) else found
                if isinstance(model, bp.Model):
                    model.predict(np.ones((2, model.layers[0].w.shape[0]), model.layers[0].w.dtype))
    assert sum(outcomes.values()) == 3 * count
    assert min(outcomes.values()) > count / 10
