"""Times a model's operations one by one, in turns, in the process that measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

import pybackprop as bp
from pybackprop.bench import workloads
from pybackprop.bench.engines.pybackprop import Planned
from pybackprop.core import settings
from pybackprop.core.arrays import Array
from pybackprop.engine.model import Model, network_of_model
from pybackprop.lab.clock import Run, interleaved, warnings
from pybackprop.lab.fitness import Watch
from pybackprop.train.model_file import load

Data: TypeAlias = Callable[[Any], dict[str, Array]]

RATE = 1e-3  # of the updates: the parameters hardly change


def run(
    sizes: Sequence[int],
    path: str | None,
    batch: int,
    dtype: str,
    kernel: str,
    threads: int,
    rounds: int,
    best: Mapping[str, float],
    on_step: Callable[[str], Any] = lambda text: None,
) -> dict[str, Any]:
    """The operations of a saved model, or of one with these sizes: name, flops, bytes, times.

    flops: two for each multiply-add. bytes: of all operands and results, each once: the least that can be moved.
    """
    settings.use_kernel(kernel)
    settings.set_threads(threads)
    on_step("preparing")
    model = load(path) if path else bp.mlp(list(sizes), dtype=dtype)
    network = network_of_model(model)
    found = list(_operations(model, network.widths, batch, network.dtype.name))
    runs = {row["name"]: Run(call) for row, call in found}
    watch = Watch.knowing(threads, best)
    timings = interleaved(runs, rounds, watch, 0, on_step)
    rows = [{**row, **timings[row["name"]].report(rounds)} for row, _ in found]
    return {
        "model": repr(model),
        "widths": network.widths,
        "batch": batch,
        "dtype": network.dtype.name,
        "kernel": kernel,
        "threads": threads,
        "operations": rows,
        "fitness": watch.report(),
        "warnings": warnings({row["name"]: row for row in rows}),
    }


def _operations(model: Model, widths: list[int], n: int, dtype: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """(name, flops and bytes; what runs it once), in the order of a step."""
    size = np.dtype(dtype).itemsize
    rng = np.random.default_rng(0)
    data = cache(workloads.data)
    stages = network_of_model(model).stages
    for k, (m, h) in enumerate(pairwise(widths)):
        yield _product(f"{k + 1}: x @ w + b", "forward", (n, m, h), dtype, data)
        if stages[k].activation is not None:
            layer = next(layer for layer in model.layers if id(layer) == stages[k].layers[-1])
            z = bp.tensor(rng.standard_normal((n, h)).astype(dtype))
            yield _described(f"{k + 1}: {layer}", n * h, 2 * n * h * size), partial(layer, z)
    out, targ = (rng.standard_normal((n, widths[-1])).astype(dtype) for _ in range(2))
    made = bp.tensor(out)
    yield _described("mse", 3 * out.size, 2 * out.nbytes), partial(bp.mse, made, targ)
    for k, (m, h) in reversed(list(enumerate(pairwise(widths)))):
        yield _product(f"{k + 1}: dw = x.T @ dout", "backward_w", (n, m, h), dtype, data)
        if k:
            yield _product(f"{k + 1}: dx = dout @ w.T", "backward_x", (n, m, h), dtype, data)
    yield from _whole(model, widths, n, dtype)


def _described(name: str, flops: int, size: int) -> dict[str, Any]:
    return {"name": name, "flops": flops, "bytes": size}


def _product(
    name: str, kind: str, sizes: tuple[int, int, int], dtype: str, data: Callable[[Any], dict[str, Array]]
) -> Any:
    work = workloads.Workload("roofline", kind, sizes, dtype, 1)
    n, m, h = sizes
    row = _described(name, work.flops, (n * m + m * h + n * h) * np.dtype(dtype).itemsize)
    return row, Planned(settings.threads()).prepare(work, data(work))


def _whole(model: Model, widths: list[int], n: int, dtype: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """The update, and all of a step in a plan: x, targ and parameters are read once, gradients written once."""
    rng = np.random.default_rng(1)
    x, targ = (rng.standard_normal((n, width)).astype(dtype) for width in (widths[0], widths[-1]))
    model(x, targ)
    model.backward()
    optimizer = bp.SGD(model, lr=RATE)
    parameters = sum(int(p.nbytes) for p in model.parameters())
    numbers = parameters // np.dtype(dtype).itemsize
    yield _described("update: p - lr p.g", 2 * numbers, 3 * parameters), optimizer.step
    plan = bp.compile(model, batch=n)
    step = workloads.Workload("roofline", "step", (n, *widths), dtype, 1)
    row = _described("the whole step, a plan", step.flops, x.nbytes + targ.nbytes + 2 * parameters)
    yield row, partial(plan.grads, bp.as_tensor(x), bp.as_tensor(targ))
