"""Predictions ask the network's description: any activation is named as its operation is; and who imports whom."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.memory import predict_lesson, predict_model, schemes
from pybackprop.memory.views import Ledger
from pybackprop.nn import network
from pybackprop.ops import registry

BY_HAND = {
    "first": predict_lesson.first,
    "matmul": predict_lesson.matmul,
    "functions": predict_lesson.functions,
    "inplace": predict_lesson.inplace,
    "model": predict_model.model,
    "numpy": predict_model.numpy,
    "torch": predict_model.torch,
}


@pytest.fixture
def softly():
    """An activation of one's own, known until the test ends."""
    yield bp.define_op(
        "softly",
        forward=lambda x: np.log1p(np.exp(x)),
        backward=lambda dout, x: dout / (1 + np.exp(-x)),
        elementwise=True,
    )
    del registry["softly"]


@pytest.fixture
def relu_network():
    return network.of_sizes([30, 20, 10, 3])


@pytest.fixture
def other_network(relu_network, softly):
    stages = (replace(stage, activation=softly, inplace=None) for stage in relu_network.stages[:-1])
    return network.Network((*stages, relu_network.stages[-1]), relu_network.dtype)


@pytest.mark.parametrize("name", BY_HAND)
def test_an_activation_is_named_as_its_operation_is(other_network, name):
    log = BY_HAND[name](other_network, 100)
    texts = [buffer.name for buffer in log.buffers] + [step.operation for step in log.steps]
    assert any("softly" in text.lower() for text in texts)
    assert not any("relu" in text.lower() or "clamp" in text or "> 0" in text for text in texts)


@pytest.mark.parametrize("name", BY_HAND)
def test_another_activation_needs_no_less_than_relu(relu_network, other_network, name):
    """relu has a mask where others have numbers, and an operation in place."""
    relu, other = (Ledger("", BY_HAND[name](net, 1000)) for net in (relu_network, other_network))
    assert relu.peak <= other.peak <= 2 * relu.peak
    assert relu.held == other.held


@pytest.mark.parametrize("name", BY_HAND)
def test_everything_but_results_and_gradients_is_freed(other_network, name):
    log = BY_HAND[name](other_network, 1000)
    assert all(b.freed is not None for b in log.buffers if b.kind == "temporary" and name != "numpy")
    for buffer in log.buffers:
        assert buffer.first_use is None or buffer.made <= buffer.first_use <= buffer.last_use
        assert buffer.freed is None or buffer.last_use is None or buffer.last_use <= buffer.freed


def test_what_pytorch_saves_is_freed_after_its_last_use(relu_network, other_network):
    for net in (relu_network, other_network):
        activations = [b for b in predict_model.torch(net, 100).buffers if b.kind == "activations" and b.shape]
        assert [b.name for b in activations if b.freed is None] == []


def test_every_ledger_is_of_one_class():
    model = bp.mlp([3, 2])
    with bp.ledger() as recorded:
        pass
    ledgers = [model.memory(5), bp.compile(model, batch=5).memory(), recorded, schemes.named("first").ledger]
    assert all(type(ledger) is bp.Ledger for ledger in ledgers[:3])
    assert all(type(other) is bp.Ledger for other in model.memory(5).alternatives.values())


# ---- who imports whom ----

PACKAGE = Path(bp.__file__).parent
FLOORS = {  # what a package may import from, beside itself
    "core": set(),
    "data": {"core"},
    "memory": {"core", "autograd", "data", "ops", "nn", "engine"},
    "bench": {"core", "autograd", "data", "ops", "nn", "engine", "memory", "train", "teach", ""},
}


def imports_of(path):
    """The modules of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pybackprop":
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if exists(name) else node.module for name in inside)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "pybackprop")


def exists(module):
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("package", FLOORS)
def test_imports_point_down(package):
    for path in sorted((PACKAGE / package).rglob("*.py")):
        for module in imports_of(path):
            floor = [*module.split("."), ""][1]
            compiled = floor == "_core"
            assert floor == package or floor in FLOORS[package] or compiled, f"{path} imports {module}"


@pytest.mark.parametrize("package", FLOORS)
def test_no_circle_within_a_package(package):
    graph = {}
    for path in (PACKAGE / package).rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[module] = {name for name in imports_of(path) if name.startswith(f"pybackprop.{package}.")}
    while graph:
        leaves = [module for module, imported in graph.items() if not imported & graph.keys()]
        assert leaves, f"a circle in {sorted(graph)}"
        for module in leaves:
            del graph[module]
