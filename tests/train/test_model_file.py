"""bp.save and bp.load: a model in a file is the same model, and what a file cannot hold is refused by name."""

import json
import os

import numpy as np
import pytest

import pybackprop as bp
from helpers.optimizers import KINDS
from pybackprop import ops
from pybackprop.cli.main import main
from pybackprop.train import checkpoint


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model{request.param}"


@pytest.fixture(scope="module")
def softplus():
    return bp.define_op(
        "softplus_of_a_file",
        forward=lambda x, beta=1.0: np.log1p(np.exp(beta * x)) / beta,
        backward=lambda dout, x, beta=1.0: dout / (1 + np.exp(-beta * x)),
        elementwise=True,
    )


def samples(m=4, h=2, dtype=np.float32):
    rng = np.random.default_rng(3)
    return rng.standard_normal((6, m)).astype(dtype), rng.standard_normal((6, h)).astype(dtype)


def bits(model):
    return [p.data.tobytes() for p in model.parameters()]


MODELS = {
    "an mlp": lambda: bp.mlp([4, 5, 2], seed=1),
    "float64": lambda: bp.mlp([4, 5, 2], seed=1, dtype=np.float64),
    "no biases": lambda: bp.Model([bp.Lin(4, 5, bias=False), bp.Relu(), bp.Lin(5, 2, bias=False)]),
    "Relu last": lambda: bp.Model([bp.Lin(4, 2, seed=3), bp.Relu()]),
    "no Relu": lambda: bp.Model([bp.Lin(4, 3, seed=3), bp.Lin(3, 2, seed=4)]),
    "Relu first": lambda: bp.Model([bp.Relu(), bp.Lin(4, 2, seed=3)]),
    "in place": lambda: bp.mlp([4, 5, 2], seed=1, inplace=True),
    "Tanh": lambda: bp.Model([bp.Lin(4, 5), bp.Tanh(), bp.Lin(5, 2, seed=4)]),
    "Sigmoid last": lambda: bp.Model([bp.Lin(4, 2, seed=3), bp.Sigmoid()]),
    "LeakyRelu": lambda: bp.Model([bp.Lin(4, 5), bp.LeakyRelu(0.25), bp.Lin(5, 2, seed=4)]),
    "by its operation": lambda: bp.Model([bp.Lin(4, 5), bp.Activation(ops.TANH), bp.Lin(5, 2, seed=4)]),
    "CrossEntropy": lambda: bp.Model([bp.Lin(4, 5), bp.Relu(), bp.Lin(5, 2, seed=4)], loss=bp.CrossEntropy()),
    "BinaryCrossEntropy": lambda: bp.Model([bp.Lin(4, 2, seed=3)], loss=bp.BinaryCrossEntropy()),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_loaded_model_is_the_same_one(path, make):
    model = make()
    bp.save(model, path)
    twin = bp.load(path)
    assert repr(twin) == repr(model)
    assert twin.inplace is model.inplace
    assert bits(twin) == bits(model)
    x, targ = samples(dtype=model.layers[-1].w.dtype if hasattr(model.layers[-1], "w") else np.float32)
    if isinstance(model.loss, bp.CrossEntropy):
        targ = targ.argmax(1)
    if isinstance(model.loss, bp.BinaryCrossEntropy):
        targ = targ > 0
    assert float(twin(x, targ)) == float(model(x, targ))
    twin.backward()
    assert [p.name for p in twin.parameters()][:1] == ["w1"]


def test_numbers_that_are_none_keep_their_bits(path):
    w = np.array([[np.nan, -0.0], [np.inf, 5e-324]])
    bp.save(bp.Model([bp.Lin(w)]), path)
    assert bp.load(path).layers[0].w.data.tobytes() == w.tobytes()


def test_an_operation_of_ones_own_as_a_layer(path, softplus):
    model = bp.Model([bp.Lin(4, 3), bp.Activation(softplus, beta=2.0), bp.Lin(3, 2)])
    bp.save(model, path)
    layer = bp.load(path).layers[1]
    assert layer.op is softplus
    assert layer.params == {"beta": 2.0}


def test_an_operation_that_is_not_known_here(path, softplus, monkeypatch):
    from pybackprop.ops import registry

    bp.save(bp.Model([bp.Lin(4, 3), bp.Activation(softplus)]), path)
    monkeypatch.delitem(registry, softplus.name)
    with pytest.raises(
        bp.CheckpointError, match=f"operation '{softplus.name}', which has to be defined with bp.define_op"
    ):
        bp.load(path)


def test_frozen_parameters_stay_frozen(path):
    model = bp.mlp([4, 3, 2])
    model.layers[0].w.requires_g = False
    bp.save(model, path)
    assert [p.name for p in bp.load(path).parameters()] == ["b1", "w2", "b2"]


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_as_if_it_had_not_stopped(path, kind):
    x, targ = samples()
    model = bp.mlp([4, 5, 2], seed=1)
    sgd = KINDS[kind](model)

    def train(model, sgd):
        for _ in range(3):
            model(x, targ)
            model.backward()
            sgd.step(model)

    train(model, sgd)
    bp.save(model, path, optimizer=sgd)
    twin, theirs = bp.load(path, with_optimizer=True)
    assert type(theirs) is type(sgd)
    assert (theirs.options(), theirs.steps) == (sgd.options(), 3)
    train(model, sgd)
    train(twin, theirs)
    assert bits(twin) == bits(model)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_saves_and_goes_on(path, kind):
    x, targ = samples()
    model = bp.mlp([4, 5, 2], seed=1)
    plan = bp.compile(model, batch=6, optimizer=KINDS[kind](model))
    plan.fit(x, targ, epochs=2, batch=4)
    bp.save(model, path, optimizer=plan.optimizer)
    twin, sgd = bp.load(path, with_optimizer=True)
    again = bp.compile(twin, batch=6, optimizer=sgd)
    for one in (plan, again):
        one.fit(x, targ, epochs=4, batch=4, done=2)
    assert bits(twin) == bits(model)


def classes(activation, frozen=False):
    """A model of CrossEntropy, as a plan trains it; frozen: but for its first weights."""
    model = bp.Model([bp.Lin(4, 5, seed=1), activation, bp.Lin(5, 3, seed=2)], loss=bp.CrossEntropy())
    model.layers[0].w.requires_g = not frozen
    return model


SCHEDULES = {
    "none": lambda steps: None,
    "cosine": lambda steps: bp.CosineLR(0.05, steps),
    "warm-up, one cycle": lambda steps: bp.WarmupLR(0.05, 2, after=bp.OneCycleLR(0.05, steps - 2)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", [bp.Tanh(), bp.Sigmoid(), bp.LeakyRelu(0.3), bp.Relu()], ids=repr)
def test_a_model_of_classes_goes_on(path, kind, activation):
    x, _ = samples()
    labels = np.array([0, 2, 1, 1, 0, 2])
    model = classes(activation)
    optimizer = KINDS[kind](model)

    def train(model, optimizer):
        for _ in range(3):
            model(x, labels).backward()
            optimizer.step()

    train(model, optimizer)
    bp.save(model, path, optimizer=optimizer)
    twin, theirs = bp.load(path, with_optimizer=True)
    assert repr(twin) == repr(model)
    train(model, optimizer)
    train(twin, theirs)
    assert bits(twin) == bits(model)
    assert theirs.steps == optimizer.steps == 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("owns", [False, True])
def test_a_plan_of_classes_goes_on(path, kind, schedule, frozen, owns):
    """Also where a parameter is not trained, and where the optimizer was given no parameters."""
    x, _ = samples()
    labels = np.array([0, 2, 1, 1, 0, 2])
    model = classes(bp.Tanh(), frozen)
    plan = bp.compile(model, batch=6, optimizer=KINDS[kind](model if owns else None), clip_norm=0.5)
    plan.fit(x, labels, epochs=2, batch=4, schedule=schedule(8))
    bp.save(model, path, optimizer=plan.optimizer)
    twin, optimizer = bp.load(path, with_optimizer=True)
    again = bp.compile(twin, batch=6, optimizer=optimizer, clip_norm=0.5)
    for one in (plan, again):
        one.fit(x, labels, epochs=4, batch=4, done=2, schedule=schedule(8))
    assert bits(twin) == bits(model)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        for mine, other in zip(plan.optimizer.kept(p), optimizer.kept(q), strict=True):
            assert mine.data.tobytes() == other.data.tobytes()
    bp.compile(model, batch=6, optimizer=plan.optimizer)  # saving has given the optimizer nothing new


def test_momentum_that_rests_is_in_the_file(path):
    x, targ = samples()
    model = bp.mlp([4, 5, 2], seed=1)
    pairs = [(model, bp.SGD(model, lr=0.1, momentum=0.5))]

    def train(momentum):
        for one, sgd in pairs:
            sgd.momentum = momentum
            one(x, targ).backward()
            sgd.step()

    train(0.5)
    train(0.0)
    bp.save(model, path, optimizer=pairs[0][1])
    pairs.append(bp.load(path, with_optimizer=True))
    train(0.5)
    assert bits(pairs[0][0]) == bits(pairs[1][0])


def test_a_file_that_tells_no_loss_holds_mse(path):
    bp.save(bp.mlp([4, 2]), path)
    arrays, meta = checkpoint.load(path)
    del meta["loss"]
    checkpoint.save(path, arrays, meta)
    assert type(bp.load(path).loss) is bp.Mse


def test_an_optimizer_of_before_there_were_all_options(path):
    """Files from before biases could be left out of the decay."""
    model = bp.mlp([4, 2])
    bp.save(model, path, optimizer=bp.Adam(model, weight_decay=0.1))
    arrays, meta = checkpoint.load(path)
    del meta["optimizer"]["decay_biases"]
    checkpoint.save(path, arrays, meta)
    assert bp.load(path, with_optimizer=True)[1].decay_biases is True


def test_an_optimizer_of_some_parameters(path):
    model = bp.mlp([4, 5, 2])
    bp.save(model, path, optimizer=bp.SGD(model.parameters()[2:], lr=0.5, momentum=0.5))
    twin, sgd = bp.load(path, with_optimizer=True)
    assert [id(p) for p in sgd.parameters] == [id(p) for p in twin.parameters()[2:]]


def test_an_optimizer_that_is_not_there(path):
    bp.save(bp.mlp([4, 2]), path)
    with pytest.raises(
        bp.CheckpointError, match=r"holds no optimizer; save it with bp.save\(model, path, optimizer=sgd\)"
    ):
        bp.load(path, with_optimizer=True)


class Mine(bp.Module):
    def forward(self, inp):
        return inp


class MineOfRelu(bp.Relu):
    pass


class MineOfCrossEntropy(bp.CrossEntropy):
    pass


class Ends(bp.Model):
    def forward(self, x):
        return super().forward(x) * 2


W = bp.param(np.ones((2, 2), np.float32), name="shared")
NOT_HELD = {
    "a layer of one's own": (
        lambda: bp.Model([bp.Lin(4, 2), Mine()]),
        r"layers\[1\], Mine: its code is not in the file",
    ),
    "a subclass": (lambda: bp.Model([bp.Lin(4, 2), MineOfRelu()]), r"layers\[1\], MineOfRelu"),
    "a function": (lambda: bp.Model([bp.Lin(4, 2), bp.relu]), r"layers\[1\], relu"),
    "a model": (lambda: bp.Model([bp.Lin(4, 2), bp.mlp([2, 2])]), r"layers\[1\], Model"),
    "another loss": (
        lambda: bp.Model([bp.Lin(4, 2)], loss=bp.mse),
        "cannot hold the loss mse, only BinaryCrossEntropy, CrossEntropy, Mse",
    ),
    "a loss of one's own": (
        lambda: bp.Model([bp.Lin(4, 2)], loss=MineOfCrossEntropy()),
        "cannot hold the loss MineOfCrossEntropy, only",
    ),
    "a forward of its own": (lambda: Ends([bp.Lin(4, 2)]), "Ends, which has a forward of its own"),
    "a parameter twice": (lambda: bp.Model([bp.Lin(W), bp.Lin(W)]), "shared.* is used in two layers"),
    "no Lin": (lambda: bp.Model([bp.Relu()]), "has no Lin"),
}


@pytest.mark.parametrize("what", NOT_HELD)
def test_what_a_file_cannot_hold_is_refused_and_nothing_written(path, what):
    make, words = NOT_HELD[what]
    path.write_bytes(b"old")
    with pytest.raises(bp.CheckpointError, match=words):
        bp.save(make(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_wrong_arguments(path, tmp_path):
    model = bp.mlp([4, 2])
    with pytest.raises(TypeError, match=r"save: found list, expected a bp.Model"):
        bp.save([], path)
    with pytest.raises(TypeError, match=r"save: found optimizer float, expected a bp.SGD"):
        bp.save(model, path, optimizer=0.1)

    class Mine(bp.SGD):
        pass

    with pytest.raises(TypeError, match=r"save: a file cannot hold Mine, a class of your own"):
        bp.save(model, path, optimizer=Mine(model, lr=0.1))
    with pytest.raises(ValueError, match=r"the optimizer updates .*, which the model does not have"):
        bp.save(model, path, optimizer=bp.SGD([bp.param([1.0], name="other")], lr=0.1))
    with pytest.raises(bp.CheckpointError, match=r"ends in '.txt', expected .safetensors or .npz"):
        bp.save(model, tmp_path / "m.txt")
    with pytest.raises(bp.CheckpointError, match="there is no folder"):
        bp.save(model, tmp_path / "no" / path.name)
    with pytest.raises(bp.CheckpointError, match="cannot be read"):
        bp.load(path)
    assert os.listdir(tmp_path) == []


GOOD = {"kind": "layers", "layers": [{"layer": "Lin"}, {"layer": "Relu", "params": {}}, {"layer": "Lin"}]}
ARRAYS = {"w1": np.ones((2, 3)), "b1": np.ones(3), "w2": np.ones((3, 1))}
DAMAGED = {
    "no arrays": (GOOD, {}),
    "no weights": (GOOD, {"w1": ARRAYS["w1"]}),
    "weights of three axes": (GOOD, {**ARRAYS, "w1": np.ones((2, 3, 1))}),
    "a bias that does not fit": (GOOD, {**ARRAYS, "b1": np.ones(2)}),
    "layers that do not fit": (GOOD, {**ARRAYS, "w2": np.ones((2, 1))}),
    "no kind": ({**GOOD, "kind": None}, ARRAYS),
    "layers that are none": ({**GOOD, "layers": 3}, ARRAYS),
    "a layer that is none": ({**GOOD, "layers": ["Lin"]}, ARRAYS),
    "an unknown layer": ({**GOOD, "layers": [{"layer": "Conv"}]}, ARRAYS),
    "a layer that is no activation": ({**GOOD, "layers": [{"layer": "Mse"}]}, ARRAYS),
    "no name of a layer": ({**GOOD, "layers": [{"layer": ["Relu"]}]}, ARRAYS),
    "wrong arguments": ({**GOOD, "layers": [{"layer": "Relu", "params": {"slope": 3}}]}, ARRAYS),
    "arguments that are none": ({**GOOD, "layers": [{"layer": "Relu", "params": 3}]}, ARRAYS),
    "an unknown loss": ({**GOOD, "loss": "Hinge"}, ARRAYS),
    "a loss that is a layer": ({**GOOD, "loss": "Relu"}, ARRAYS),
    "a loss that is no text": ({**GOOD, "loss": ["Mse"]}, ARRAYS),
    "no loss of all of them": ({**GOOD, "loss": "Loss"}, ARRAYS),
    "frozen what is not there": ({**GOOD, "frozen": ["w9"]}, ARRAYS),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_file_that_holds_no_usable_model(path, what):
    meta, arrays = DAMAGED[what]
    checkpoint.save(path, arrays, meta)
    with pytest.raises(bp.CheckpointError, match=path.name):
        bp.load(path)


@pytest.mark.parametrize(
    "optimizer",
    [3, {}, {"lr": 0.1}, {"lr": "x", "momentum": 0}, {"lr": 0.1, "momentum": 2}, {"lr": 0.1, "momentum": 0.5},
     {"kind": "Adam", "lr": 0.1, "betas": [0.9, 0.99], "eps": 0, "weight_decay": 0}, {"kind": "Rprop", "lr": 0.1},
     {"kind": "SGD", "lr": 0.1, "momentum": 0}, {"lr": 0.1, "momentum": 0, "steps": -1},
     {"lr": 0.1, "momentum": 0, "parameters": ["w9"]}, {"lr": 0.1, "momentum": 0, "parameters": 3}],
)  # fmt: skip
def test_a_file_that_holds_no_usable_optimizer(path, optimizer):
    checkpoint.save(path, ARRAYS, {**GOOD, "optimizer": optimizer})
    assert len(bp.load(path).parameters()) == 3
    with pytest.raises(bp.CheckpointError, match=path.name):
        bp.load(path, with_optimizer=True)


# ---- the same files on the command line ----


def test_what_the_command_line_saved(path):
    assert main(["train", "--epochs", "1", "--quiet", "--save", str(path), "--hidden", "7,5", "--lr", "0.0625"]) == 0
    model, sgd = bp.load(path, with_optimizer=True)
    assert [layer.w.shape for layer in model.layers[::2]] == [(64, 7), (7, 5), (5, 10)]
    assert (sgd.lr, sgd.momentum) == (0.0625, 0.9)
    arrays, _ = checkpoint.load(path)
    for p in model.parameters():
        assert p.data.tobytes() == arrays[p.name].tobytes()
        assert sgd.velocity(p).data.tobytes() == arrays[f"velocity.{p.name}"].tobytes()


def test_predict_reads_what_was_saved(path, tmp_path, capsys):
    model = bp.Model([bp.Lin(4, 3, seed=1), bp.Relu(), bp.Lin(3, 2, bias=False, seed=2)])
    x, _ = samples()
    np.save(tmp_path / "x.npy", x)
    out = model.predict(x).data
    for classifies, right in ((False, out.tolist()), (True, out.argmax(1).tolist())):
        bp.save(model, path, classifies=classifies)
        assert main(["predict", "--model", str(path), "--data", str(tmp_path / "x.npy"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["predictions"] == right
    model.loss = bp.CrossEntropy()
    bp.save(model, path)  # its outputs are the scores of classes
    assert main(["predict", "--model", str(path), "--data", str(tmp_path / "x.npy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == out.argmax(1).tolist()


def test_resume_says_what_is_missing(path, capsys):
    bp.save(bp.mlp([64, 50, 10]), path)
    assert main(["train", "--resume", str(path), "--epochs", "3"]) == 1
    said = capsys.readouterr().err
    assert f"{path}: holds no settings to resume training with" in said
    assert "bp.load(path, with_optimizer=True)" in said


@pytest.mark.parametrize("layers", [[], {}, "", [{"layer": "Relu"}], [{"layer": "Lin"}]], ids=repr)
def test_layers_that_are_not_those_of_the_arrays_are_refused(tmp_path, layers):
    """Else weights would be left out in silence, and a model without any would be read."""
    path = tmp_path / "m.npz"
    model = bp.mlp([3, 2, 2], seed=1)
    bp.save(model, path)
    arrays, meta = checkpoint.load(path)
    checkpoint.save(path, arrays, {**meta, "layers": layers})
    with pytest.raises(bp.CheckpointError, match="which no layer has"):
        bp.load(path)


# ---- what the data were ----


@pytest.fixture
def table(tmp_path, rng):
    """A model of a table whose columns have very different sizes, what the table is, and its classes."""
    a, b = rng.normal(500, 90, 80), rng.normal(0.03, 0.01, 80)
    kinds = np.where(a / 90 + b * 100 > 8.5, "big", "small")
    lines = [f"{x},{y},{kind}" for x, y, kind in zip(a, b, kinds, strict=True)]
    (tmp_path / "d.csv").write_text("a,b,kind\n" + "\n".join(lines))
    (tmp_path / "new.csv").write_text("b,a\n" + "\n".join(f"{y},{x}" for x, y in zip(a, b, strict=True)))
    read, about = bp.data.read(tmp_path / "d.csv")
    model = bp.Model([bp.Lin(2, 8, seed=1), bp.Relu(), bp.Lin(8, 2, seed=2)], loss=bp.CrossEntropy())
    bp.compile(model, batch=8, optimizer=bp.Adam(lr=0.02)).fit(read.x_train, read.y_train, epochs=20, seed=0)
    return model, about, kinds


def test_a_description_is_kept_and_predicts(path, tmp_path, table, capsys):
    model, about, kinds = table
    bp.save(model, path, description=about)
    assert bp.load_description(path) == about
    rows = bp.data.read_rows(tmp_path / "new.csv", bp.load_description(path))
    right = [about.labels[k] for k in bp.load(path).predict(rows.x).data.argmax(1)]
    assert np.mean(right == kinds) > 0.9
    assert main(["predict", "--model", str(path), "--data", str(tmp_path / "new.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == right


def test_without_a_description_predict_says_how_columns_are_taken(path, tmp_path, table, capsys):
    bp.save(table[0], path)
    assert main(["predict", "--model", str(path), "--data", str(tmp_path / "new.csv")]) == 0
    said = capsys.readouterr().err
    assert f"{path} says nothing of its data, so the columns of {tmp_path / 'new.csv'} are taken in their order" in said
    with pytest.raises(bp.CheckpointError, match=r"says nothing of its data; save it with bp\.save\(.*description"):
        bp.load_description(path)


def test_a_description_of_other_data_is_refused_before_anything_is_written(path, table):
    wide = bp.Model([bp.Lin(3, 2, seed=1)], loss=bp.CrossEntropy())
    with pytest.raises(bp.CheckpointError, match=r"description of the data has .*2 features.*3 inputs and 2 outputs"):
        bp.save(wide, path, description=table[1])
    with pytest.raises(TypeError, match=r"save: description: found Samples, expected a bp\.data\.Description"):
        bp.save(table[0], path, description=bp.data.Samples(None, table[1]))
    assert not path.exists()
