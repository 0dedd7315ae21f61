"""Predicts the memory of a step written by hand: the lesson's two versions, our functions, our functions in place.

Each prediction follows the program of the same name in bench/memory/programs.py line by line; nothing is run. The
lesson writes relu, mse and their gradients itself; other activations and losses are computed by their functions.
"""

from __future__ import annotations

import inspect

from pybackprop import ops
from pybackprop.engine.placement import backward_products, packed_bytes
from pybackprop.memory.buffers import Buffer, BufferLog
from pybackprop.nn.network import Network
from pybackprop.ops import Op


class PredictedRun:
    """A simulated step: its log, and the buffers that the program's variables refer to."""

    network: Network
    n: int
    log: BufferLog
    x: Buffer
    targ: Buffer
    x_g: Buffer | None
    w: list[Buffer]
    w_g: list[Buffer]
    b: list[Buffer]
    b_g: list[Buffer]

    def __init__(self, network: Network, batch: int, gradient_of_x: bool = True) -> None:
        self.network, self.n = network, batch
        self.log = log = BufferLog(network.dtype)
        widths = network.widths
        self.x = log.hold("x", (batch, widths[0]), "data")
        self.targ = log.hold("targ", network.targets_shape(batch), "data")
        self.x_g = log.hold("x.g", (batch, widths[0]), "gradients") if gradient_of_x else None
        self.w, self.w_g, self.b, self.b_g = list[Buffer](), list[Buffer](), list[Buffer](), list[Buffer]()
        for k, stage in enumerate(network.stages, 1):
            self.w.append(log.hold(f"w{k}", stage.w.shape, "parameters"))
            self.w_g.append(log.hold(f"w{k}.g", stage.w.shape, "gradients"))
            if stage.b is not None:
                self.b.append(log.hold(f"b{k}", stage.b.shape, "parameters"))
                self.b_g.append(log.hold(f"b{k}.g", stage.b.shape, "gradients"))

    def activation(self, k: int) -> str:
        """The name of the activation after layer k; empty if there is none."""
        activation = self.network.stages[k].activation
        return "" if activation is None else activation.name

    def rows(self, name: str, width: int, kind: str = "activations") -> Buffer:
        return self.log.make(name, (self.n, width), kind)

    def gradient_of(self, k: int) -> str:
        """The name of the gradient of layer k's result, after its activation; k = -1: of the data."""
        if k < 0:
            return "x.g"
        return f"{self.activation(k)}(l{k + 1}).g" if self.activation(k) else f"l{k + 1}.g"

    def compute(self, operation: str, products: list[tuple[int, int, int]], *used: Buffer) -> None:
        """An operation with matrix products (rows, inner, cols), for which the C core packs the operands."""
        nbytes = packed_bytes(products, self.network.dtype)
        packed = [self.log.make("packed operands", (nbytes,), "workspace", "uint8")] if nbytes else []
        self.log.step(operation, *used, *packed)
        self.log.free(*packed)


def first(network: Network, batch: int) -> BufferLog:
    """The lesson's first version: w.g = (inp.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0), an array n x m x h."""
    return _lesson(network, batch, outer_products=True)


def matmul(network: Network, batch: int) -> BufferLog:
    """The lesson's second version: w.g = inp.t() @ out.g; every other line as before."""
    return _lesson(network, batch, outer_products=False)


def _lesson(network: Network, batch: int, outer_products: bool) -> BufferLog:
    run = PredictedRun(network, batch)
    before, after = _lesson_forward(run)
    gradients = (_lesson_mse if network.loss is ops.MSE else _loss_functions)(run, after[-1])
    for k in range(len(network.stages) - 1, -1, -1):
        if network.stages[k].activation is ops.RELU:
            gradients = _lesson_relu_grad(run, k, before[k], gradients)
        elif run.activation(k):
            gradients = _functions_activation_grad(run, k, before[k], gradients, False)
        gradients = _lesson_lin_grad(run, k, after[k - 1] if k else run.x, gradients, outer_products)
    return run.log


