"""The lesson's cells, as people type them, with bp.tensor where the lesson has torch's."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.lesson_classes import Lin, Mse, Relu
from helpers.networks import NAMES, by_hand

N, M, H = 60, 64, 50


@pytest.fixture
def cell():
    """What the first cells of the notebook define: x_train, y_train, w1, b1, w2, b2, on real digits."""
    digits = bp.data.digits()
    rng = np.random.default_rng(1)
    return {
        "x_train": bp.tensor(digits.x_train[:N]),
        "y_train": bp.tensor(digits.y_train[:N].astype(np.float32)),
        "w1": bp.tensor(rng.standard_normal((M, H)).astype(np.float32) / 8),
        "b1": bp.tensor(np.zeros(H, np.float32)),
        "w2": bp.tensor(rng.standard_normal((H, 1)).astype(np.float32) / 8),
        "b2": bp.tensor(np.zeros(1, np.float32)),
    }


def ours(cell):
    """The loss and the gradients of our functions, in the order w1, b1, w2, b2, x."""
    t = by_hand({"x": cell["x_train"], "targ": cell["y_train"]} | {name: cell[name] for name in NAMES})
    return float(t["loss"]), [t[name].g.data for name in (*NAMES, "x")]


def compare(cell, loss=None):
    """The `.g` that a lesson's cells left, with ours."""
    expected_loss, expected = ours(cell)
    for name, right in zip((*NAMES, "x_train"), expected, strict=True):
        found = cell[name].g
        np.testing.assert_allclose(found.data, right, rtol=1e-3, atol=1e-4 * abs(right).max(), err_msg=name)
    if loss is not None:
        np.testing.assert_allclose(float(loss), expected_loss, rtol=1e-5)


def test_forward_cells(cell):
    x_train, y_train, w1, b1, w2, b2 = cell.values()

    def lin(x, w, b):
        return x @ w + b

    def relu(x):
        return x.clamp_min(0.0)

    def model(xb):
        l1 = lin(xb, w1, b1)
        l2 = relu(l1)
        return lin(l2, w2, b2)

    res = model(x_train)
    assert res.shape == (N, 1)
    assert (res[:, 0] - y_train).shape == (N,)
    with pytest.raises(bp.ShapeError, match=r"\(60, 60\)"):
        (res - y_train).pow(2)  # the lesson's own trap

    def mse(output, targ):
        return (output[:, 0] - targ).pow(2).mean()

    preds = model(x_train)
    np.testing.assert_allclose(float(mse(preds, y_train)), float(bp.mse(preds, y_train)), rtol=1e-5)
    assert_same_bits(lin(x_train, w1, b1).data, bp.lin(x_train, w1, b1).data)
    assert_same_bits(relu(x_train - 0.5).data, bp.relu(x_train - 0.5).data)


def test_functions_by_hand(cell):
    x_train, y_train, w1, b1, w2, b2 = cell.values()

    def lin_grad(inp, out, w, b):
        # grad of matmul with respect to input
        inp.g = out.g @ w.t()
        w.g = inp.t() @ out.g
        b.g = out.g.sum(0)

    def forward_and_backward(inp, targ):
        # forward pass:
        l1 = bp.lin(inp, w1, b1)
        l2 = bp.relu(l1)
        out = bp.lin(l2, w2, b2)
        diff = out[:, 0] - targ
        loss = diff.pow(2).mean()

        # backward pass:
        out.g = 2.0 * diff[:, None] / inp.shape[0]
        lin_grad(l2, out, w2, b2)
        l1.g = (l1 > 0).float() * l2.g
        lin_grad(inp, l1, w1, b1)
        return loss

    compare(cell, forward_and_backward(x_train, y_train))


def test_the_first_version_with_unsqueeze(cell):
    x_train, y_train, w1, b1, w2, b2 = cell.values()

    def lin_grad(inp, out, w, b):
        inp.g = out.g @ w.t()
        w.g = (inp.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0)
        b.g = out.g.sum(0)

    l1 = x_train @ w1 + b1
    l2 = l1.clamp_min(0.0)
    out = l2 @ w2 + b2
    out.g = 2.0 * (out.squeeze(-1) - y_train).unsqueeze(-1) / x_train.shape[0]
    lin_grad(l2, out, w2, b2)
    l1.g = (l1 > 0).float() * l2.g
    lin_grad(x_train, l1, w1, b1)
    compare(cell)


