"""A loss that is kept after its step keeps its number; until the update, everything behind it can still be asked."""

import gc
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from pybackprop.autograd import spent

ROWS, HIDDEN = 2000, 50


@pytest.fixture(autouse=True)
def only_the_losses_of_this_test():
    """Losses that other tests keep would take their turn."""
    spent._thread.losses.clear()


class Net:
    """The lesson's two layers, trained on the tape; written with functions or with operators."""

    def __init__(self, rng, rows=ROWS, operators=False):
        self.x = bp.tensor(rng.standard_normal((rows, 16)).astype(np.float32))
        self.targ = bp.tensor(rng.standard_normal((rows, 1)).astype(np.float32))
        shapes = {"w1": (16, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 1), "b2": (1,)}
        self.params = [bp.param(rng.standard_normal(s).astype(np.float32) / 8, name=n) for n, s in shapes.items()]
        self.operators = operators
        self.sgd = bp.SGD(self.params, lr=0.01)

    def forward(self):
        w1, b1, w2, b2 = self.params
        if self.operators:
            return bp.mse(bp.relu(self.x @ w1 + b1) @ w2 + b2, self.targ)
        return bp.mse(bp.lin(bp.relu(bp.lin(self.x, w1, b1)), w2, b2), self.targ)

    def step(self, **options):
        loss = self.forward()
        loss.backward(**options)
        self.sgd.step()
        return loss


@pytest.mark.parametrize("operators", [False, True], ids=["lin", "operators"])
def test_kept_losses_keep_no_activations(rng, operators):
    net = Net(rng, operators=operators)
    losses = [net.step() for _ in range(3)]
    numbers = [float(loss) for loss in losses]
    tracemalloc.start()
    try:
        losses += [net.step() for _ in range(100)]
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 5 * 4 * ROWS * HIDDEN  # the last pass, and not a hundred of them
    assert [float(loss) for loss in losses[:3]] == numbers
    assert numbers == sorted(numbers, reverse=True)


def test_a_sum_of_kept_losses_keeps_no_activations(rng):
    net = Net(rng)
    total = 0
    loss = net.step()
    hidden = weakref.ref(loss._node.inputs[0])
    total += loss
    for _ in range(2):
        total += net.step()
    del loss
    assert hidden() is None
    assert float(total) > 0
    with pytest.raises(bp.GradientError, match="values behind this 'mse' are gone"):
        total.backward()


@pytest.mark.parametrize("kind", ["model", "tape"])
def test_a_sum_of_kept_losses_does_not_hide_the_last_pass_from_explain(rng, kind):
    net, model, total = Net(rng, rows=5), bp.mlp([16, HIDDEN, 1]), 0
    sgd = bp.SGD(model, lr=0.01)
    for _ in range(3):
        if kind == "tape":
            total += net.step()
            continue
        total += model(net.x, net.targ)
        model.backward()
        sgd.step()
    loss = net.forward() if kind == "tape" else model(net.x, net.targ)
    loss.backward()
    w1 = net.params[0] if kind == "tape" else model.layers[0].w
    assert str(bp.explain(w1, at=(3, 7))) == str(bp.explain(w1, at=(3, 7), loss=loss))


def test_until_the_update_everything_can_be_asked(rng):
    net = Net(rng, rows=5)
    losses = [net.forward() for _ in range(6)]
    for loss in losses:
        loss.backward()
    once = [p.g.data.copy() for p in net.params]
    for loss in losses:
        loss.backward()
        for p, g in zip(net.params, once, strict=True):
            assert_same_bits(p.g.data, g)
        assert "w1[3,7]" in str(bp.explain(net.params[0], at=(3, 7), loss=loss))
    assert bp.judge(net.params[2], "l2.T @ out.g")


def test_the_last_loss_says_after_the_update_what_it_said_before(rng):
    net = Net(rng, rows=5)
    net.step()
    loss = net.step()
    with pytest.raises(bp.GradientError, match=r"'w2'.* was overwritten after 'lin' read it, by SGD.step"):
        loss.backward()
    with pytest.raises(bp.GradientError, match=r"explain: .*overwritten after the forward pass"):
        bp.explain(net.params[0], loss=loss)


def test_a_spent_loss_says_who_updated_what_and_the_remedy(rng):
    net = Net(rng, rows=5)
    first, *_ = [net.step() for _ in range(3)]
    message = r"values behind this 'mse' are gone: its backward has run, and .*'[wb][12]'.* was updated since, by SGD"
    before = net.params[0].g.data.copy()
    for again in (first.backward, lambda: first.backward(keep=True), (first + 1).backward):
        with pytest.raises(bp.GradientError, match="backward: the " + message + r".*keep=True"):
            again()
    assert_same_bits(net.params[0].g.data, before)
    for ask in (
        lambda: bp.explain(first),
        lambda: bp.explain(net.params[0], loss=first),
        lambda: bp.explain(net.params[0], loss=first + 1),
    ):
        with pytest.raises(bp.GradientError, match="explain: the " + message):
            ask()
    loss = net.forward()
    loss.backward()
    assert str(bp.explain(net.params[0], at=(3, 7))) == str(bp.explain(net.params[0], at=(3, 7), loss=loss))


def test_keep_keeps_the_values(rng):
    net = Net(rng, rows=5)
    single = bp.mse(bp.lin(net.x, net.params[0]), np.zeros((5, HIDDEN), np.float32))
    single.backward(keep=True)
    before = net.params[0].g.data.copy()
    for _ in range(3):
        net.step()
    single.backward()
    assert_same_bits(net.params[0].g.data, before)


def test_a_loss_of_shared_layers_is_not_freed_with_another(rng):
    """Two heads on one trunk: an update of the first head leaves the second loss as it was."""
    net = Net(rng, rows=5)
    w1, b1, w2, b2 = net.params
    other = bp.param(w2.data)
    hidden = bp.relu(bp.lin(net.x, w1, b1))
    first, second = (bp.mse(bp.lin(hidden, w, b2), net.targ) for w in (w2, other))
    first.backward()
    expected = w1.g.data.copy()
    w2 -= 0.1 * w2.g
    second.backward()
    second.backward()
    assert_same_bits(w1.g.data, expected)
    with pytest.raises(bp.GradientError, match="gone"):
        first.backward()


def test_losses_that_never_change_do_not_hold_up_others(rng):
    frozen, net = Net(rng, rows=5), Net(rng, rows=5)
    unchanged = [frozen.forward() for _ in range(40)]
    for loss in unchanged:
        loss.backward()
    losses = [net.step() for _ in range(200)]
    alive = sum(bool(loss._node.inputs) for loss in losses)
    assert alive < 40
    for loss in unchanged:
        loss.backward()


def test_what_nobody_keeps_is_freed_at_once(rng):
    gc.disable()
    try:
        net = Net(rng, rows=5)
        loss = net.step()
        hidden = weakref.ref(loss._node.inputs[0])
        del loss
        assert hidden() is None
    finally:
        gc.enable()


def test_threads_leave_each_others_losses_alone(rng):
    nets = [Net(rng, rows=5) for _ in range(2)]
    ends = []

    def train(net):
        losses = [net.step() for _ in range(50)]
        ends.append(sum(bool(loss._node.inputs) for loss in losses))

    threads = [threading.Thread(target=train, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [1, 1]