def _lesson_forward(run: PredictedRun) -> tuple[list[Buffer], list[Buffer]]:
    """(each layer's x @ w + b, each layer's result after its activation)."""
    before, after, inp = [], [], run.x
    for k, stage in enumerate(run.network.stages):
        m, h = stage.w.shape
        product = out = run.rows(f"inp{k + 1} @ w{k + 1}", h, "temporary")
        run.compute("@", [(run.n, m, h)], inp, run.w[k], product)
        if stage.b is not None:
            out = run.rows(f"l{k + 1}", h)
            run.log.step("+", product, out)
            run.log.free(product)
        before.append(out)
        if run.activation(k):
            inp, out = out, run.rows(f"{run.activation(k)}(l{k + 1})", h)
            run.log.step(".clamp_min" if stage.activation is ops.RELU else run.activation(k), inp, out)
        after.append(out)
        inp = out
    return before, after


def _lesson_mse(run: PredictedRun, out: Buffer) -> Buffer:
    """mse = (out - targ).pow(2).mean(), and out.g = 2 * (out - targ) / n."""
    h, log = run.network.widths[-1], run.log
    difference = run.rows("out - targ", h, "temporary")
    log.step("-", out, run.targ, difference)
    square = run.rows("(out - targ).pow(2)", h, "temporary")
    log.step("**", difference, square)
    log.free(difference)
    loss = log.make("loss", (), "activations")
    log.step(".mean", square, loss)
    log.free(square)
    difference = run.rows("out - targ", h, "temporary")
    log.step("-", out, run.targ, difference)
    doubled = run.rows("2 * (out - targ)", h, "temporary")
    log.step("*", difference, doubled)
    log.free(difference)
    value = run.rows("2 * (out - targ) / n", h, "temporary")
    log.step("/", doubled, value)
    log.free(doubled)
    return _assign(run, "out.g", value)


def _lesson_relu_grad(run: PredictedRun, k: int, before: Buffer, upstream: Buffer) -> Buffer:
    """inp.g = (inp > 0).float() * out.g"""
    h, log = run.network.stages[k].w.shape[1], run.log
    mask = log.make(f"l{k + 1} > 0", (run.n, h), "temporary", bool)
    log.step("a comparison", before, mask)
    slope = run.rows(f"(l{k + 1} > 0).float()", h, "temporary")
    log.step(".float", mask, slope)
    log.free(mask)
    value = run.rows(f"{slope.name} * {run.gradient_of(k)}", h, "temporary")
    log.step("*", slope, upstream, value)
    log.free(slope)
    return _assign(run, f"l{k + 1}.g", value)


def _lesson_lin_grad(run: PredictedRun, k: int, inp: Buffer, upstream: Buffer, outer_products: bool) -> Buffer:
    """inp.g = out.g @ w.t(), w.g = ..., b.g = out.g.sum(0)"""
    (m, h), log = run.network.stages[k].w.shape, run.log
    name = f"b{k + 1}.g, new"
    value = run.rows(f"l{k + 1}.g @ w{k + 1}.t()", m, "temporary")
    run.compute("@", [(run.n, h, m)], upstream, run.w[k], value)
    inp_g = _assign(run, run.gradient_of(k - 1), value, run.x_g if k == 0 else None)
    _assign(run, f"w{k + 1}.g", _lesson_w_g(run, k, inp, upstream, outer_products), run.w_g[k])
    if run.network.stages[k].b is not None:
        total = log.make(name, (h,), "temporary")
        log.step(".sum", upstream, total)
        _assign(run, f"b{k + 1}.g", total, run.b_g[k])
    return inp_g


def _lesson_w_g(run: PredictedRun, k: int, inp: Buffer, upstream: Buffer, outer_products: bool) -> Buffer:
    """inp.t() @ out.g, or (inp.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0)"""
    (m, h), log = run.network.stages[k].w.shape, run.log
    name = f"w{k + 1}.g, new"
    if not outer_products:
        gradient = log.make(name, (m, h), "temporary")
        run.compute("@", [(m, run.n, h)], inp, upstream, gradient)
        return gradient
    products = log.make("inp.unsqueeze(-1) * out.g.unsqueeze(1)", (run.n, m, h), "temporary")
    log.step("*", inp, upstream, products)
    gradient = log.make(name, (m, h), "temporary")
    log.step(".sum", products, gradient)
    log.free(products)
    return gradient


