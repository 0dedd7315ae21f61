"""What a step written by hand needs: the lesson's two ways, our functions, and ours in place. Predicted, not run.

Each follows line by line the program of the same name in `programs.py`.
"""

from __future__ import annotations

from pybackprop.engine.placement import backward_products, packed_bytes
from pybackprop.memory.buffers import Book, Buffer
from pybackprop.nn.network import Network


class Hand:
    """A step in progress: the buffers that its program's variables name."""

    def __init__(self, network: Network, batch: int, gradient_of_x: bool = True) -> None:
        self.network, self.n = network, batch
        self.book = book = Book(network.dtype)
        widths = network.widths
        self.x = book.hold("x", (batch, widths[0]), "data")
        self.targ = book.hold("targ", (batch, widths[-1]), "data")
        self.x_g = book.hold("x.g", (batch, widths[0]), "gradients") if gradient_of_x else None
        self.w, self.w_g, self.b, self.b_g = list[Buffer](), list[Buffer](), list[Buffer](), list[Buffer]()
        for k, stage in enumerate(network.stages, 1):
            self.w.append(book.hold(f"w{k}", stage.w.shape, "parameters"))
            self.w_g.append(book.hold(f"w{k}.g", stage.w.shape, "gradients"))
            if stage.b is not None:
                self.b.append(book.hold(f"b{k}", stage.b.shape, "parameters"))
                self.b_g.append(book.hold(f"b{k}.g", stage.b.shape, "gradients"))

    def rows(self, name: str, width: int, kind: str = "activations") -> Buffer:
        return self.book.make(name, (self.n, width), kind)

    def gradient_of(self, k: int) -> str:
        """What the gradient of a layer's result is called; -1: of the data."""
        if k < 0:
            return "x.g"
        return f"l{k + 1}.g" if self.network.stages[k].activation is None else f"relu(l{k + 1}).g"

    def compute(self, operation: str, products: list[tuple[int, int, int]], *used: Buffer) -> None:
        """An operation of the C core's, and the products (rows, inner, cols) whose operands it packs."""
        nbytes = packed_bytes(products, self.network.dtype)
        room = [self.book.make("packed operands", (nbytes,), "workspace", "uint8")] if nbytes else []
        self.book.step(operation, *used, *room)
        self.book.free(*room)


def first(network: Network, batch: int) -> Book:
    """The lesson's first version: w.g = (inp.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0), an array n x m x h."""
    return _lesson(network, batch, products=False)


def matmul(network: Network, batch: int) -> Book:
    """The lesson's second version: w.g = inp.t() @ out.g; every other line as before."""
    return _lesson(network, batch, products=True)


def _lesson(network: Network, batch: int, products: bool) -> Book:
    hand = Hand(network, batch)
    before, after = _lesson_forward(hand)
    gradients = _lesson_mse(hand, after[-1])
    for k in range(len(network.stages) - 1, -1, -1):
        if network.stages[k].activation is not None:
            gradients = _lesson_relu_grad(hand, k, before[k], gradients)
        gradients = _lesson_lin_grad(hand, k, after[k - 1] if k else hand.x, gradients, products)
    return hand.book


def _lesson_forward(hand: Hand) -> tuple[list[Buffer], list[Buffer]]:
    """(each layer's x @ w + b, what goes on to the next one)."""
    before, after, inp = [], [], hand.x
    for k, stage in enumerate(hand.network.stages):
        m, h = stage.w.shape
        product = out = hand.rows(f"inp{k + 1} @ w{k + 1}", h, "temporary")
        hand.compute("@", [(hand.n, m, h)], inp, hand.w[k], product)
        if stage.b is not None:
            out = hand.rows(f"l{k + 1}", h)
            hand.book.step("+", product, out)
            hand.book.free(product)
        before.append(out)
        if stage.activation is not None:
            inp, out = out, hand.rows(f"relu(l{k + 1})", h)
            hand.book.step(".clamp_min", inp, out)
        after.append(out)
        inp = out
    return before, after


def _lesson_mse(hand: Hand, out: Buffer) -> Buffer:
    """mse = (out - targ).pow(2).mean(), and out.g = 2 * (out - targ) / n."""
    h, book = hand.network.widths[-1], hand.book
    difference, square = hand.rows("out - targ", h, "temporary"), None
    book.step("-", out, hand.targ, difference)
    square = hand.rows("(out - targ).pow(2)", h, "temporary")
    book.step("**", difference, square)
    book.free(difference)
    loss = book.make("loss", (), "activations")
    book.step(".mean", square, loss)
    book.free(square)
    difference = hand.rows("out - targ", h, "temporary")
    book.step("-", out, hand.targ, difference)
    doubled = hand.rows("2 * (out - targ)", h, "temporary")
    book.step("*", difference, doubled)
    book.free(difference)
    value = hand.rows("2 * (out - targ) / n", h, "temporary")
    book.step("/", doubled, value)
    book.free(doubled)
    return _assign(hand, "out.g", value)


def _lesson_relu_grad(hand: Hand, k: int, before: Buffer, upstream: Buffer) -> Buffer:
    """inp.g = (inp > 0).float() * out.g"""
    h, book = hand.network.stages[k].w.shape[1], hand.book
    mask = book.make(f"l{k + 1} > 0", (hand.n, h), "temporary", bool)
    book.step("a comparison", before, mask)
    numbers = hand.rows(f"(l{k + 1} > 0).float()", h, "temporary")
    book.step(".float", mask, numbers)
    book.free(mask)
    value = hand.rows(f"(l{k + 1} > 0) * relu(l{k + 1}).g", h, "temporary")
    book.step("*", numbers, upstream, value)
    book.free(numbers)
    return _assign(hand, f"l{k + 1}.g", value)


