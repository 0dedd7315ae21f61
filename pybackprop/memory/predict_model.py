"""Predicts the memory of a step with a Model, with numpy and with PyTorch; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence

from pybackprop import ops
from pybackprop.engine import placement
from pybackprop.engine.placement import backward_products
from pybackprop.memory import predict_lesson
from pybackprop.memory.buffers import PASS, Buffer, BufferLog
from pybackprop.memory.predict_lesson import PredictedRun
from pybackprop.nn.network import Network


def model(network: Network, batch: int) -> BufferLog:
    """loss = model(x, targ); model.backward(): one workspace for all layers' results and gradients."""
    return _model(network, batch, *placement.of_pass(network, batch))


def model_inplace(network: Network, batch: int) -> BufferLog:
    """Model(..., inplace=True): each layer has one place, for z, then relu's result, then the gradient."""
    if any(stage.activation is not None and stage.inplace is None for stage in network.stages):
        return predict_lesson.layers(network, batch)
    return _model(network, batch, *placement.of_pass(network, batch, inplace=True))


def _model(network: Network, batch: int, places: Sequence[tuple[int, int, int]], size: int) -> BufferLog:
    run = PredictedRun(network, batch, gradient_of_x=False)
    log = run.log
    workspace = log.make(PASS, (size,), "activations")
    outs, inp = [], run.x
    for k, (stage, (z, a, _)) in enumerate(zip(network.stages, places, strict=True), 1):
        m, h = stage.w.shape
        shape = (batch, h)
        out = log.share(f"l{k}", shape, "activations", workspace)
        run.compute("lin", [(batch, m, h)], inp, run.w[k - 1], *run.b[k - 1 : k], out)
        if activation := run.activation(k - 1):
            name = f"{activation}(l{k})" + (f" (where l{k} was)" if a == z else "")
            inp, out = out, log.share(name, shape, out.kind, workspace)
            log.step(activation, inp, out)
        outs.append(out)
        inp = out
    loss = log.make("loss", (), "activations")
    log.step(network.loss.name, inp, run.targ, loss)
    _model_backward(run, workspace, outs)
    return log


def _model_backward(run: PredictedRun, workspace: Buffer, outs: list[Buffer]) -> None:
    network, log = run.network, run.log
    gradient = log.share("out.g", outs[-1].shape, "activation gradients", workspace)
    log.step(network.loss.lesson_grad, outs[-1], run.targ, gradient)
    for k in range(len(network.stages), 0, -1):
        if activation := run.activation(k - 1):
            log.step(f"{activation}_grad", outs[k - 1], gradient)
        used = [outs[k - 2] if k > 1 else run.x, run.w[k - 1], gradient, run.w_g[k - 1], *run.b_g[k - 1 : k]]
        if k > 1:
            gradient = log.share(run.gradient_of(k - 2), outs[k - 2].shape, "activation gradients", workspace)
            used.append(gradient)
        products = backward_products(run.n, network.widths[k - 1], network.widths[k], k > 1)
        run.compute("lin_grad", products, *used)


def numpy(network: Network, batch: int) -> BufferLog:
    """A careful numpy user's step: every buffer allocated beforehand, every result written in place."""
    run = PredictedRun(network, batch, gradient_of_x=False)
    log, last = run.log, len(network.stages) - 1
    a = [run.rows(f"a{k}", width) for k, width in enumerate(network.widths[1:], 1)]
    d = [run.rows(f"d{k}", width, "activation gradients") for k, width in enumerate(network.widths[1:-1], 1)]
    slopes = [_numpy_slope(run, k) for k in range(last)]
    of_rows = [] if network.loss is ops.MSE else [log.make("a number for each row", (batch,), "temporary")]
    log.step("buffers allocated beforehand")
    inp = run.x
    for k, out in enumerate(a):
        log.step("np.matmul(out=)", inp, run.w[k], out)
        if k < last and run.activation(k):
            log.step("np.maximum(out=)" if _is_relu(run, k) else f"{run.activation(k)}, in place", out)
        inp = out
    log.step("loss and its gradient, where the output was", inp, run.targ, *of_rows)
    gradient = inp
    for k in range(last, -1, -1):
        log.step("np.matmul(out=)", a[k - 1] if k else run.x, gradient, run.w_g[k])
        if k:
            log.step("np.matmul(out=)", gradient, run.w[k], d[k - 1])
            if (slope := slopes[k - 1]) is not None:
                log.step("np.multiply(out=)", a[k - 1], slope, d[k - 1])
            gradient = d[k - 1]
    return log


