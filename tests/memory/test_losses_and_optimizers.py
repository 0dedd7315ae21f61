"""What is predicted for losses with labels, for activations and for what optimizers keep is what is allocated."""

import json
import tracemalloc

import numpy as np
import pytest

import pybackprop as bp
from helpers.optimizers import KINDS
from helpers.plans import STRATEGIES
from pybackprop.cli.main import main
from pybackprop.core.arrays import round_up_to_lines
from pybackprop.core.units import parse_bytes
from pybackprop.memory import schemes

pytestmark = pytest.mark.usefixtures("usual_tiles")

BATCH, NAMES = 500, ("w1", "b1", "w2", "b2")
KEPT = {"sgd": 0, "decay": 0, "momentum": 1, "nesterov": 1, "weights decay": 1}  # 2 of Adam


@pytest.fixture
def model(dtype):
    layers = [bp.Lin(30, 20, dtype=dtype), bp.Tanh(), bp.Lin(20, 10, seed=1, dtype=dtype)]
    for p, name in zip([p for layer in layers[::2] for p in (layer.w, layer.b)], NAMES, strict=True):
        p.name = name
    return bp.Model(layers, loss=bp.CrossEntropy())


def buffers(ledger):
    return {buffer.name: buffer for buffer in ledger.buffers}


# ---- losses ----


def test_labels_are_one_number_for_each_row(model, dtype):
    found = buffers(model.memory(BATCH))
    size = np.dtype(dtype).itemsize
    assert (found["targ"].shape, found["targ"].nbytes) == ((BATCH,), BATCH * size)
    assert found["x"].nbytes == BATCH * 30 * size
    for name, other in model.memory(BATCH).alternatives.items():
        assert other["data"] == BATCH * 31 * size, name
    model.loss = bp.Mse()
    assert buffers(model.memory(BATCH))["targ"].shape == (BATCH, 10)


def test_steps_are_named_as_the_operations_are(model):
    for name, other in model.memory(BATCH).alternatives.items():
        steps = " ".join(step.operation for step in other.steps)
        assert "mse" not in steps, name
        if name in ("first", "functions", "inplace", "model", "model_inplace"):
            assert "cross_entropy cross_entropy_grad" in steps
            assert "tanh" in steps


@pytest.mark.parametrize("targets", ["integers", "numbers", "probabilities"])
def test_a_real_pass_is_as_it_is_predicted(model, rng, dtype, targets):
    x, labels = rng.standard_normal((BATCH, 30)).astype(dtype), rng.integers(10, size=BATCH)
    targ = {"integers": labels, "numbers": labels.astype(dtype), "probabilities": np.eye(10, dtype=dtype)[labels]}
    for p in model.parameters():
        p.g = np.zeros(p.shape, dtype)
    with bp.ledger() as led:
        model(x, targ[targets])
        model.backward()
    predicted = model.memory(BATCH)
    names = [buffer.name for buffer in led.buffers]
    assert "pass workspace" in names  # one call, not layer by layer
    assert led.peak == pytest.approx(predicted.peak, abs=3000)


# ---- what an optimizer keeps ----


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_models_optimizer_keeps(model, rng, dtype, kind):
    optimizer = KINDS[kind](model)
    found = model.memory(BATCH, optimizer)
    assert found["momentum"] == KEPT.get(kind, 2) * found["parameters"]
    assert found["total"] == model.memory(BATCH)["total"] + found["momentum"]
    assert found.steps[-1].operation == f"{optimizer.name}.step"
    assert found.peak == model.memory(BATCH).peak
    model(rng.standard_normal((BATCH, 30)).astype(dtype), rng.integers(10, size=BATCH)).backward()
    with bp.ledger() as led:
        optimizer.step()
    made, predicted = ([b for b in ledger.buffers if b.kind == "momentum"] for ledger in (led, found))
    assert [(b.name, b.shape, b.dtype, b.nbytes) for b in made] == [
        (b.name, b.shape, b.dtype, b.nbytes) for b in predicted
    ]
    assert led.peak == sum(b.nbytes for b in made)
    for p in model.parameters():
        assert len(optimizer.kept(p) if optimizer.keeps else ()) == KEPT.get(kind, 2)


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_python_allocates_as_much(rng, kind):
    model = bp.mlp([600, 400, 10])
    model.loss = bp.CrossEntropy()
    optimizer = KINDS[kind](model)
    model(rng.standard_normal((20, 600)).astype("f"), rng.integers(10, size=20)).backward()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    optimizer.step()
    found = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert found == pytest.approx(model.memory(20, optimizer)["momentum"], rel=0.01)


