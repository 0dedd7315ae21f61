"""Models whose loss has targets with rules of their own, such as labels, computed in one call: as layer by layer."""

import copy

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.twins import Ordinary, assert_same_gradients, assert_same_layers, is_gone, is_short, layers_of, step

N, M, H = 7, 4, 3


@pytest.fixture
def pair(rng, dtype):
    model = bp.Model(layers_of(rng, (M, 6, H), dtype), loss=bp.CrossEntropy())
    return model, Ordinary(copy.deepcopy(model.layers), loss=bp.CrossEntropy())


@pytest.fixture
def x(rng, dtype):
    return rng.standard_normal((N, M)).astype(dtype)


@pytest.fixture
def labels(rng):
    return rng.integers(H, size=N)


def chances(rng, dtype):
    values = rng.random((N, H)) + 0.01
    return (values / values.sum(1, keepdims=True)).astype(dtype)


TARGETS = {
    "integers": lambda labels, dtype: labels,
    "bytes": lambda labels, dtype: labels.astype(np.uint8),
    "every second": lambda labels, dtype: np.repeat(labels, 2)[::2],
    "numbers": lambda labels, dtype: labels.astype(dtype),
    "tensor": lambda labels, dtype: bp.tensor(labels, dtype),
    "one-hot": lambda labels, dtype: np.eye(H, dtype=dtype)[labels],
    "one-hot tensor": lambda labels, dtype: bp.tensor(np.eye(H)[labels], dtype),
}
LAYER_BY_LAYER = {
    "list": lambda labels, dtype: labels.tolist(),
    "the other type": lambda labels, dtype: labels.astype(np.float64 if dtype == np.float32 else np.float32),
    "a tensor's every second": lambda labels, dtype: bp.as_tensor(np.repeat(labels.astype(dtype), 2)[::2]),
    "one-hot, columns": lambda labels, dtype: bp.as_tensor(np.asfortranarray(np.eye(H, dtype=dtype)[labels])),
}


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("make", TARGETS.values(), ids=TARGETS)
def test_one_call_gives_the_bits_of_all_layers(pair, x, labels, dtype, make, inplace):
    model, twin = pair
    model.inplace = inplace
    targ = make(labels, dtype)
    for options in ({}, {}, {"accumulate": True}, {}):
        loss = step(model, x, targ, **options)
        assert is_short(loss)
        assert_same_bits(loss.data, step(twin, x, targ, **options).data)
        assert_same_gradients(model, twin)


@pytest.mark.parametrize("make", LAYER_BY_LAYER.values(), ids=LAYER_BY_LAYER)
def test_other_targets_are_computed_layer_by_layer(pair, x, labels, dtype, make):
    model, twin = pair
    targ = make(labels, dtype)
    for _ in range(2):
        loss = step(model, x, targ)
        assert not is_short(loss)
        assert_same_bits(loss.data, step(twin, x, targ).data)
        assert_same_gradients(model, twin)


def test_labels_and_probabilities_may_take_turns(pair, rng, x, labels, dtype):
    model, twin = pair
    for targ in (labels, labels, chances(rng, dtype), chances(rng, dtype), labels, chances(rng, dtype)):
        loss = step(model, x, targ)
        assert is_short(loss)
        assert_same_bits(loss.data, step(twin, x, targ).data)
        assert_same_gradients(model, twin)


@pytest.mark.parametrize("make", TARGETS.values(), ids=TARGETS)
def test_the_tape_is_written_down_as_the_layers_would(pair, x, labels, dtype, make):
    model, twin = pair
    targ = make(labels, dtype)
    losses = [one(x, targ) for one in (model, twin)]
    assert is_short(losses[0])
    assert_same_layers(model, twin)
    assert losses[0]._node.op is losses[1]._node.op
    for loss in losses:
        loss.backward(keep=True)
    assert_same_gradients(model, twin)
    assert_same_bits(model.layers[0].out.g.data, twin.layers[0].out.g.data)


