"""fit with sample_weight: each row of a loss counts with its weight, by bits; and what it refuses."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.networks import order_of
from pybackprop.core import native
from pybackprop.ops import BINARY_CROSS_ENTROPY, CROSS_ENTROPY, MSE
from pybackprop.selftest.definition import Definition, Layer

STRATEGIES = ["layers", "split", "fused"]
LOSSES = {"mse": (MSE, bp.Mse), "labels": (CROSS_ENTROPY, bp.CrossEntropy), "shares": (CROSS_ENTROPY, bp.CrossEntropy)}
LOSSES["binary"] = (BINARY_CROSS_ENTROPY, bp.BinaryCrossEntropy)


def network(rng, dtype, sizes, loss, last=None):
    """(model, its definition): lin, relu, lin, `last`."""
    op, kind = LOSSES[loss]
    (m, k), h = sizes[:2], sizes[2]
    w1, b1, w2, b2 = ((rng.standard_normal(shape) / 4).astype(dtype) for shape in ((m, k), (k,), (k, h), (h,)))
    layers = [bp.Lin(w1, b1), bp.Relu(), bp.Lin(w2, b2), *([last()] if last else [])]
    of_last = None if last is None else last().op
    definition = Definition([Layer(w1, b1, bp.Relu().op), Layer(w2, b2, of_last)], op)
    return bp.Model(layers, loss=kind()), definition


def targets(rng, loss, n, h, dtype):
    if loss == "mse":
        return rng.standard_normal((n, h)).astype(dtype)
    if loss == "labels":
        return rng.integers(h, size=n)
    shares = rng.random((n, h)) + 0.01
    return (shares / shares.sum(1, keepdims=True)).astype(dtype)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sizes", [(9, 12, 5), (3, 4, 1), (400, 30, 10), (20, 8, 3000)], ids=str)
def test_steps_are_the_definitions(each_setting, rng, dtype, strategy, loss, sizes):
    n, batch = (40, 16) if sizes[2] < 100 else (6, 3)
    model, definition = network(rng, dtype, sizes, loss, bp.Tanh if sizes[2] == 5 else None)
    x, targ = rng.standard_normal((n, sizes[0])).astype(dtype), targets(rng, loss, n, sizes[2], dtype)
    weight = rng.random(n).astype(dtype) * 3
    weight[::4] = 0
    plan = bp.compile(model, batch=batch, optimizer=bp.SGD(lr=0.01, momentum=0.9), strategy=strategy)
    history = plan.fit(x, targ, epochs=2, seed=3, sample_weight=weight, validation=(x, targ, weight))
    total = 0.0
    for epoch in (1, 2):
        total = 0.0
        for rows in order_of(n, batch, seed=3, epoch=epoch):
            total += float(definition.loss(x[rows], targ[rows], weight[rows])) * len(rows)
            definition.backward()
            definition.update(plan.optimizer)
    assert history[-1].loss == total / n
    for p, right in zip(model.parameters(), definition.parameters(), strict=True):
        assert_same_bits(p.data, right)
    assert history[-1].validation == float(definition.loss(x, targ, weight))


def test_many_rows_are_segments(each_setting, rng, dtype):
    model, definition = network(rng, dtype, (5, 6, 2), "labels")
    x, targ = rng.standard_normal((1300, 5)).astype(dtype), rng.integers(2, size=1300)
    weight = rng.random(1300).astype(dtype)
    for strategy in STRATEGIES:
        start = [p.data.copy() for p in model.parameters()]
        plan = bp.compile(model, batch=1300, optimizer=bp.SGD(lr=0.1), strategy=strategy)
        history = plan.fit(x, targ, epochs=1, sample_weight=weight)
        (rows,) = order_of(1300, 1300, seed=0, epoch=1)
        again = Definition([*definition.layers], CROSS_ENTROPY)
        assert history[0].loss == float(again.loss(x[rows], targ[rows], weight[rows]))
        again.backward()
        again.update(plan.optimizer)
        for p, right, old in zip(model.parameters(), again.parameters(), start, strict=True):
            assert_same_bits(p.data, right)
            p.data[...] = old


def test_fit_by_units_gives_the_same_bits(rng, dtype):
    """Long rows and small batches, where C runs fit's steps on copies of the parameters."""
    model, definition = network(rng, dtype, (784, 20, 1), "binary")
    x, targ = rng.standard_normal((300, 784)).astype(dtype), rng.integers(2, size=(300, 1)).astype(dtype)
    weight = rng.random(300).astype(dtype)
    plan = bp.compile(model, batch=32, optimizer=bp.SGD(lr=0.01))
    plan.fit(x, targ, epochs=1, seed=0, sample_weight=weight)
    assert plan.layout.copies.nbytes > 0  # else this test is of nothing
    for rows in order_of(300, 32, seed=0, epoch=1):
        definition.loss(x[rows], targ[rows], weight[rows])
        definition.backward()
        definition.update(plan.optimizer)
    for p, right in zip(model.parameters(), definition.parameters(), strict=True):
        assert_same_bits(p.data, right)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_definition_is_the_weighted_mean(rng, loss):
    """In float64 within a few ulps of numpy's."""
    op, _ = LOSSES[loss]
    out, targ, weight = rng.standard_normal((700, 4)) * 3, targets(rng, loss, 700, 4, np.float64), rng.random(700) * 2
    one_by_one = [getattr(bp.reference, op.references[0])(out[i : i + 1], targ[i : i + 1]) for i in range(700)]
    gradients = [getattr(bp.reference, op.references[1])(out[i : i + 1], targ[i : i + 1])[0] for i in range(700)]
    found = bp.reference.weighted_loss_forward(op.loss, out, targ, weight)
    assert float(found) == pytest.approx(np.mean(weight * one_by_one), rel=1e-13)
    g = bp.reference.weighted_loss_backward(op.loss, out, targ, weight)
    np.testing.assert_allclose(g, weight[:, None] * gradients / 700, rtol=1e-13, atol=1e-18)


