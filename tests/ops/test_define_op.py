"""An operation of one's own, made of two functions on arrays, is known to all that operations are known to."""

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.ops import registry


def leaky(x, slope=0.01):
    return np.where(x > 0, x, slope * x)


@pytest.fixture
def op():
    made = bp.define_op(
        "leaky_relu_of_mine",
        leaky,
        lambda dout, x, slope=0.01: np.where(x > 0, dout, slope * dout),
        equation="out = inp where inp > 0, else slope inp",
        gradients=("out.g where inp > 0, else slope out.g",),
        elementwise=True,
        kink=0.0,
    )
    yield made
    del registry[made.name]


@pytest.fixture
def gate():
    made = bp.define_op(
        "gate", lambda a, b: a * b, lambda dout, a, b: (dout * b, dout * a), operands=("a", "b"), elementwise=True
    )
    yield made
    del registry[made.name]


def test_it_computes_with_parameters_and_keeps_the_dtype(op, rng, dtype):
    x = rng.standard_normal((4, 3)).astype(dtype)
    assert op(x).dtype == dtype
    assert np.array_equal(op(x, slope=0.3), leaky(x, dtype(0.3)))
    assert np.array_equal(op([1.0, -2.0]), np.float32([1, -0.02]))


def test_tape(op, rng, dtype):
    x, w = rng.standard_normal((5, 4)).astype(dtype), bp.param(rng.standard_normal((4, 3)), dtype)
    targ = rng.standard_normal((5, 3)).astype(dtype)
    z = x @ w
    out = op(z, slope=0.2)
    bp.mse(out, targ).backward()
    dout = 2 * (leaky(x @ w.data, dtype(0.2)) - targ) / targ.size
    expected = x.T @ np.where(x @ w.data > 0, dout, dtype(0.2) * dout)
    assert np.allclose(w.g, expected, rtol=1e-5 if dtype is np.float32 else 1e-12)


def test_an_operand_used_twice_gets_the_sum(gate, rng):
    x = bp.param(rng.standard_normal((3, 2)))
    bp.mse(gate(x, x), np.zeros((3, 2))).backward()
    assert np.allclose(x.g, 4 * x.data**3 / 6)


def test_several_operands_and_gradcheck(gate, op, rng):
    a, b, targ = bp.param(rng.standard_normal((3, 2))), bp.param(rng.standard_normal((3, 2))), np.ones((3, 2))
    assert bp.gradcheck(lambda a, b: bp.mse(op(gate(a, b)), targ), a, b)


def test_gradcheck_finds_a_wrong_one(rng):
    wrong = bp.define_op("wrong", np.tanh, lambda dout, x: dout)
    try:
        x = bp.param(rng.standard_normal((3, 2)))
        with pytest.raises(bp.GradientError, match="wrong"):
            bp.gradcheck(lambda x: bp.mse(wrong(x), np.ones((3, 2))), x)
    finally:
        del registry["wrong"]


def test_by_hand_as_the_lesson_does(op, rng):
    inp = bp.tensor(rng.standard_normal((3, 2)))
    out = op(inp, slope=0.5)
    out.g = np.ones((3, 2))
    op.grad(inp, out, slope=0.5)
    assert np.array_equal(inp.g, np.where(inp.data > 0, 1, 0.5))


def test_a_value_overwritten_before_backward_is_told(op, rng):
    x = bp.param(rng.standard_normal((3, 2)), name="x")
    loss = bp.mse(op(x), np.ones((3, 2)))
    x -= 0.1
    with pytest.raises(bp.GradientError, match=r"'x'.*leaky_relu_of_mine.*x\.g = out\.g where x > 0"):
        loss.backward()


def test_in_a_model_and_refused_by_compile(op, rng):
    w1, w2 = rng.standard_normal((4, 5)), rng.standard_normal((5, 2))
    x, targ = rng.standard_normal((6, 4)), rng.standard_normal((6, 2))
    model = bp.Model([bp.Lin(w1), op, bp.Lin(w2)])
    model(x, targ)
    model.backward()
    assert bp.gradcheck(model, x, targ)
    with pytest.raises(TypeError, match=r"compile: layers\[1\]"):
        bp.compile(model, batch=6)


def test_the_ledger_has_forward_and_backward(op, rng):
    x = bp.param(rng.standard_normal((30, 20)))
    with bp.ledger() as led:
        bp.mse(op(x), np.ones((30, 20))).backward()
    assert [step.operation for step in led.steps] == [
        "leaky_relu_of_mine",
        "mse",
        "mse_grad",
        "leaky_relu_of_mine_grad",
    ]


def test_what_is_wrong_is_said(op, rng):
    with pytest.raises(ValueError, match="there is an operation 'relu' already"):
        bp.define_op("relu", leaky, leaky)
    with pytest.raises(TypeError, match="found 2 operands, expected 1: inp"):
        op(np.ones(3), np.ones(3))
    with pytest.raises(bp.DTypeError):
        op(np.ones(3) * 1j)
    with pytest.raises(bp.GradientError, match="no gradient to pass on yet"):
        op.grad(bp.tensor([1.0]), op(bp.tensor([1.0])))


@pytest.mark.parametrize(
    ("backward", "error", "says"),
    [
        (lambda dout, x: dout[:1], bp.ShapeError, r"shape \(1, 2\) for inp of shape \(3, 2\)"),
        (lambda dout, x: (dout, dout), bp.GradientError, "2 gradients for 1 operands"),
    ],
)
def test_a_wrong_backward_is_told(backward, error, says):
    broken = bp.define_op("broken", lambda x: x + 1, backward)
    try:
        loss = bp.mse(broken(bp.param(np.zeros((3, 2)))), np.ones((3, 2)))
        with pytest.raises(error, match=says):
            loss.backward()
    finally:
        del registry["broken"]


def test_a_result_never_shares_memory_with_an_operand(rng):
    same = bp.define_op("same", lambda x: x, lambda dout, x: dout)
    try:
        x = bp.tensor(rng.standard_normal(3))
        assert not np.shares_memory(same(x).data, x.data)
    finally:
        del registry["same"]
