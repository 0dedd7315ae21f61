"""Names that PyTorch and Keras have: asking for one says what to use here, and what it says works."""

import copy
import pickle
import re

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import other_libraries

HINTS = [(kind.__name__, name, hint) for kind, hints in other_libraries.CLASSES.items() for name, hint in hints.items()]
HINTS += [("pybackprop", name, hint) for name, hint in other_libraries.PACKAGE.items()]
HINTS += [("pybackprop.nn", name, hint) for name, hint in other_libraries.LAYER_NAMES.items()]
SENTENCES = sorted({hint for _, _, hint in HINTS})


def owners():
    model = bp.mlp([784, 50, 10])
    sgd = bp.SGD(model, lr=0.1)
    return {
        "Tensor": bp.tensor([1.0, 2.0]),
        "Module": bp.Relu(),
        "Lin": model.layers[0],
        "Model": model,
        "Optimizer": sgd,
        "Plan": bp.compile(bp.mlp([3, 2]), batch=4, optimizer=bp.SGD(lr=0.1)),
        "pybackprop": bp,
        "pybackprop.nn": bp.nn,
    }


@pytest.fixture(scope="module")
def owner():
    return owners()


@pytest.mark.parametrize(("kind", "name", "hint"), HINTS, ids=lambda value: value[:30])
def test_each_name_has_one_sentence(owner, kind, name, hint):
    with pytest.raises(AttributeError) as error:
        getattr(owner[kind], name)
    assert f"has no attribute '{name}': {hint}" in str(error.value)
    assert "`" in hint
    assert hint.count("`") % 2 == 0
    assert not hasattr(owner[kind], name)
    assert name not in dir(owner[kind])


@pytest.fixture
def program(tmp_path):
    """What a hint's code may use."""
    names = {"bp": bp, "np": np, "print": lambda *_: None, "array": np.ones((2, 3), np.float32)}
    names["path"] = path = tmp_path / "model.npz"
    names["model"] = model = bp.mlp([784, 50, 10])
    if hasattr(bp, "save"):
        bp.save(model, path)
    names["layer"], names["sgd"] = model.layers[0], bp.SGD(model, lr=0.1)
    names["plan"] = bp.compile(bp.mlp([784, 10]), batch=64, optimizer=bp.SGD(lr=0.1))
    names["x"], names["targ"] = x, targ = (
        bp.tensor(np.ones((64, 784), np.float32)),
        bp.tensor(np.ones((64, 10), np.float32)),
    )
    names["w"], names["b"] = w, b = bp.param(np.ones((784, 10)), "float32"), bp.param(np.ones(10), "float32")
    names["out"], names["loss"] = bp.lin(x, w, b), model(x, targ)
    model.backward()
    names["t"] = bp.tensor([1.0, 2.0])
    return names


@pytest.mark.parametrize("hint", SENTENCES, ids=lambda hint: hint[:40])
def test_what_a_hint_says_works(program, hint):
    for code in re.findall("`(.*?)`", hint):
        exec(compile(code, "<hint>", "exec"), program)


def test_other_names_say_nothing(owner):
    for kind in owner.values():
        with pytest.raises(AttributeError, match=r"nonsense'$"):
            _ = kind.nonsense
    with pytest.raises(ImportError):
        exec("from pybackprop import nonsense")


def test_a_tensor_refuses_other_names_with_the_hint():
    w = bp.param([1.0])
    with pytest.raises(AttributeError, match="the gradient is"):
        w.grad = None


def test_a_layer_of_ones_own_may_have_such_a_name():
    class Scaled(bp.Module):
        def __init__(self):
            self.weight = bp.param([2.0])
            self.train = True

        def eval(self):
            return "mine"

        def forward(self, inp):
            return inp * self.weight

    layer = Scaled()
    assert (layer.weight.item(), layer.train, layer.eval()) == (2.0, True, "mine")
    assert {"weight", "train", "eval"} <= set(dir(layer))
    assert "state_dict" not in dir(layer)
    again = pickle.loads(pickle.dumps(bp.Model([bp.Lin(np.ones((1, 1)))])))
    assert not hasattr(again, "fit")
    assert copy.deepcopy(layer).weight.item() == 2.0


def test_lazily_loaded_names_are_listed():
    assert set(bp.__all__) <= set(dir(bp))
    for name in bp.__all__:
        assert getattr(bp, name) is not None
    assert not {"Any", "import_module", "missing"} & set(dir(bp))