def test_weights_of_one_are_no_weights_within_rounding(rng):
    histories = []
    for weight in (None, np.ones(60)):
        model, _ = network(np.random.default_rng(1), np.float64, (5, 6, 3), "labels")
        plan = bp.compile(model, batch=16, optimizer=bp.SGD(lr=0.1))
        x, labels = np.random.default_rng(2).standard_normal((60, 5)), np.arange(60) % 3
        histories.append(plan.fit(x, labels, epochs=3, sample_weight=weight)[-1].loss)
    assert histories[0] == pytest.approx(histories[1], rel=1e-12)


def test_batches_of_a_loader_and_sparse_rows_may_have_weights(rng):
    sparse = pytest.importorskip("scipy.sparse")
    x, labels, weight = rng.standard_normal((30, 5)), np.arange(30) % 3, rng.random(30)
    (rows_1, rows_2, rows_3) = order_of(30, 10, seed=0, epoch=1)
    results = []
    for data in (
        lambda plan: plan.fit(x, labels, epochs=1, sample_weight=weight),
        lambda plan: plan.fit(sparse.csr_matrix(x), labels, epochs=1, sample_weight=weight),
        lambda plan: plan.fit([(x[r], labels[r], weight[r]) for r in (rows_1, rows_2, rows_3)], epochs=1),
    ):
        model, _ = network(np.random.default_rng(1), np.float64, (5, 6, 3), "labels")
        plan = bp.compile(model, batch=10, optimizer=bp.SGD(lr=0.1))
        loss = data(plan)[0].loss
        results.append((loss, [p.data.copy() for p in model.parameters()]))
    for loss, parameters in results[1:]:
        assert loss == results[0][0]
        for mine, first in zip(parameters, results[0][1], strict=True):
            assert_same_bits(mine, first)


def test_a_step_after_a_weighted_fit_has_no_weights(rng, dtype):
    model, definition = network(rng, dtype, (5, 6, 3), "labels")
    plan = bp.compile(model, batch=10, optimizer=bp.SGD(lr=0.0))
    x, labels = rng.standard_normal((10, 5)).astype(dtype), np.arange(10) % 3
    plan.fit(x, labels, epochs=1, sample_weight=rng.random(10))
    assert plan.step(x, labels) == float(definition.loss(x, labels))