def _assign(run: PredictedRun, name: str, value: Buffer, into: Buffer | None = None) -> Buffer:
    """t.g = value: copied into the tensor's own gradient, which is allocated if there is none yet."""
    into = into or run.log.make(name, value.shape, "activation gradients")
    run.log.step(f"{name} = ...", value, into)
    run.log.free(value)
    return into


def functions(network: Network, batch: int) -> BufferLog:
    """bp.lin, bp.relu, bp.mse or others, and their gradients: each result once, each gradient once, nothing else."""
    return _functions(network, batch)


def inplace(network: Network, batch: int) -> BufferLog:
    """The same with relu_, mse_grad(inplace=True) and relu_grad(inplace=True), and x an array, which gets no x.g."""
    return _functions(network, batch, gradient_of_x=False, values_over=True, gradients_over=True)


def layers(network: Network, batch: int) -> BufferLog:
    """Model(..., inplace=True) with an activation that has no operation in place: the tape runs layer by layer."""
    return _functions(network, batch, gradient_of_x=False, values_over=True)


def _functions(
    network: Network, batch: int, gradient_of_x: bool = True, values_over: bool = False, gradients_over: bool = False
) -> BufferLog:
    """values_over, gradients_over: whether results overwrite their inputs, where an activation can do that."""
    run = PredictedRun(network, batch, gradient_of_x)
    before, after = _functions_forward(run, values_over)
    upstream = _loss_functions(run, after[-1], gradients_over and not run.activation(len(network.stages) - 1))
    for k in range(len(network.stages) - 1, -1, -1):
        if run.activation(k):
            upstream = _functions_activation_grad(run, k, before[k], upstream, gradients_over)
        inp_g = run.x_g if k == 0 else run.rows(run.gradient_of(k - 1), network.widths[k], "activation gradients")
        used = [after[k - 1] if k else run.x, upstream, run.w[k], run.w_g[k]]
        used += run.b_g[k : k + 1] + ([] if inp_g is None else [inp_g])
        products = backward_products(batch, network.widths[k], network.widths[k + 1], inp_g is not None)
        run.compute("lin_grad", products, *used)
        upstream = inp_g or upstream
    return run.log


def _loss_functions(run: PredictedRun, out: Buffer, over: bool = False) -> Buffer:
    """The loss and out.g. over: the gradient overwrites out, if the loss can do that."""
    loss, log = run.network.loss, run.log
    log.step(loss.name, out, run.targ, log.make("loss", (), "activations"))
    if over and can_overwrite(loss):
        gradient = log.share("out.g", out.shape, "activation gradients", out)
    else:
        gradient = run.rows("out.g", run.network.widths[-1], "activation gradients")
    log.step(loss.lesson_grad, out, run.targ, gradient)
    return gradient


def can_overwrite(op: Op) -> bool:
    """Whether an operation's function of the gradient takes inplace=True."""
    return op.grad is not None and "inplace" in inspect.signature(op.grad).parameters


def _functions_forward(run: PredictedRun, inplace: bool) -> tuple[list[Buffer], list[Buffer]]:
    before, after, inp = [], [], run.x
    for k, stage in enumerate(run.network.stages):
        m, h = stage.w.shape
        out = run.rows(f"l{k + 1}", h)
        run.compute("lin", [(run.n, m, h)], inp, run.w[k], *run.b[k : k + 1], out)
        before.append(out)
        if stage.activation is not None:
            name, over = f"{run.activation(k)}(l{k + 1})", stage.inplace if inplace else None
            inp, out = out, run.rows(name, h) if over is None else run.log.share(name, (run.n, h), "activations", out)
            run.log.step((over or stage.activation).name, inp, out)
        after.append(out)
        inp = out
    return before, after


def _functions_activation_grad(run: PredictedRun, k: int, before: Buffer, upstream: Buffer, inplace: bool) -> Buffer:
    name, stage = f"l{k + 1}.g", run.network.stages[k]
    h = stage.w.shape[1]
    if inplace and stage.inplace is not None:
        gradient = run.log.share(name, (run.n, h), "activation gradients", upstream)
    else:
        gradient = run.rows(name, h, "activation gradients")
    run.log.step(f"{run.activation(k)}_grad", before, upstream, gradient)
    return gradient