def test_a_loss_that_is_scaled_takes_the_tape(pair, x, labels):
    model, twin = pair
    for one in (model, twin):
        (one(x, labels) * 3).backward()
    assert_same_gradients(model, twin)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.__setitem__(2, H), rf"targ\[2\] is {H}"),
        (lambda a: a.__setitem__(0, -1), r"targ\[0\] is -1"),
    ],
)
def test_labels_are_checked_at_each_call(pair, x, labels, dtype, change, words):
    for targ in (labels.copy(), labels.astype(dtype), bp.tensor(labels, dtype)):
        for _ in range(3):
            step(pair[0], x, targ)
        before = [p.g.data.copy() for p in pair[0].parameters()]
        change(targ if isinstance(targ, np.ndarray) else targ.data)
        texts = []
        for one in pair:
            with pytest.raises(ValueError, match=words) as caught:
                one(x, targ)
            texts.append(str(caught.value))
        assert texts[0] == texts[1]
        for p, g in zip(pair[0].parameters(), before, strict=True):
            assert_same_bits(p.g.data, g)


@pytest.mark.parametrize(
    "targ",
    [
        lambda n: np.zeros(n + 1, int),
        lambda n: np.zeros((n, H + 1)),
        lambda n: np.zeros((n, 1), int),
        lambda n: np.full(n, 0.5),
        lambda n: np.full((n, H), 0.5),
        lambda n: np.zeros(n, complex),
        lambda n: bp.param(np.zeros(n)),
        lambda n: "labels",
    ],
)
def test_errors_are_those_of_the_layers(pair, x, dtype, targ):
    given = targ(N)
    given = given.astype(dtype) if isinstance(given, np.ndarray) and given.dtype.kind == "f" else given
    found = []
    for one in pair:
        with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
            one(x, given)
        found.append((type(caught.value), str(caught.value)))
    assert found[0] == found[1]


def test_labels_that_change_between_forward_and_backward(pair, x, labels, dtype):
    """Integers were converted in the forward pass; a tensor that was written to is refused."""
    model, twin = pair
    for one in (model, twin):
        mine = labels.copy()
        one(x, mine)
        mine[:] = 0
        one.backward()
    assert_same_gradients(model, twin)
    for one in (model, twin):
        targ = bp.tensor(labels, dtype)
        one(x, targ)
        targ += 1
        with pytest.raises(bp.GradientError, match="written"):
            one.backward()


def test_a_loss_of_before_is_gone_after_the_next_pass(pair, x, labels):
    model, _ = pair
    first = step(model, x, labels)
    second = step(model, x, labels)
    assert is_gone(first)
    assert is_short(second)
    with pytest.raises(bp.GradientError, match="gone"):
        first.backward()


def test_another_loss_takes_its_place(pair, x, labels, dtype):
    model, twin = pair
    for loss, targ in ((bp.CrossEntropy(), labels), (bp.Mse(), np.eye(H, dtype=dtype)[labels])) * 2:
        model.loss, twin.loss = loss, copy.copy(loss)
        for _ in range(3):
            found = step(model, x, targ)
            assert is_short(found)
            assert_same_bits(found.data, step(twin, x, targ).data)
            assert_same_gradients(model, twin)


def test_a_loss_of_ones_own_is_not_taken_for_it(pair, x, labels):
    class Doubled(bp.CrossEntropy):
        def forward(self, inp, targ):
            return super().forward(inp, targ) * 2

    model, _ = pair
    once = float(step(model, x, labels))
    model.loss = Doubled()
    loss = step(model, x, labels)
    assert not is_short(loss)
    assert float(loss) == 2 * once


@pytest.mark.parametrize(
    "make",
    [
        lambda yes, dtype: yes.astype(np.int64),
        lambda yes, dtype: yes.astype(dtype),
        lambda yes, dtype: bp.tensor(yes, dtype),
        lambda yes, dtype: (yes.astype(dtype) + 1) / 4,
    ],
    ids=["integers", "numbers", "tensor", "shares"],
)
@pytest.mark.parametrize("h", [1, H])
def test_a_loss_whose_targets_are_shares(rng, x, dtype, make, h):
    """Rules, and no labels: targets have out's shape, or (n,) for one output."""
    model = bp.Model(layers_of(rng, (M, 6, h), dtype), loss=bp.BinaryCrossEntropy())
    twin = Ordinary(copy.deepcopy(model.layers), loss=bp.BinaryCrossEntropy())
    targ = make(rng.random((N, h)) > 0.5, dtype)
    column = targ[:, 0] if h == 1 and isinstance(targ, np.ndarray) else targ
    for given in (targ, column, targ):
        for _ in range(2):
            loss = step(model, x, given)
            assert is_short(loss)
            assert_same_bits(loss.data, step(twin, x, given).data)
            assert_same_gradients(model, twin)
    if isinstance(targ, np.ndarray):
        targ[0, 0] = 7
        for one in (model, twin):
            with pytest.raises(ValueError, match="7"):
                one(x, targ)
