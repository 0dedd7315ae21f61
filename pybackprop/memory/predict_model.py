"""What a Model's step needs, and numpy's and PyTorch's. Predicted, not run."""

from __future__ import annotations

from collections.abc import Sequence

from pybackprop.engine import placement
from pybackprop.engine.placement import backward_products
from pybackprop.memory.buffers import Book, Buffer
from pybackprop.memory.predict_lesson import Hand
from pybackprop.nn.network import Network


def model(network: Network, batch: int) -> Book:
    """loss = model(x, targ); model.backward(): one room for all layers' results and gradients."""
    return _model(network, batch, *placement.of_pass(network, batch))


def model_inplace(network: Network, batch: int) -> Book:
    """Model(..., inplace=True): each layer has one place, for z, then relu's result, then their gradient."""
    return _model(network, batch, *placement.of_pass(network, batch, inplace=True))


def _model(network: Network, batch: int, places: Sequence[tuple[int, int, int]], size: int) -> Book:
    hand = Hand(network, batch, gradient_of_x=False)
    book = hand.book
    room = book.make("the room of a pass", (size,), "activations")
    outs, inp = [], hand.x
    for k, (stage, (z, a, _)) in enumerate(zip(network.stages, places, strict=True), 1):
        m, h = stage.w.shape
        shape = (batch, h)
        out = book.share(f"l{k}", shape, "activations", room)
        hand.compute("lin", [(batch, m, h)], inp, hand.w[k - 1], *hand.b[k - 1 : k], out)
        if stage.activation is not None:
            inp, out = out, book.share(f"relu(l{k})" + (f" (where l{k} was)" if a == z else ""), shape, out.kind, room)
            book.step("relu", inp, out)
        outs.append(out)
        inp = out
    loss = book.make("loss", (), "activations")
    book.step("mse", inp, hand.targ, loss)
    _model_backward(hand, room, outs)
    return book


def _model_backward(hand: Hand, room: Buffer, outs: list[Buffer]) -> None:
    network, book = hand.network, hand.book
    gradient = book.share("out.g", outs[-1].shape, "activation gradients", room)
    book.step("mse_grad", outs[-1], hand.targ, gradient)
    for k in range(len(network.stages), 0, -1):
        if network.stages[k - 1].activation is not None:
            book.step("relu_grad", outs[k - 1], gradient)
        used = [outs[k - 2] if k > 1 else hand.x, hand.w[k - 1], gradient, hand.w_g[k - 1], *hand.b_g[k - 1 : k]]
        if k > 1:
            gradient = book.share(hand.gradient_of(k - 2), outs[k - 2].shape, "activation gradients", room)
            used.append(gradient)
        products = backward_products(hand.n, network.widths[k - 1], network.widths[k], k > 1)
        hand.compute("lin_grad", products, *used)


def numpy(network: Network, batch: int) -> Book:
    """A careful numpy user's step: every buffer made beforehand, every result written in place."""
    hand = Hand(network, batch, gradient_of_x=False)
    book, last = hand.book, len(network.stages) - 1
    a = [hand.rows(f"a{k}", width) for k, width in enumerate(network.widths[1:], 1)]
    inner = list(enumerate(network.widths[1:-1], 1))
    d = [hand.rows(f"d{k}", width, "activation gradients") for k, width in inner]
    positive = [book.make(f"a{k} > 0", (batch, width), "temporary", bool) for k, width in inner]
    book.step("buffers made beforehand")
    inp = hand.x
    for k, out in enumerate(a):
        book.step("np.matmul(out=)", inp, hand.w[k], out)
        if k < last:
            book.step("np.maximum(out=)", out)
        inp = out
    book.step("loss and its gradient, where the output was", inp, hand.targ)
    gradient = inp
    for k in range(last, -1, -1):
        book.step("np.matmul(out=)", a[k - 1] if k else hand.x, gradient, hand.w_g[k])
        if k:
            book.step("np.matmul(out=)", gradient, hand.w[k], d[k - 1])
            book.step("np.multiply(out=)", a[k - 1], positive[k - 1], d[k - 1])
            gradient = d[k - 1]
    return book


def torch(network: Network, batch: int) -> Book:
    """PyTorch's autograd, from what its operations save: addmm its operands, relu its result, mse_loss both of its.

    A result that nobody saves goes when its variable does; what was saved goes after its backward has run.
    """
    hand = Hand(network, batch, gradient_of_x=False)
    book, saved = hand.book, list[Buffer]()
    inp = hand.x
    for k, stage in enumerate(network.stages):
        out = hand.rows(f"l{k + 1}", stage.w.shape[1])
        book.step("addmm", inp, hand.w[k], *hand.b[k : k + 1], out)
        if stage.activation is not None:
            z, out = out, hand.rows(f"relu(l{k + 1})", stage.w.shape[1])
            book.step("relu", z, out)
            book.free(z)
        saved.append(out)
        inp = out
    loss = book.make("loss", (), "activations")
    book.step("mse_loss", inp, hand.targ, loss)
    _torch_backward(hand, saved)
    return book


def _torch_backward(hand: Hand, saved: list[Buffer]) -> None:
    network, book = hand.network, hand.book
    gradient = hand.rows("out.grad", network.widths[-1], "activation gradients")
    book.step("MseLossBackward", saved[-1], hand.targ, gradient)
    for k in range(len(network.stages) - 1, -1, -1):
        if network.stages[k].activation is not None:
            masked = hand.rows(f"l{k + 1}.grad", network.widths[k + 1], "activation gradients")
            book.step("ReluBackward", gradient, saved[k], masked)
            book.free(gradient, saved[k])
            gradient = masked
        below = hand.rows(f"{hand.gradient_of(k - 1)}rad", network.widths[k], "activation gradients") if k else None
        inp = saved[k - 1] if k else hand.x
        used = [inp, hand.w[k], gradient, hand.w_g[k], *hand.b_g[k : k + 1]]
        book.step("AddmmBackward", *used, *([] if below is None else [below]))
        book.free(gradient, *([saved[k]] if network.stages[k].activation is None else []))
        gradient = below or gradient