def test_validation_split_keeps_each_rows_weight(rng):
    model, definition = network(rng, np.float64, (5, 6, 3), "labels")
    x, labels, weight = rng.standard_normal((20, 5)), np.arange(20) % 3, rng.random(20)
    plan = bp.compile(model, batch=20, optimizer=bp.SGD(lr=0.0))
    history = plan.fit(x, labels, epochs=1, sample_weight=weight, validation_split=0.25, seed=5)
    order = native.indices(20)
    native.permute(order, 20, 5, 2**64 - 1)
    held_out = np.sort(native.as_index(order)[:5])
    right = definition.loss(x[held_out], labels[held_out], weight[held_out])
    assert history[0].validation == float(right)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(9), r"sample_weight \(9,\), expected a weight for each row: \(10,\)"),
        (np.ones((10, 1)), r"sample_weight \(10, 1\)"),
        ([1.0] * 9 + [-0.5], r"sample_weight\[9\] is -0.5, expected finite numbers from 0"),
        ([1.0] * 9 + [np.nan], r"sample_weight\[9\] is nan"),
        ([1.0] * 9 + [np.inf], r"sample_weight\[9\] is inf"),
        (np.zeros(10), "is 0 for each of the 10 rows"),
    ],
)
def test_weights_that_are_none_are_refused_before_the_first_step(rng, weight, message):
    model, _ = network(rng, np.float64, (5, 6, 3), "labels")
    plan = bp.compile(model, batch=10, optimizer=bp.SGD(lr=0.1))
    x, labels = rng.standard_normal((10, 5)), np.arange(10) % 3
    before = [p.data.copy() for p in model.parameters()]
    with pytest.raises((ValueError, bp.ShapeError), match=message):
        plan.fit(x, labels, epochs=1, sample_weight=weight)
    for p, old in zip(model.parameters(), before, strict=True):
        assert_same_bits(p.data, old)


def test_a_loader_takes_no_weights_beside_it(rng):
    model, _ = network(rng, np.float64, (5, 6, 3), "labels")
    plan = bp.compile(model, batch=10, optimizer=bp.SGD(lr=0.1))
    with pytest.raises(ValueError, match="found sample_weight with a loader"):
        plan.fit([(rng.standard_normal((10, 5)), np.arange(10) % 3)], epochs=1, sample_weight=np.ones(10))


def test_a_batch_without_any_weight_changes_nothing(rng):
    x, labels = rng.standard_normal((10, 5)), np.arange(10) % 3
    model, _ = network(rng, np.float64, (5, 6, 3), "labels")
    before = [p.data.copy() for p in model.parameters()]
    plan = bp.compile(model, batch=10, optimizer=bp.SGD(lr=0.1))
    assert plan.fit([(x, labels, np.zeros(10))], epochs=1)[0].loss == 0.0
    for p, old in zip(model.parameters(), before, strict=True):
        assert_same_bits(p.data, old)


def test_some_batches_may_be_without_any_weight(rng):
    """The same bits for sparse rows as for dense ones."""
    sparse = pytest.importorskip("scipy.sparse")
    x, labels = rng.standard_normal((12, 5)), np.arange(12) % 3
    results = []
    for given in (x, sparse.csr_matrix(x)):
        model, _ = network(np.random.default_rng(1), np.float64, (5, 6, 3), "labels")
        plan = bp.compile(model, batch=1, optimizer=bp.SGD(lr=0.1))
        history = plan.fit(given, labels, epochs=2, sample_weight=np.repeat([0.0, 2.0], 6))
        results.append([history[-1].loss, *(p.data.copy() for p in model.parameters())])
    for mine, right in zip(results[1], results[0], strict=True):
        assert_same_bits(np.asarray(mine), np.asarray(right))


def test_adam_without_eps_does_not_stumble_over_padding(rng):
    """Where no gradient is 0, the parameters stay finite, though the padding between them is 0 / 0."""
    model = bp.Model([bp.Lin(3, 5, seed=0), bp.Tanh(), bp.Lin(5, 1, seed=1)])
    x = rng.standard_normal((8, 3)).astype("f")
    plan = bp.compile(model, batch=8, optimizer=bp.Adam(lr=0.01, eps=0.0))
    history = plan.fit(x, x[:, :1] * 2, epochs=3)
    assert history[-1].loss < history[0].loss