def _numpy_slope(run: PredictedRun, k: int) -> Buffer | None:
    """The factor for the activation's gradient: relu's mask, or numbers; None if there is no activation."""
    if not run.activation(k):
        return None
    if _is_relu(run, k):
        return run.log.make(f"a{k + 1} > 0", (run.n, run.network.widths[k + 1]), "temporary", bool)
    return run.rows(f"slope of {run.activation(k)}", run.network.widths[k + 1], "temporary")


def _is_relu(run: PredictedRun, k: int) -> bool:
    return run.network.stages[k].activation is ops.RELU


SAVE_RESULTS = (ops.RELU, ops.SIGMOID, ops.TANH)  # of those, PyTorch's backward reads the result


def torch(network: Network, batch: int) -> BufferLog:
    """PyTorch's autograd, from what its operations save: relu, sigmoid, tanh their results, all others their operands.

    A result that no operation saves is freed with its variable; a saved one is freed after the operation's backward.
    """
    run = PredictedRun(network, batch, gradient_of_x=False)
    log, results, saved = run.log, list[Buffer](), list[Buffer]()
    inp = run.x
    for k, stage in enumerate(network.stages):
        z = out = run.rows(f"l{k + 1}", stage.w.shape[1])
        log.step("addmm", inp, run.w[k], *run.b[k : k + 1], out)
        if activation := run.activation(k):
            out = run.rows(f"{activation}(l{k + 1})", stage.w.shape[1])
            log.step(activation, z, out)
        if stage.activation in SAVE_RESULTS:
            log.free(z)
        saved.append(out if stage.activation in SAVE_RESULTS else z)
        results.append(out)
        inp = out
    gradient = (_torch_of_logarithms if network.takes_labels else _torch_loss)(run, results[-1])
    _torch_backward(run, results, saved, gradient)
    return log


def _torch_loss(run: PredictedRun, out: Buffer) -> Buffer:
    """Any other: its operands are saved."""
    log, name = run.log, run.network.loss.name
    log.step(name, out, run.targ, log.make("loss", (), "activations"))
    gradient = run.rows("out.grad", run.network.widths[-1], "activation gradients")
    log.step(f"{name.title().replace('_', '')}Backward", out, run.targ, gradient)
    return gradient


def _torch_of_logarithms(run: PredictedRun, out: Buffer) -> Buffer:
    """cross_entropy: log_softmax, whose result is saved, then nll_loss."""
    log, h = run.log, run.network.widths[-1]
    logarithms = run.rows("log_softmax(out)", h)
    log.step("log_softmax", out, logarithms)
    log.step("nll_loss", logarithms, run.targ, log.make("loss", (), "activations"))
    upstream = run.rows("log_softmax(out).grad", h, "activation gradients")
    log.step("NllLossBackward", run.targ, upstream)
    gradient = run.rows("out.grad", h, "activation gradients")
    log.step("LogSoftmaxBackward", upstream, logarithms, gradient)
    log.free(upstream, logarithms)
    return gradient


def _torch_backward(run: PredictedRun, results: list[Buffer], saved: list[Buffer], gradient: Buffer) -> None:
    """results: each layer's result; saved: what its activation saved, or the result if there is no activation."""
    network, log = run.network, run.log
    for k in range(len(network.stages) - 1, -1, -1):
        if activation := run.activation(k):
            masked = run.rows(f"l{k + 1}.grad", network.widths[k + 1], "activation gradients")
            log.step(f"{activation.title().replace('_', '')}Backward", gradient, saved[k], masked)
            log.free(gradient, saved[k], results[k])
            gradient = masked
        below = run.rows(f"{run.gradient_of(k - 1)}rad", network.widths[k], "activation gradients") if k else None
        used = [results[k - 1] if k else run.x, run.w[k], gradient, run.w_g[k], *run.b_g[k : k + 1]]
        log.step("AddmmBackward", *used, *([] if below is None else [below]))
        log.free(gradient, *([] if run.activation(k) else [saved[k]]))
        if k and saved[k - 1] is not results[k - 1]:
            log.free(results[k - 1])  # only this addmm has saved it
        gradient = below or gradient