def test_an_optimizer_of_some_parameters_keeps_that_of_those(model, dtype):
    w2, b2 = model.parameters()[2:]
    found = model.memory(BATCH, bp.Adam([w2, b2]))
    assert found["momentum"] == 2 * (w2.nbytes + b2.nbytes)
    plan = found.alternatives["plan"]
    assert plan["momentum"] == 2 * sum(round_up_to_lines(p.size, p.dtype) * p.dtype.itemsize for p in (w2, b2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_plan_is_predicted_as_it_is(model, kind, strategy):
    optimizer = KINDS[kind](model)
    predicted = model.memory(BATCH, optimizer).alternatives[f"plan_{strategy}"]
    plan = bp.compile(model, batch=BATCH, optimizer=optimizer, strategy=strategy)
    found = plan.memory()
    assert [b.to_dict() for b in found.buffers] == [b.to_dict() for b in predicted.buffers]
    assert found["momentum"] == predicted["momentum"] == plan.arena.kept_bytes
    assert found["momentum"] == KEPT.get(kind, 2) * plan.arena.values.nbytes
    assert found["parameters"] == predicted["parameters"] == plan.arena.values.nbytes
    assert found["gradients"] == predicted["gradients"] == plan.arena.gradients.nbytes
    assert found.peak == plan.layout.values.nbytes + plan.layout.workspace.nbytes


def test_a_plan_with_parameters_that_are_not_trained_is_predicted_as_it_is(model):
    model.layers[0].w.requires_g = False
    optimizer = bp.Adam([model.layers[2].w])
    predicted = model.memory(BATCH, optimizer).alternatives["plan"]
    plan = bp.compile(model, batch=BATCH, optimizer=optimizer)
    assert plan.memory()["gradients"] == predicted["gradients"] == plan.arena.gradients.nbytes
    assert plan.memory()["momentum"] == predicted["momentum"] == plan.arena.kept_bytes


def arrays_traced():
    """The bytes that numpy has allocated since tracing began, and not freed."""
    only = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([only]).traces)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_that_a_plan_holds_is_listed(rng, strategy):
    """Counted by Python while it is compiled and trained by labels, with Adam: the ledger has that, nothing else."""
    model = bp.mlp([300, 200, 10])
    model.loss = bp.CrossEntropy()
    x, labels = rng.standard_normal((900, 300)).astype("f"), rng.integers(10, size=900).astype("f")
    tracemalloc.start()
    before = arrays_traced()
    plan = bp.compile(model, batch=900, optimizer=bp.Adam(lr=0.01), strategy=strategy)
    plan.step(x, labels)
    plan.fit(x, labels, epochs=1, batch=64)
    found = arrays_traced() - before
    tracemalloc.stop()
    ledger = plan.memory()
    assert found == pytest.approx(ledger["total"], abs=2000)
    names = buffers(ledger)
    assert {"parameters", "gradients", "exp_avg", "exp_avg_sq", "a gathered batch"} <= names.keys()
    assert names["exp_avg"].nbytes == names["exp_avg_sq"].nbytes == plan.arena.values.nbytes
    assert names["a gathered batch"].nbytes == plan.layout.gathered.nbytes


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_fits_counts_what_the_optimizer_keeps(model, kind):
    optimizer, room = KINDS[kind](model), parse_bytes("1MB")
    found, without = bp.fits(model, room, optimizer=optimizer), bp.fits(model, room)
    network = schemes.network_of(model)
    for name, batch in found.items():
        scheme = schemes.named(name)
        below, above = (scheme.ledger(network, rows, optimizer).whole for rows in (max(batch, 1), batch + 1))
        assert batch == 0 or below <= room
        assert above > room
        assert batch <= without[name]
    assert found["functions"] < without["functions"]


def test_what_is_refused(model):
    for call in (lambda: model.memory(4, "adam"), lambda: bp.fits(model, "1MB", optimizer="adam")):
        with pytest.raises(TypeError, match=r"(memory|fits): found optimizer str, expected a bp\.SGD, Adam or AdamW"):
            call()
    with pytest.raises(ValueError, match=r"the optimizer updates .*, which the model does not have"):
        model.memory(4, bp.SGD([bp.param([1.0])], lr=0.1))


# ---- on the command line ----


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        (("--optimizer", "adam"), bp.Adam()),
        (("--optimizer", "adamw"), bp.AdamW()),
        (("--optimizer", "sgd"), bp.SGD(lr=0.1, momentum=0.9)),
        (("--optimizer", "sgd", "--momentum", "0"), bp.SGD(lr=0.1)),
    ],
)
def test_the_command_predicts_the_same(capsys, options, optimizer):
    network = ("--layers", "30,20,10", "--batch", "500", "--activation", "tanh", "--loss", "cross_entropy")
    model = bp.Model([bp.Lin(30, 20), bp.Tanh(), bp.Lin(20, 10)], loss=bp.CrossEntropy())
    assert main(["memory", *network, *options, "--memory", "1MB", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ledgers, fits = model.memory(500, optimizer).alternatives, bp.fits(model, "1MB", optimizer=optimizer)
    assert found["held"]["momentum"] == ledgers["first"]["momentum"]
    assert (found["activation"], found["loss"], found["optimizer"]) == ("tanh", "cross_entropy", options[1])
    for way in found["ways"]:
        assert (way["predicted"], way["fits"]) == (ledgers[way["name"]].peak, fits[way["name"]])
    assert main(["memory", *network, *options, "--scheme", "model"]) == 0
    assert ("exp_avg_sq.w1" in capsys.readouterr().out) is isinstance(optimizer, bp.Adam)


def test_momentum_without_sgd_is_told(capsys):
    assert main(["memory", "--optimizer", "adam", "--momentum", "0.9"]) == 1
    assert "--momentum: goes with --optimizer sgd" in capsys.readouterr().err