def test_classes(cell):
    class Model:
        def __init__(self, w1, b1, w2, b2):
            self.layers = [Lin(w1, b1), Relu(), Lin(w2, b2)]
            self.loss = Mse()

        def __call__(self, x, targ):
            for l in self.layers:  # noqa: E741 (the lesson's name)
                x = l(x)
            return self.loss(x, targ)

        def backward(self):
            self.loss.backward()
            for l in reversed(self.layers):  # noqa: E741
                l.backward()

    x_train, y_train, *parameters = cell.values()
    model = Model(*parameters)
    loss = model(x_train, y_train)
    model.backward()
    compare(cell, loss)


def test_a_module_with_forward_and_bwd(cell):
    class Module:
        def __call__(self, *args):
            self.args = args
            self.out = self.forward(*args)
            return self.out

        def forward(self):
            raise Exception("not implemented")

        def backward(self):
            self.bwd(self.out, *self.args)

        def bwd(self):
            raise Exception("not implemented")

    run_module_cells(cell, Module)


def test_our_module_is_the_lessons(cell):
    run_module_cells(cell, bp.Module)


def run_module_cells(cell, module):
    class Relu(module):
        def forward(self, inp):
            return inp.clamp_min(0.0)

        def bwd(self, out, inp):
            inp.g = (inp > 0).float() * out.g

    class Lin(module):
        def __init__(self, w, b):
            self.w, self.b = w, b

        def forward(self, inp):
            return inp @ self.w + self.b

        def bwd(self, out, inp):
            inp.g = self.out.g @ self.w.t()
            self.w.g = inp.t() @ self.out.g
            self.b.g = out.g.sum(0)

    class Mse(module):
        def forward(self, inp, targ):
            return (inp.squeeze(-1) - targ).pow(2).mean()

        def bwd(self, out, inp, targ):
            inp.g = 2 * (inp.squeeze(-1) - targ).unsqueeze(-1) / targ.shape[0]

    x_train, y_train, w1, b1, w2, b2 = cell.values()
    layers, loss = [Lin(w1, b1), Relu(), Lin(w2, b2)], Mse()
    x = x_train
    for layer in layers:
        x = layer(x)
    found = loss(x, y_train)
    loss.backward()
    for layer in reversed(layers):
        layer.backward()
    compare(cell, found)


def test_the_lessons_classes_stand_in_our_model(cell):
    x_train, y_train, *weights = cell.values()
    w1, b1, w2, b2 = map(bp.param, weights)
    model = bp.Model([Lin(w1, b1), Relu(), bp.Lin(w2, b2)], loss=Mse())
    assert [id(p) for p in model.parameters()] == [id(p) for p in (w1, b1, w2, b2)]
    loss = model(x_train, y_train)
    model.backward()
    expected_loss, expected = ours(cell)
    np.testing.assert_allclose(float(loss), expected_loss, rtol=1e-5)
    once = [p.g.data.copy() for p in (w1, b1, w2, b2)]
    for found, right in zip(once, expected, strict=False):
        np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-4 * abs(right).max())
    model.backward()
    for p, g in zip((w1, b1, w2, b2), once, strict=True):
        assert_same_bits(p.g.data, g)
    model.backward(accumulate=True)
    for p, g in zip((w1, b1, w2, b2), once, strict=True):
        assert_same_bits(p.g.data, g + g)


def test_a_wrong_bwd_is_found_by_gradcheck(cell):
    class Wrong(Lin):
        def backward(self):
            super().backward()
            self.w.g = -1.0 * self.w.g

    x_train, y_train, *weights = cell.values()
    w1, b1, w2, b2 = (bp.param(w, name=n) for n, w in zip(("w1", "b1", "w2", "b2"), weights, strict=True))
    few = slice(0, 3)
    right = bp.Model([bp.Lin(w1, b1), Relu(), Lin(w2, b2)], loss=Mse())
    assert bp.gradcheck(right, x_train[few], y_train[few])
    wrong = bp.Model([bp.Lin(w1, b1), Relu(), Wrong(w2, b2)], loss=Mse())
    with pytest.raises(bp.GradientError, match="w2"):
        bp.gradcheck(wrong, x_train[few], y_train[few])
