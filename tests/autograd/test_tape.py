"""The tape: overwrite, sum over paths, accumulate, keep, and loud refusals."""

import gc
import sys
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits


@pytest.fixture
def w(rng):
    return bp.param(rng.standard_normal((3, 3)).astype(np.float32), name="w")


@pytest.fixture
def x(rng):
    return bp.tensor(rng.standard_normal((4, 3)).astype(np.float32))


def loss_of(out):
    return bp.mse(out, np.zeros(out.shape, out.dtype))


def test_backward_overwrites(x, w):
    loss_of(x @ w).backward()
    once = w.g.data.copy()
    buffer = w.g
    loss_of(x @ w).backward()
    assert_same_bits(w.g.data, once)
    assert w.g is buffer


def test_accumulate_adds(x, w):
    w.g = np.ones((3, 3), np.float32)
    out = x @ w
    loss_of(out).backward(accumulate=True)
    dout = bp.reference.mse_backward(out, np.zeros((4, 3), np.float32))
    assert_same_bits(w.g.data, bp.reference.linear_backward_w(x, dout, add_to=np.ones((3, 3), np.float32)))


def test_a_tensor_used_twice_gets_the_sum_of_its_paths(x, w):
    assert bp.gradcheck(lambda w, x: loss_of(bp.relu(x @ w) @ w + x @ w), w, x)


def test_a_tensor_added_to_itself(w):
    loss_of(w + w).backward()
    np.testing.assert_allclose(w.g.data, 8 * w.data / 9, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 1), (4, 3), ()])
def test_the_gradient_of_a_broadcast_sum_adds_over_what_was_stretched(x, shape, rng):
    b = bp.param(rng.standard_normal(shape))
    x = x.double()
    bp.mse(x + b, np.zeros((4, 3))).backward()
    expected = 2 * (x.data + b.data) / 12
    for axis, length in enumerate(np.broadcast_shapes((1, 1), shape)):
        expected = expected.sum(axis, keepdims=True) if length == 1 else expected
    np.testing.assert_allclose(b.g.data, expected.reshape(shape), rtol=1e-12)


def test_numbers_may_be_added_on_the_tape(x, w):
    assert bp.gradcheck(lambda w, x: loss_of(1 + (x @ w) + 2.5), w, x)


def test_the_data_gets_no_gradient_unless_it_wants_one(x, w):
    loss_of(x @ w).backward()
    assert x.g is None
    x.requires_g = True
    loss_of(x @ w).backward()
    assert x.g.shape == x.shape


def test_keep_leaves_intermediate_gradients(x, w):
    l1 = x @ w
    l2 = bp.relu(l1)
    loss = loss_of(l2)
    loss.backward()
    assert (l1.g, l2.g, loss.g) == (None, None, None)
    loss.backward(keep=True)
    assert float(loss.g) == 1
    assert_same_bits(l2.g.data, bp.reference.mse_backward(l2, np.zeros((4, 3), np.float32)))
    assert_same_bits(l1.g.data, bp.reference.relu_backward(l1, l2.g))
    loss.backward()
    assert (l1.g, l2.g) == (None, None)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("abs", abs),
        (".max", lambda t: t.max()),
        (".min", lambda t: t.min(0)),
        (".exp", lambda t: t.exp()),
        (".log", lambda t: t.log()),
        (r"\*\*", lambda t: t**1.5),
        (r"\*\*", lambda t: t**65),
        (r"\*\*", lambda t: t ** np.ones(3, np.float32)),
        ("matmul", lambda t: bp.matmul(t, t, transpose_b=True)),
    ],
)
def test_an_operation_without_derivative_cuts_loudly(x, w, name, cut):
    w.g = np.ones((3, 3), np.float32)
    result = cut(x @ w)
    with pytest.raises(bp.GradientError, match=name):
        bp.mse(result, result.data * 0).backward()
    assert (w.g.data == 1).all()


def test_a_copy_is_off_the_tape_and_a_clone_on_it(x, w):
    with pytest.raises(bp.GradientError, match="not on a tape"):
        loss_of(bp.tensor(x @ w)).backward()
    loss_of((x @ w).clone()).backward()
    cloned = w.g.data.copy()
    loss_of(x @ w).backward()
    assert_same_bits(w.g.data, cloned)


