"""The list of workloads, and the data that every engine gets for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pybackprop.core.arrays import Array, aligned_copy
from pybackprop.core.units import threads_text
from pybackprop.data import digits

QUICK, USUAL, FULL, NEVER = range(4)  # the lowest level at which a workload runs
NETWORKS = ("step", "epoch", "classify")  # kinds whose sizes are those of a network and its data
# kinds that are bound by memory, and how often each element is read or written
PASSES = {"update": 7, "loss": 2}
FIT_TARGET = "5x sklearn, 4x torch"
EPOCH_TARGET = "4x sklearn, 6x torch"
INK = 0.3  # pixels below this count as empty
FEWER_ZEROS = {f"digits with {share} % zeros": share / 100 for share in (73, 50, 25)}  # images on grey paper
LR, MOMENTUM = 0.01, 0.9
ADAM_LR, EPOCHS = 1e-3, 5  # of classify
BETA2, EPS, STEPS = 0.999, 1e-8, 9  # of an update by Adam, which is the tenth
MANY = 4  # up to so many widths are listed one by one; more, if equal, are counted
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
SMALL = (4, 8, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True)
class Workload:
    """One thing to compute and time.

    kind     the method of an Engine that runs it
    sizes    matmul: rows, inner, cols. forward, backward_w, backward_x: n, m, h. step, epoch: n, then the widths.
             update: parameters. loss, the cross-entropy of labels: n, h
    threads  for the operation; the process may use that many cores
    target   how many times as fast as the best peer it should be, as text
    data     "normal": random numbers; "digits": x (n,784) holds images of digits, most of whose pixels are zero; or
             one of FEWER_ZEROS
    batch    epoch: rows in a step, shuffled, each with its update by SGD with LR and MOMENTUM. classify: the same, by
             Adam with ADAM_LR, EPOCHS times, of a network whose outputs are the scores of classes
    """

    group: str
    kind: str
    sizes: tuple[int, ...]
    dtype: str
    threads: int
    target: str = ""
    data: str = "normal"
    batch: int = 0

    @property
    def label(self) -> str:
        """The operation and its sizes, as in 'forward 50000x784 @ 784x50'."""
        if self.kind in NETWORKS:
            n, *widths = self.sizes
            chain = "→".join(map(str, widths))
            if len(widths) > MANY and len(set(widths)) == 1:
                chain = f"{widths[0]}→({len(widths) - 1} layers of {widths[0]})"
            sizes = f"{n}x{chain}"
            batch, data = f" by {self.batch}" * (self.batch > 0), f" of {self.data}" * (self.data != "normal")
            epochs = f", {EPOCHS} epochs" * (self.kind == "classify")
            return f"{self.kind} {sizes}{batch}{data}{epochs}"
        if self.kind in PASSES:
            sizes = "x".join(map(str, self.sizes))
            return f"update {sizes} parameters" if self.kind == "update" else f"cross-entropy {sizes}"
        (rows, inner), (_, cols) = pairwise(self.product)
        if rows == inner == cols:
            return f"{self.kind} {rows}"
        return f"{self.kind.replace('_', '-')} {rows}x{inner} @ {inner}x{cols}"

    @property
    def name(self) -> str:
        """The text that --only searches."""
        return f"{self.group}: {self.label} {self.dtype} {threads_text(self.threads)}"

    @property
    def product(self) -> tuple[int, int, int]:
        """(rows, inner, cols) of the matrix product, for a workload that is not a network."""
        n, m, h = self.sizes
        return {"backward_w": (m, n, h), "backward_x": (n, h, m)}.get(self.kind, (n, m, h))

    @property
    def flops(self) -> int:
        """Floating-point operations, of the products alone: two for each multiply-add."""
        if self.kind in PASSES:
            return 0
        if self.kind not in NETWORKS:
            return 2 * math.prod(self.product)
        n, *widths = self.sizes
        layers = [2 * n * m * h for m, h in pairwise(widths)]
        passes = EPOCHS if self.kind == "classify" else 1
        return passes * (3 * sum(layers) - layers[0])  # forward, dw, dx; the gradient of the data is not computed

    @property
    def bytes(self) -> int:
        """What has to be read and written, for a kind that is bound by memory.

        update: p, g, m, v and p, m, v. loss: the scores, and their gradient.
        """
        return PASSES.get(self.kind, 0) * math.prod(self.sizes) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Row:
    """A workload in variants (float32 or float64, many threads or one), each with the lowest level at which it runs."""

    group: str
    kind: str
    sizes: tuple[int, ...]
    many: int
    one: int
    many64: int = NEVER
    one64: int = NEVER
    target: str = ""
    data: str = "normal"
    batch: int = 0

    def workloads(self, level: int, threads: int) -> Iterator[Workload]:
        variants = (
            ("float32", threads, self.many),
            ("float32", 1, self.one),
            ("float64", threads, self.many64),
            ("float64", 1, self.one64),
        )
        for dtype, count, least in variants:
            if level >= least:
                yield Workload(self.group, self.kind, self.sizes, dtype, count, self.target, self.data, self.batch)


ROWS = (
    Row("square", "matmul", (512, 512, 512), USUAL, USUAL, FULL, FULL, target="0.98x (1.05x on AMD)"),
    Row("square", "matmul", (1024, 1024, 1024), QUICK, USUAL, USUAL, USUAL, target="0.98x (1.05x on AMD)"),
    Row("square", "matmul", (2048, 2048, 2048), USUAL, USUAL, FULL, FULL, target="0.98x (1.05x on AMD)"),
    Row("lesson", "forward", (50000, 784, 50), QUICK, FULL, target="1.5x"),
    Row("lesson", "backward_w", (50000, 784, 50), QUICK, FULL, target="1.5x"),
    Row("lesson", "backward_x", (50000, 784, 50), USUAL, FULL),
    Row("lesson", "forward", (64, 784, 50), QUICK, FULL, target="1.3x"),
    Row("lesson", "backward_w", (64, 784, 50), QUICK, FULL, target="1.3x"),
    *(
        Row(
            "small",
            "matmul",
            (n, n, n),
            QUICK if n in (8, 32, 128) else USUAL,
            FULL,
            target="1.1x" if n >= 48 else "1x",
        )
        for n in SMALL
    ),
    Row("step", "step", (50000, 784, 50, 1), QUICK, FULL, FULL, FULL, target="1.3x (plan 2.2x)"),
    Row("step", "step", (50000, 784, 50, 1), QUICK, FULL, target="plan 4x", data="digits"),
    *(
        Row("step", "step", (50000, 784, 50, 1), FULL, FULL, target="plan 3x" if share > 0.7 else "", data=data)
        for data, share in FEWER_ZEROS.items()
    ),
    Row("step", "step", (50000, 784, 50, 10), USUAL, FULL, target="plan 2.2x"),
    Row("step", "step", (4, 3, 5, 2), QUICK, FULL, FULL, FULL, target="1x"),
    Row("step", "step", (64, 784, 50, 10), QUICK, FULL, target="plan 2.5x (1.8x on AMD)"),
    Row("step", "step", (64, 784, 50, 10), USUAL, FULL, target="plan 2.5x (1.8x on AMD)", data="digits"),
    Row("step", "step", (200, 100, 50, 1), USUAL, FULL, target="plan 4x (3x on AMD)"),
    *(Row("step", "step", (n, 784, 50, 10), USUAL, FULL, target="plan 1.5x") for n in (256, 1024)),
    Row("step", "step", (1024, 256, 256, 10), USUAL, FULL, target="plan 1.5x"),
    Row("step", "step", (1024, 1024, 1024, 1024), USUAL, FULL, target="plan 1.1x"),
    Row("epoch", "epoch", (60000, 784, 50, 10), USUAL, FULL, target=EPOCH_TARGET, batch=64),
    Row("epoch", "epoch", (60000, 784, 50, 10), USUAL, FULL, target=EPOCH_TARGET, data="digits", batch=64),
    Row("epoch", "epoch", (40000, 3, 5, 2), USUAL, FULL, target="0.5 µs a step", batch=4),
    Row("fit", "classify", (60000, 784, 100, 10), QUICK, FULL, USUAL, FULL, FIT_TARGET, data="digits", batch=200),
    Row("update", "update", (1_000_000,), QUICK, USUAL, target="90 % of peak"),
    Row("update", "update", (10_000_000,), USUAL, FULL, target="90 % of peak"),
    *(Row("loss", "loss", (10_000, h), QUICK, USUAL, FULL, FULL, target="3x numpy, 1.5x torch") for h in (10, 1000)),
    *(
        Row("epochs, growing width", "epoch", (12800, 10, w, w, 10), FULL, FULL, target="1.5x PyTorch", batch=128)
        for w in WIDTHS
    ),
    *(Row("ranks", "step", (4096, *widths), FULL, FULL) for widths in ((784, 100, 10), (784, 1000, 1000, 10))),
    *(Row("growth with rows", "step", (n, 784, 50, 10), FULL, FULL) for n in (1, 4, 16, 64, 256, 1024, 4096, 16384)),
    *(Row("growth with width", "step", (1024, 256, h, 10), FULL, FULL) for h in (1, 4, 16, 64, 256, 1024)),
    *(Row("growth with depth", "step", (1024, *[128] * (depth + 1)), FULL, FULL) for depth in (1, 2, 4, 8, 16)),
)


def select(level: int, threads: int, only: Sequence[str] = (), rows: Sequence[Row] = ROWS) -> list[Workload]:
    """The workloads of a level, each once, whose names contain one of the texts.

    Raises ValueError for a text that no name contains.
    """
    available = list(dict.fromkeys(workload for row in rows for workload in row.workloads(level, threads)))
    for text in only:
        if not any(_matches(workload, text) for workload in available):
            full = (workload for row in rows for workload in row.workloads(FULL, threads))
            more = level < FULL and any(_matches(workload, text) for workload in full)
            raise ValueError(
                f"--only: no workload's name contains {text!r}; {'--full has some' if more else 'see --list'}"
            )
    return [workload for workload in available if not only or any(_matches(workload, text) for text in only)]


def _matches(workload: Workload, text: str) -> bool:
    return text.lower() in workload.name.lower()


def data(workload: Workload) -> dict[str, Array]:
    """The operands by name, the same in every process: normal random numbers, with w scaled by sqrt(2 / inputs).

    Each array begins on a cache line, so that no engine profits from a lucky address.
    """
    return {name: aligned_copy(array) for name, array in _numbers(workload).items()}


def _numbers(workload: Workload) -> dict[str, Array]:
    rng = np.random.default_rng(workload.sizes)

    def normal(*shape: int) -> Array:
        numbers: Array = rng.standard_normal(shape, workload.dtype)  # type: ignore[call-overload]
        return numbers

    def weights(m: int, h: int) -> Array:
        w = normal(m, h)
        w *= math.sqrt(2 / m)
        return w

    if workload.kind in NETWORKS:
        n, *widths = workload.sizes
        x = normal(n, widths[0]) if workload.data == "normal" else images(rng, n, workload.dtype)
        if workload.data in FEWER_ZEROS:
            _darken(rng, x, FEWER_ZEROS[workload.data])
        operands = {"x": x, "targ": normal(n, widths[-1])}
        if workload.kind == "classify":
            operands["targ"] = _classes(rng, x, widths[-1])
        for k, (m, h) in enumerate(pairwise(widths), 1):
            operands[f"w{k}"], operands[f"b{k}"] = weights(m, h), normal(h)
        return operands
    if workload.kind == "update":
        arrays = {name: normal(*workload.sizes) for name in "pgmv"}
        arrays["v"] = (1 + arrays["v"] ** 2) / 2
        return arrays
    if workload.kind == "loss":
        n, h = workload.sizes
        return {"out": normal(n, h), "targ": rng.integers(0, h, n)}
    n, m, h = workload.sizes
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "matmul": {"a": (n, m), "b": (m, h)},
        "forward": {"x": (n, m), "w": (m, h), "b": (h,)},
        "backward_w": {"x": (n, m), "dout": (n, h)},
        "backward_x": {"dout": (n, h), "w": (m, h)},
    }
    return {name: weights(m, h) if name == "w" else normal(*shape) for name, shape in shapes[workload.kind].items()}


def _classes(rng: np.random.Generator, x: Array, count: int) -> Array:
    """Labels (n,) that a network can learn; the first rows have one of each class."""
    labels: Array = (x @ rng.standard_normal((x.shape[1], count), np.float32)).argmax(1)
    labels[:count] = np.arange(count)[: len(labels)]
    return labels


def images(rng: np.random.Generator, n: int, dtype: str) -> Array:
    """x (n,784): the built-in digits as 20x20 of 28x28 pixels, as in MNIST, each shifted a little; 4 of 5 are 0."""
    small = digits(dtype).x_train.reshape(-1, 8, 8)
    grid = np.arange(20) * 8 // 20
    large = np.where(small < INK, 0, small)[:, grid][:, :, grid].astype(dtype)
    drawn = np.zeros((n, 28, 28), dtype)
    places, chosen = rng.integers(2, 7, (n, 2)), rng.integers(len(large), size=n)
    for image, digit, (down, right) in zip(drawn, chosen, places, strict=True):
        image[down : down + 20, right : right + 20] = large[digit]
    return drawn.reshape(n, 784)


def _darken(rng: np.random.Generator, x: Array, share: float) -> None:
    """Fills empty pixels here and there with grey, so that about that share of all is left empty."""
    empty = x == 0
    grey = empty & (rng.random(x.shape, np.float32) > share / empty.mean())
    x[grey] = rng.random(int(grey.sum()), np.float32)
