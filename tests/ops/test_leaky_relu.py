"""leaky_relu: by bits against the reference, by value against numpy and PyTorch, in all that knows operations."""

import itertools

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.ops import LEAKY_RELU

SLOPE = 0.2
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.0, -3.0]


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    both_nan = np.isnan(a) & np.isnan(b)
    kind = f"u{a.itemsize}"
    return a.dtype == b.dtype and bool(((a.view(kind) == b.view(kind)) | both_nan).all())


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 70_000])
def test_forward_and_backward_are_the_definitions(each_setting, rng, dtype, size):
    x, dout = (rng.standard_normal(size).astype(dtype) for _ in range(2))
    x[: min(size, len(SPECIAL))] = SPECIAL[:size]
    inp = bp.tensor(x)
    out = bp.leaky_relu(inp, SLOPE)
    out.g = dout
    bp.leaky_relu_grad(inp, out, SLOPE)
    assert same_bits(out, bp.reference.leaky_relu_forward(x, SLOPE))
    assert same_bits(inp.g, bp.reference.leaky_relu_backward(x, dout, SLOPE))
    with np.errstate(all="ignore"):
        assert same_bits(out, np.where(x > 0, x, dtype(SLOPE) * x))
        assert same_bits(inp.g, np.where(x > 0, dout, dtype(SLOPE) * dout))


def test_the_values_are_pytorchs(rng, dtype):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((40, 30)).astype(dtype)
    theirs = torch.tensor(x, requires_grad=True)
    result = torch.nn.functional.leaky_relu(theirs)
    result.backward(torch.ones_like(result))
    inp = bp.param(x)
    out = bp.leaky_relu(inp)
    out.g = np.ones_like(x)
    bp.leaky_relu_grad(inp, out)
    assert np.array_equal(out, result.detach().numpy())
    assert np.array_equal(inp.g, theirs.grad.numpy())


@pytest.mark.parametrize("slope", [0, -0.1, np.nan, np.inf, "0.1", None, True, 1e-60])
def test_a_slope_out_of_range_is_refused(slope):
    with pytest.raises(ValueError, match=r"leaky_relu: found negative_slope=.*above 0; for 0 use relu"):
        bp.leaky_relu(np.ones(3, np.float32), slope)


def network(rng, dtype, sizes=(9, 8, 7, 3)):
    """(Model, its parameters): lin, leaky_relu, lin, relu, lin, leaky_relu."""
    shapes = list(itertools.pairwise(sizes))
    parameters = [(bp.param(rng.standard_normal(s), dtype), bp.param(rng.standard_normal(s[1]), dtype)) for s in shapes]
    activations = [bp.LeakyRelu(SLOPE), bp.Relu(), bp.LeakyRelu()]
    layers = [part for pair in zip((bp.Lin(*p) for p in parameters), activations, strict=True) for part in pair]
    return bp.Model(layers), [p for pair in parameters for p in pair]


def by_reference(parameters, x, targ):
    """loss and gradients of that network, step by step through the definition."""
    ref, slopes = bp.reference, (SLOPE, None, 0.01)
    inputs, zs, inp = [], [], x
    for k, slope in enumerate(slopes):
        w, b = (p.data for p in parameters[2 * k : 2 * k + 2])
        inputs.append(inp)
        zs.append(ref.linear_forward(inp, w, b))
        inp = ref.relu_forward(zs[-1]) if slope is None else ref.leaky_relu_forward(zs[-1], slope)
    loss, dout, grads = ref.mse_forward(inp, targ), ref.mse_backward(inp, targ), []
    for k, slope in reversed(list(enumerate(slopes))):
        dz = ref.relu_backward(zs[k], dout) if slope is None else ref.leaky_relu_backward(zs[k], dout, slope)
        grads = [ref.linear_backward_w(inputs[k], dz), ref.linear_backward_b(dz), *grads]
        dout = ref.linear_backward_x(dz, parameters[2 * k].data)
    return loss, grads


@pytest.mark.parametrize("n", [1, 5, 600, 1100])
def test_tape_model_and_plans_give_the_definitions_bits(each_setting, rng, dtype, n):
    model, parameters = network(rng, dtype)
    x, targ = rng.standard_normal((n, 9)).astype(dtype), rng.standard_normal((n, 3)).astype(dtype)
    loss, grads = by_reference(parameters, x, targ)

    def check(found):
        assert same_bits(np.asarray(found, dtype), loss)
        assert all(same_bits(p.g, g) for p, g in zip(parameters, grads, strict=True))

    found = model(x, targ)
    model.backward()
    check(found)
    value = bp.tensor(x)
    for layer in model.layers:
        value = layer(value)
    found = bp.mse(value, targ)
    found.backward()
    check(found)
    for strategy in ("layers", "split", "fused"):
        check(bp.compile(model, batch=n, strategy=strategy).grads(x, targ))


def test_a_model_in_place(rng, dtype):
    model, parameters = network(rng, dtype)
    x, targ = rng.standard_normal((6, 9)).astype(dtype), rng.standard_normal((6, 3)).astype(dtype)
    loss, grads = by_reference(parameters, x, targ)
    model.inplace = True
    assert same_bits(model(x, targ), loss)
    model.backward()
    assert all(same_bits(p.g, g) for p, g in zip(parameters, grads, strict=True))


def test_gradcheck_ledger_memory_and_messages(rng):
    model, parameters = network(rng, np.float64)
    x, targ = rng.standard_normal((6, 9)), rng.standard_normal((6, 3))
    assert bp.gradcheck(model, x, targ)
    with bp.ledger() as led:
        bp.mse(bp.leaky_relu(bp.lin(x, *parameters[:2])), np.ones((6, 8))).backward()
    assert {"leaky_relu", "leaky_relu_grad"} <= {step.operation for step in led.steps}
    assert "leaky_relu" in str(model.memory(6))
    z = bp.lin(x, *parameters[:2])
    loss = bp.mse(bp.leaky_relu(z), np.ones((6, 8)))
    bp.relu_(z)
    with pytest.raises(bp.GradientError, match=r"after 'leaky_relu' read it, by relu_.*negative_slope"):
        loss.backward()


def test_explained_and_judged(rng):
    x, targ = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    w, z_name = bp.param(rng.standard_normal((3, 2)), name="w"), "z"
    z = bp.lin(x, w)
    z.name = z_name
    loss = bp.mse(bp.leaky_relu(z, SLOPE), targ)
    loss.backward(keep=True)
    at = tuple(int(i) for i in np.argwhere(z.data < 0)[0])
    explanation = bp.explain(z, at=at, loss=loss)
    assert explanation.agrees
    assert abs(explanation.check) < 1e-6
    assert explanation.terms[0].local == SLOPE
    assert "measured" not in str(explanation)
    assert bp.judge(z, "(z > 0) * da + negative_slope * (z <= 0) * da")
    assert not bp.judge(z, "(z > 0) * da")


def test_its_record():
    assert LEAKY_RELU.elementwise
    assert LEAKY_RELU.kink == 0
    assert same_bits(LEAKY_RELU.replay([np.array([-1.0, 2.0])], negative_slope=0.5), np.array([-0.5, 2.0]))
