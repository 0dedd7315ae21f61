"""gradcheck finds what is wrong, and only that."""

import numpy as np
import pytest

import pybackprop as bp


@pytest.fixture
def tensors(rng):
    shapes = {"w": (3, 3), "b": (3,), "x": (5, 3), "targ": (5, 3)}
    return [bp.tensor(rng.standard_normal(shape).astype(np.float32), name=name) for name, shape in shapes.items()]


def f(w, b, x, targ):
    return bp.mse(bp.relu(bp.lin(x, w, b)), targ)


def gradients(tensors):
    params = [bp.param(t) for t in tensors]
    f(*params).backward()
    return [p.g.data.copy() for p in params]


def test_right_gradients_pass(tensors, dtype):
    tensors = [bp.tensor(t.data.astype(dtype), name=t.name) for t in tensors]
    outcome = bp.gradcheck(f, *tensors)
    assert outcome.ok
    assert outcome.count == 9 + 3 + 15 + 15
    assert outcome.excess <= 1
    assert "42 elements agree" in str(outcome)


WRONG = {
    "zeroed": np.zeros_like,
    "not a number": lambda g: np.full_like(g, np.nan),
    "one not a number": lambda g: np.where(np.arange(g.size).reshape(g.shape) == 1, np.nan, g),
    "sign flipped": lambda g: -g,
    "one sign flipped": lambda g: np.where(abs(g) == abs(g).max(), -g, g),
    "transposed": lambda g: g.T if g.ndim == 2 and g.shape[0] == g.shape[1] else g[::-1],
    "twice": lambda g: 2 * g,
    "infinite": lambda g: np.full_like(g, np.inf),
    "a row too few": lambda g: g * (np.arange(len(g)) > 0).reshape(-1, *[1] * (g.ndim - 1)),
}


@pytest.mark.parametrize("k", [0, 1, 2, 3], ids=["w", "b", "x", "targ"])
@pytest.mark.parametrize("how", WRONG)
def test_wrong_gradients_fail_and_are_named(tensors, how, k):
    grads = gradients(tensors)
    assert bp.gradcheck(f, *tensors, grads=grads)
    grads[k] = WRONG[how](grads[k])
    with pytest.raises(bp.GradientError, match=rf"the worst element is {tensors[k].name}\["):
        bp.gradcheck(f, *tensors, grads=grads)
    assert not bp.gradcheck(f, *tensors, grads=grads, raises=False)


def test_the_popular_wrong_answer_fails(rng):
    """dw = dz @ x.T fits only where shapes happen to agree, and is wrong there too."""
    w, x, targ = (bp.tensor(rng.standard_normal((4, 4)), name=name) for name in ("w", "x", "targ"))
    z = x @ w
    bp.mse_grad(z, targ)
    right, popular = x.T @ z.g, z.g @ x.T
    loss = lambda w, x, targ: bp.mse(x @ w, targ)  # noqa: E731
    assert bp.gradcheck(loss, w, x, targ, grads=[right, None, None])
    assert not bp.gradcheck(loss, w, x, targ, grads=[popular, None, None], raises=False)


def test_only_what_wants_a_gradient_is_checked(tensors):
    tensors[0].requires_g = True
    assert bp.gradcheck(f, *tensors).count == 9


def test_gradients_of_the_caller_are_left_alone(tensors):
    tensors[0].g = np.ones((3, 3), np.float32)
    before = [t.data.copy() for t in tensors]
    bp.gradcheck(f, *tensors)
    assert (tensors[0].g.data == 1).all()
    assert not any(t.requires_g for t in tensors)
    for t, data in zip(tensors, before, strict=True):
        np.testing.assert_array_equal(t.data, data)


def test_at_a_kink_any_slope_between_the_two_sides_is_right():
    x, targ = bp.tensor(np.array([[0.0, 1.0]])), bp.tensor(np.array([[3.0, 3.0]]))
    loss = lambda x, targ: bp.mse(bp.relu(x), targ)  # noqa: E731
    for slope, right in ((0.0, True), (-1.5, True), (-3.0, True), (0.5, False), (-3.5, False)):
        outcome = bp.gradcheck(loss, x, targ, grads=[np.array([[slope, -2.0]]), None], raises=False)
        assert outcome.ok is right, slope


def test_a_function_with_float32_of_its_own_is_explained(tensors):
    with pytest.raises(bp.DTypeError, match="as an argument"):
        bp.gradcheck(lambda w: bp.mse(w, tensors[0]), tensors[0])


def test_wrong_use_is_refused(tensors):
    with pytest.raises(ValueError, match="2 gradients for 4"):
        bp.gradcheck(f, *tensors, grads=[None, None])
    with pytest.raises(ValueError, match="nothing to check"):
        bp.gradcheck(f, *tensors, grads=[None] * 4)
    with pytest.raises(bp.ShapeError, match="tensor 0"):
        bp.gradcheck(f, *tensors, grads=[np.ones(3), None, None, None])
    with pytest.raises(bp.GradientError, match="expected a tensor"):
        bp.gradcheck(lambda *t: 3.0, *tensors)