def _lesson_lin_grad(hand: Hand, k: int, inp: Buffer, upstream: Buffer, products: bool) -> Buffer:
    """inp.g = out.g @ w.t(), w.g = ..., b.g = out.g.sum(0)"""
    (m, h), book = hand.network.stages[k].w.shape, hand.book
    name = f"b{k + 1}.g, new"
    value = hand.rows(f"l{k + 1}.g @ w{k + 1}.t()", m, "temporary")
    hand.compute("@", [(hand.n, h, m)], upstream, hand.w[k], value)
    inp_g = _assign(hand, hand.gradient_of(k - 1), value, hand.x_g if k == 0 else None)
    _assign(hand, f"w{k + 1}.g", _lesson_w_g(hand, k, inp, upstream, products), hand.w_g[k])
    if hand.network.stages[k].b is not None:
        total = book.make(name, (h,), "temporary")
        book.step(".sum", upstream, total)
        _assign(hand, f"b{k + 1}.g", total, hand.b_g[k])
    return inp_g


def _lesson_w_g(hand: Hand, k: int, inp: Buffer, upstream: Buffer, products: bool) -> Buffer:
    """inp.t() @ out.g, or (inp.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0)"""
    (m, h), book = hand.network.stages[k].w.shape, hand.book
    name = f"w{k + 1}.g, new"
    if products:
        made = book.make(name, (m, h), "temporary")
        hand.compute("@", [(m, hand.n, h)], inp, upstream, made)
        return made
    every = book.make("inp.unsqueeze(-1) * out.g.unsqueeze(1)", (hand.n, m, h), "temporary")
    book.step("*", inp, upstream, every)
    made = book.make(name, (m, h), "temporary")
    book.step(".sum", every, made)
    book.free(every)
    return made


def _assign(hand: Hand, name: str, value: Buffer, into: Buffer | None = None) -> Buffer:
    """t.g = value: copied into the tensor's own gradient, which is made if it is not there yet."""
    into = into or hand.book.make(name, value.shape, "activation gradients")
    hand.book.step(f"{name} = ...", value, into)
    hand.book.free(value)
    return into


def functions(network: Network, batch: int) -> Book:
    """bp.lin, bp.relu, bp.mse and their gradients: each result once, each gradient once, no temporaries."""
    return _functions(network, batch, inplace=False)


def inplace(network: Network, batch: int) -> Book:
    """The same with relu_, mse_grad(inplace=True) and relu_grad(inplace=True), and x an array, which gets no x.g."""
    return _functions(network, batch, inplace=True)


def _functions(network: Network, batch: int, inplace: bool) -> Book:
    hand = Hand(network, batch, gradient_of_x=not inplace)
    before, after = _functions_forward(hand, inplace)
    book, out = hand.book, after[-1]
    loss = book.make("loss", (), "activations")
    book.step("mse", out, hand.targ, loss)
    if inplace and network.stages[-1].activation is None:
        upstream = book.share("out.g", out.shape, "activation gradients", out)
    else:
        upstream = hand.rows("out.g", network.widths[-1], "activation gradients")
    book.step("mse_grad", out, hand.targ, upstream)
    for k in range(len(network.stages) - 1, -1, -1):
        if network.stages[k].activation is not None:
            upstream = _functions_relu_grad(hand, k, before[k], upstream, inplace)
        inp_g = hand.x_g if k == 0 else hand.rows(hand.gradient_of(k - 1), network.widths[k], "activation gradients")
        used = [after[k - 1] if k else hand.x, upstream, hand.w[k], hand.w_g[k]]
        used += hand.b_g[k : k + 1] + ([] if inp_g is None else [inp_g])
        products = backward_products(batch, network.widths[k], network.widths[k + 1], inp_g is not None)
        hand.compute("lin_grad", products, *used)
        upstream = inp_g or upstream
    return book


def _functions_forward(hand: Hand, inplace: bool) -> tuple[list[Buffer], list[Buffer]]:
    before, after, inp = [], [], hand.x
    for k, stage in enumerate(hand.network.stages):
        m, h = stage.w.shape
        out = hand.rows(f"l{k + 1}", h)
        hand.compute("lin", [(hand.n, m, h)], inp, hand.w[k], *hand.b[k : k + 1], out)
        before.append(out)
        if stage.activation is not None:
            name = f"relu(l{k + 1})"
            inp, out = out, hand.book.share(name, (hand.n, h), "activations", out) if inplace else hand.rows(name, h)
            hand.book.step("relu_" if inplace else "relu", inp, out)
        after.append(out)
        inp = out
    return before, after


def _functions_relu_grad(hand: Hand, k: int, before: Buffer, upstream: Buffer, inplace: bool) -> Buffer:
    name, h = f"l{k + 1}.g", hand.network.stages[k].w.shape[1]
    if inplace:
        made = hand.book.share(name, (hand.n, h), "activation gradients", upstream)
    else:
        made = hand.rows(name, h, "activation gradients")
    hand.book.step("relu_grad", before, upstream, made)
    return made
