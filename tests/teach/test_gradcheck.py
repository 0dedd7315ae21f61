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


# ---- scales: what noise hides is said to be hidden ----

SCALES = 10.0 ** np.arange(-6, 8)
SEEN = {np.float32: 1e-2, np.float64: 1e-3}


class ScaledNetwork:
    """A random network with one or two layers; data, weights, biases and targets each have a scale of their own."""

    def __init__(self, seed, dtype):
        rng = self.rng = np.random.default_rng(seed)
        n, m, h, o = rng.integers(1, 7, 4)
        shapes = [(m, o)] if rng.integers(3) == 0 else [(m, h), (h, o)]
        scale = iter(np.where(rng.random(8) < 0.5, rng.choice(SCALES, 8), 1.0))
        arrays = [
            rng.standard_normal((n, m)) * next(scale),
            (rng.standard_normal((n, o)) + rng.integers(3)) * next(scale),
        ]
        for shape in shapes:
            arrays += [rng.standard_normal(shape) * next(scale), rng.standard_normal(shape[1]) * next(scale)]
        self.data = [bp.tensor(array.astype(dtype)) for array in arrays[:2]]
        self.params = [bp.param(array.astype(dtype), name=f"p{k}") for k, array in enumerate(arrays[2:])]
        loss = self(*self.data, *self.params)
        loss.backward()
        gradients = [p.g.data for p in self.params]
        self.is_finite = all(np.isfinite(array).all() for array in (loss.data, *gradients))

    def __call__(self, x, targ, *params):
        out = bp.lin(x, *params[:2])
        return bp.mse(bp.lin(bp.relu(out), *params[2:]) if params[2:] else out, targ)

    def check(self, grads=None):
        return bp.gradcheck(self, *self.data, *self.params, grads=grads, raises=False)

    def with_one_element_wrong(self, error):
        """The outcome where only one parameter is checked, of which one element is wrong; None if that is 0."""
        k = self.rng.integers(len(self.params))
        gradient = self.params[k].g.data.astype(np.float64)
        at = tuple(self.rng.integers(length) for length in gradient.shape)
        gradient[at] *= 1 + error
        grads = [None] * (2 + len(self.params))
        grads[2 + k] = gradient
        return self.check(grads) if gradient[at] else None


def networks(dtype, count):
    made = (ScaledNetwork(seed, dtype) for seed in range(count))
    return [network for network in made if network.is_finite]


@pytest.mark.filterwarnings("ignore:.*Nothing was checked:RuntimeWarning")
@pytest.mark.parametrize("count", [40, pytest.param(4000, marks=pytest.mark.slow)])
def test_right_gradients_of_any_scale_are_called_right(dtype, count):
    for network in networks(dtype, count):
        assert network.check(), network.rng


@pytest.mark.filterwarnings("ignore:.*Nothing was checked:RuntimeWarning")
@pytest.mark.parametrize("count", [40, pytest.param(4000, marks=pytest.mark.slow)])
def test_one_wrong_element_of_any_scale_is_found_or_said_to_be_hidden(dtype, count):
    outcomes = [network.with_one_element_wrong(SEEN[dtype]) for network in networks(dtype, count)]
    outcomes = [outcome for outcome in outcomes if outcome is not None]
    missed = [outcome for outcome in outcomes if outcome]
    assert all(outcome.unresolved for outcome in missed)
    assert len(missed) <= 0.01 * len(outcomes)


@pytest.mark.parametrize("scale", [2e5, 1e7])
def test_large_targets_do_not_make_a_right_gradient_wrong(scale, rng):
    x, targ = rng.standard_normal((8, 3)), (rng.standard_normal((8, 1)) + 2) * scale
    w, b = rng.standard_normal((3, 1)), np.zeros(1)
    loss = lambda w, b: bp.mse(bp.lin(x, w, b), targ)  # noqa: E731
    dout = 2 * (x.astype(np.longdouble) @ w - targ) / 8
    right = [x.T.astype(np.longdouble) @ dout, dout.sum(0)]
    outcome = bp.gradcheck(loss, w, b, grads=right)
    assert (outcome.count, outcome.unresolved) == (4, 0)
    assert not bp.gradcheck(loss, w, b, grads=[right[0] * 1.001, None], raises=False)


def test_a_tiny_wrong_element_beside_large_ones_is_found(rng):
    w, targ = rng.standard_normal((3, 2)), rng.standard_normal((4, 2))
    x = rng.standard_normal((4, 3)) * [1e6, 1, 1e-6]
    loss = lambda w: bp.mse(bp.lin(x, w), targ)  # noqa: E731
    right = x.T @ (2 * (x @ w - targ) / 8)
    assert bp.gradcheck(loss, w, grads=[right]).unresolved == 0
    for at in np.ndindex(3, 2):
        wrong = right.copy()
        wrong[at] *= 1.001
        outcome = bp.gradcheck(loss, w, grads=[wrong], raises=False)
        assert not outcome
        assert outcome.index == at


def test_a_zero_in_place_of_a_tiny_gradient_is_found_and_a_true_zero_is_right(rng):
    x = np.array([[1e-6, 0.0, 1.0]])
    w = rng.standard_normal((3, 1))
    loss = lambda w: bp.mse(bp.lin(x, w), np.array([[1e7]]))  # noqa: E731
    right = x.T @ (2 * (x @ w - 1e7))
    assert bp.gradcheck(loss, w, grads=[right]).unresolved == 0
    outcome = bp.gradcheck(loss, w, grads=[np.where(x.T == 1e-6, 0, right)], raises=False)
    assert (outcome.ok, outcome.index) == (False, (0, 0))


def near_a_kink(x):
    """A loss of 1e14 whose relu is 2e-9 away from its kink: too near for a step that noise does not hide."""
    return bp.mse(bp.relu(x + np.array([-1.0, 0.0])), np.array([1e7, 0.0]))


def test_what_noise_hides_is_counted_and_said():
    x, right = np.array([1 + 2e-9, 100.0]), np.array([-1e7, 100.0])
    for gradient in (right, right * [1.001, 1]):
        outcome = bp.gradcheck(near_a_kink, x, grads=[gradient])
        assert (outcome.count, outcome.unresolved) == (2, 1)
        assert outcome.noise > 0.1
        assert "1 elements agree, 1 cannot be resolved: noise up to" in str(outcome)
    assert not bp.gradcheck(near_a_kink, x, grads=[right * [1, 1.001]], raises=False)


def test_where_nothing_can_be_resolved_a_warning_says_that_nothing_was_checked():
    loss = lambda x: bp.mse(bp.relu(x + np.array([-1.0])), np.array([1e7]))  # noqa: E731
    with pytest.warns(RuntimeWarning, match="0 elements agree, 1 cannot be resolved.*Nothing was checked"):
        assert bp.gradcheck(loss, np.array([1 + 2e-9]))