OVERWRITES = {
    "w += 1": lambda x, w: w.__iadd__(1),
    "w[0] = 0": lambda x, w: w.__setitem__(0, 0),
    "sgd": lambda x, w: (setattr(w, "g", w.data), bp.SGD([w], lr=0.1).step()),
    "x *= 2": lambda x, w: x.__imul__(2),
    "matmul into x": lambda x, w: bp.matmul(np.ones((4, 3), "f"), np.eye(3, dtype="f"), out=x),
    "x.T": lambda x, w: x.T.__imul__(2),
    "relu_(x)": lambda x, w: bp.relu_(x),
    "x.zero_()": lambda x, w: x.zero_(),
}


@pytest.mark.parametrize("how", OVERWRITES)
def test_a_value_overwritten_before_backward_is_noticed(x, w, how):
    loss = loss_of(bp.relu(x @ w) @ w)
    OVERWRITES[how](x, w)
    before = None if w.g is None else w.g.data.copy()
    with pytest.raises(bp.GradientError, match="overwritten after"):
        loss.backward()
    assert (w.g is None) if before is None else (w.g.data == before).all()


def test_overwriting_what_nobody_needs_is_fine(x, w):
    b = bp.param(np.zeros(3, np.float32))
    loss = loss_of(x @ w + b)
    b += 1
    loss.backward()
    assert b.g is not None


def test_relu_in_place_on_the_tape(x, w):
    l1 = x @ w
    loss = loss_of(bp.relu_(l1))
    loss.backward()
    found = w.g.data.copy()
    loss_of(bp.relu(x @ w)).backward()
    assert_same_bits(w.g.data, found)


def test_relu_in_place_is_refused_where_another_needs_the_old_values(x, w):
    l1 = x @ w
    other = bp.relu(l1)
    loss = loss_of(bp.relu_(l1) + other)
    with pytest.raises(bp.GradientError, match="overwritten"):
        loss.backward()


def test_relu_in_place_refuses_parameters_and_views_of_the_tape(x, w):
    with pytest.raises(bp.GradientError, match="parameter"):
        bp.relu_(w)
    with pytest.raises(bp.GradientError, match="share"):
        bp.relu_((x @ w)[0])


def test_writing_to_a_result_on_the_tape_is_refused(x, w):
    out = x @ w
    before = out.data.copy()
    for write in (lambda: out.__imul__(2), lambda: out.__setitem__(0, 1), out.zero_):
        with pytest.raises(bp.GradientError, match="on the tape"):
            write()
    assert_same_bits(out.data, before)


def test_backward_of_many_numbers_is_refused(x, w):
    with pytest.raises(bp.GradientError, match=r"\(4, 3\).*one number"):
        (x @ w).backward()


def test_backward_without_a_tape_is_refused(x):
    with pytest.raises(bp.GradientError, match=r"bp\.param"):
        loss_of(x).backward()
    with pytest.raises(bp.GradientError, match="not on a tape"):
        bp.param(1.0).backward()


def test_backward_twice_gives_the_same(x, w):
    loss = loss_of(x @ w)
    loss.backward()
    once = w.g.data.copy()
    loss.backward()
    assert_same_bits(w.g.data, once)


def test_a_graph_deeper_than_the_stack(x):
    w = bp.param(np.eye(3, dtype=np.float32))
    out = x @ w
    for _ in range(3 * sys.getrecursionlimit()):
        out = bp.relu(out)
    loss_of(out).backward()
    loss = loss_of(bp.relu(x @ w))
    found = w.g.data.copy()
    loss.backward()
    assert_same_bits(w.g.data, found)
    del out, loss


def test_the_tape_is_freed_without_the_garbage_collector(x, w):
    gc.disable()
    try:
        l1 = x @ w
        loss = loss_of(bp.relu(l1) + bp.relu_(x @ w))
        loss.backward(keep=True)
        watched = weakref.ref(l1)
        del l1, loss
        assert watched() is None
    finally:
        gc.enable()


def test_a_gradient_that_is_switched_off_after_forward(x, w):
    hidden = x @ w
    loss = loss_of(hidden)
    hidden.requires_g = False
    loss.backward()
    assert w.g is None
