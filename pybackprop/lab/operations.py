"""The operations that a kernel may compute: one record each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.suggestions import suggest_among
from pybackprop.lab.operation import Argument, Arrays, Factors, Operation, Sizes, Terms

PRODUCTS: tuple[tuple[int, ...], ...] = (
    *((3, 17, 5), (1, 1, 1), (2, 3, 4), (5, 1, 3), (1, 7, 1), (1, 5, 64), (4, 3, 33), (16, 16, 16), (17, 33, 18)),
    *((31, 64, 47), (64, 65, 66), (70, 130, 97), (0, 3, 2), (3, 0, 2), (3, 2, 0)),
)
SEGMENTS = ((511, 3, 4), (512, 2, 5), (513, 4, 3), (1100, 5, 17))
SMALL_PRODUCTS = ((3, 17, 5), (17, 33, 18))


# ---- the definitions ----


def _passed(arrays: Arrays, names: Sequence[str]) -> list[Any]:
    return [native.pointer(arrays[name]) for name in names]


def _calls(
    by_dtype: native.ByDtype, names: Sequence[str], sizes: Sequence[str], more: Sequence[int] = ()
) -> Callable[[Arrays, Sizes], Callable[[], Any]]:
    """A C function of the library with its arguments: arrays, sizes, more."""

    def prepare(arrays: Arrays, given: Sizes) -> Callable[[], Any]:
        function = by_dtype[arrays[names[0]].dtype]
        passed = [*_passed(arrays, names), *(given[size] for size in sizes), *more]

        def call() -> None:
            native.check(function(*passed) or 0)

        return call

    return prepare


def _matmul(by_dtype: native.ByDtype) -> Callable[[Arrays, Sizes], Callable[[], Any]]:
    def prepare(arrays: Arrays, sizes: Sizes) -> Callable[[], Any]:
        c, a, b = _passed(arrays, "cab")
        rows, inner, cols = (sizes[name] for name in ("rows", "inner", "cols"))
        function = by_dtype[arrays["c"].dtype]
        return lambda: native.check(function(c, cols, a, inner, b, cols, rows, inner, cols, 0, 0, 0))

    return prepare


def _now(prepare: Callable[[Arrays, Sizes], Callable[[], Any]]) -> Callable[[Arrays, Sizes], None]:
    def run(arrays: Arrays, sizes: Sizes) -> None:
        prepare(arrays, sizes)()

    return run


def _step(arrays: Arrays, sizes: Sizes) -> None:
    """loss and gradients of mse(relu(x @ w1 + b1) @ w2 + b2, targ), operation by operation."""
    n, m, h = (sizes[name] for name in ("n", "m", "h"))
    f32, p = native.FLOAT32, {name: native.pointer(array) for name, array in arrays.items()}
    temporary = {"l1": (n, h), "l2": (n, h), "out": (n, 1), "dout": (n, 1), "dl2": (n, h), "dl1": (n, h)}
    kept = {name: np.zeros(shape, np.float32) for name, shape in temporary.items()}
    p |= {name: native.pointer(array) for name, array in kept.items()}
    native.check(native.ref_linear_forward[f32](p["l1"], p["x"], p["w1"], p["b1"], n, m, h))
    native.ref_relu_forward[f32](p["l2"], p["l1"], n * h)
    native.check(native.ref_linear_forward[f32](p["out"], p["l2"], p["w2"], p["b2"], n, h, 1))
    native.check(native.ref_mse_forward[f32](p["loss"], p["out"], p["targ"], n, 1))
    native.ref_mse_backward[f32](p["dout"], p["out"], p["targ"], n)
    native.check(native.ref_linear_backward_w[f32](p["dw2"], p["l2"], p["dout"], n, h, 1, 0))
    native.check(native.ref_linear_backward_b[f32](p["db2"], p["dout"], n, 1, 0))
    native.check(native.ref_linear_backward_x[f32](p["dl2"], p["dout"], p["w2"], n, h, 1, 0))
    native.ref_relu_backward[f32](p["dl1"], p["l1"], p["dl2"], n * h)
    native.check(native.ref_linear_backward_w[f32](p["dw1"], p["x"], p["dl1"], n, m, h, 0))
    native.check(native.ref_linear_backward_b[f32](p["db1"], p["dl1"], n, h, 0))


# ---- the two matrices of a product ----


def _ab(arrays: Arrays) -> tuple[Array, Array]:
    return arrays["a"], arrays["b"]


def _xw(arrays: Arrays) -> tuple[Array, Array]:
    return arrays["x"], arrays["w"]


def _dw(arrays: Arrays) -> tuple[Array, Array]:
    return arrays["dout"], arrays["w"].T


def _xd(arrays: Arrays) -> tuple[Array, Array]:
    return arrays["x"].T, arrays["dout"]


# ---- how much rounding is usual: the number of terms of a sum, and the sum of their magnitudes ----


def _size(array: Array) -> Array:
    return np.abs(array.astype(np.float64))


def _product_terms(out: str, factors: Factors, bias: str = "") -> Terms:
    def terms(arrays: Arrays, sizes: Sizes) -> tuple[int, Mapping[str, Any]]:
        left, right = (_size(factor) for factor in factors(arrays))
        return left.shape[1] + 2, {out: left @ right + (_size(arrays[bias]) if bias else 0)}

    return terms


def _no_rounding(arrays: Arrays, sizes: Sizes) -> tuple[int, Mapping[str, Any]]:
    return 0, {"out": np.zeros_like(_size(arrays["x"]))}


def _mse_terms(arrays: Arrays, sizes: Sizes) -> tuple[int, Mapping[str, Any]]:
    out, targ = _size(arrays["out"]), _size(arrays["targ"])
    return out.size + 4, {"loss": np.mean((out + targ) ** 2, keepdims=True).reshape(1)}


# ---- the table ----

MATMUL = Operation(
    name="matmul",
    equation="c (rows,cols) = a (rows,inner) @ b (inner,cols)",
    arguments=(
        Argument("c", ("rows", "cols"), True),
        Argument("a", ("rows", "inner")),
        Argument("b", ("inner", "cols")),
    ),
    sizes=("rows", "inner", "cols"),
    shapes=PRODUCTS,
    hard=SMALL_PRODUCTS,
    usual=(512, 512, 512),
    ladder=(768, 768, 768),
    slow=_now(_matmul(native.ref_matmul)),
    fast=_matmul(native.matmul),
    terms=_product_terms("c", _ab),
    flops=lambda s: 2 * s["rows"] * s["inner"] * s["cols"],
    kind="matmul",
    factors=_ab,
    body="""\
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            REAL acc = 0;
            for (size_t k = 0; k < inner; k++) acc = FMA(a[i * inner + k], b[k * cols + j], acc);
            c[i * cols + j] = acc + 0; /* turns a -0 that underflow left into +0 */
        }
""",
)
LINEAR_FORWARD = Operation(
    name="linear_forward",
    equation="out (n,h) = x (n,m) @ w (m,h) + b (h)",
    arguments=(
        Argument("out", ("n", "h"), True),
        Argument("x", ("n", "m")),
        Argument("w", ("m", "h")),
        Argument("b", ("h",)),
    ),
    sizes=("n", "m", "h"),
    shapes=PRODUCTS,
    hard=SMALL_PRODUCTS,
    usual=(1024, 784, 50),
    ladder=(4096, 784, 50),
    slow=_now(_calls(native.ref_linear_forward, ("out", "x", "w", "b"), ("n", "m", "h"))),
    fast=_calls(native.linear_forward, ("out", "x", "w", "b"), ("n", "m", "h")),
    terms=_product_terms("out", _xw, "b"),
    flops=lambda s: 2 * s["n"] * s["m"] * s["h"],
    kind="forward",
    factors=_xw,
    body="""\
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < h; j++) {
            REAL acc = 0;
            for (size_t k = 0; k < m; k++) acc = FMA(x[i * m + k], w[k * h + j], acc);
            out[i * h + j] = acc + 0 + b[j]; /* + 0: turns a -0 that underflow left into +0 */
        }
""",
)
LINEAR_BACKWARD_X = Operation(
    name="linear_backward_x",
    equation="dx (n,m) = dout (n,h) @ w.T (h,m)",
    arguments=(Argument("dx", ("n", "m"), True), Argument("dout", ("n", "h")), Argument("w", ("m", "h"))),
    sizes=("n", "m", "h"),
    shapes=PRODUCTS,
    hard=SMALL_PRODUCTS,
    usual=(1024, 784, 50),
    ladder=(4096, 784, 50),
    slow=_now(_calls(native.ref_linear_backward_x, ("dx", "dout", "w"), ("n", "m", "h"), (0,))),
    fast=_calls(native.linear_backward_x, ("dx", "dout", "w"), ("n", "m", "h"), (0,)),
    terms=_product_terms("dx", _dw),
    flops=lambda s: 2 * s["n"] * s["m"] * s["h"],
    kind="backward_x",
    factors=_dw,
    body="""\
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++) {
            REAL acc = 0;
            for (size_t j = 0; j < h; j++) acc = FMA(dout[i * h + j], w[k * h + j], acc);
            dx[i * m + k] = acc + 0; /* turns a -0 that underflow left into +0 */
        }
""",
)
LINEAR_BACKWARD_W = Operation(
    name="linear_backward_w",
    equation="dw (m,h) = x.T (m,n) @ dout (n,h), in segments of 512 rows",
    arguments=(Argument("dw", ("m", "h"), True), Argument("x", ("n", "m")), Argument("dout", ("n", "h"))),
    sizes=("n", "m", "h"),
    shapes=(*PRODUCTS, *SEGMENTS),
    hard=(*SMALL_PRODUCTS, SEGMENTS[2]),
    usual=(1024, 784, 50),
    ladder=(4096, 784, 50),
    slow=_now(_calls(native.ref_linear_backward_w, ("dw", "x", "dout"), ("n", "m", "h"), (0,))),
    fast=_calls(native.linear_backward_w, ("dw", "x", "dout"), ("n", "m", "h"), (0,)),
    terms=_product_terms("dw", _xd),
    flops=lambda s: 2 * s["n"] * s["m"] * s["h"],
    kind="backward_w",
    factors=_xd,
    body="""\
    for (size_t k = 0; k < m; k++)
        for (size_t j = 0; j < h; j++) {
            REAL total = 0;
            for (size_t start = 0; start < n; start += 512) { /* each segment is summed from 0 */
                size_t end = n - start < 512 ? n : start + 512;
                REAL acc = 0;
                for (size_t i = start; i < end; i++) acc = FMA(x[i * m + k], dout[i * h + j], acc);
                total = total + acc;
            }
            dw[k * h + j] = total;
        }
""",
)
RELU = Operation(
    name="relu",
    equation="out (size) = max(x, 0): a NaN stays NaN, -0 becomes +0",
    arguments=(Argument("out", ("size",), True), Argument("x", ("size",))),
    sizes=("size",),
    shapes=tuple((size,) for size in (100, 0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 1023, 4099)),
    hard=((100,), (17,)),
    usual=(1_000_000,),
    ladder=(1_000_000,),
    slow=_now(_calls(native.ref_relu_forward, ("out", "x"), ("size",))),
    fast=_calls(native.relu_forward, ("out", "x"), ("size",)),
    terms=_no_rounding,
    flops=lambda s: s["size"],
    kind="",
    body="""\
    for (size_t i = 0; i < size; i++) out[i] = x[i] > 0 ? x[i] : (x[i] != x[i] ? x[i] : 0);
""",
)
MSE = Operation(
    name="mse",
    equation="loss (1) = mean over all elements of (out (n,h) - targ (n,h))**2",
    arguments=(Argument("loss", (), True), Argument("out", ("n", "h")), Argument("targ", ("n", "h"))),
    sizes=("n", "h"),
    shapes=((5, 7), (1, 1), (3, 1), (1, 17), (16, 1), (64, 10), (512, 1), (513, 3), (1100, 5)),
    hard=((5, 7), (513, 3)),
    usual=(50000, 10),
    ladder=(50000, 10),
    slow=_now(_calls(native.ref_mse_forward, ("loss", "out", "targ"), ("n", "h"))),
    fast=_calls(native.mse_forward, ("loss", "out", "targ"), ("n", "h")),
    terms=_mse_terms,
    flops=lambda s: 3 * s["n"] * s["h"],
    kind="",
    body="""\
    double total = 0;
    for (size_t start = 0; start < n; start += 512) { /* each segment of rows is summed from 0 */
        size_t elements = (n - start < 512 ? n - start : 512) * h;
        double lane[16] = {0}; /* sums that may run side by side */
        for (size_t e = 0; e < elements; e++) {
            REAL difference = out[start * h + e] - targ[start * h + e];
            lane[e % 16] = fma(difference, difference, lane[e % 16]);
        }
        for (size_t width = 8; width > 0; width /= 2)
            for (size_t l = 0; l < width; l++) lane[l] = lane[l] + lane[l + width];
        total = total + lane[0];
    }
    *loss = (REAL)(total / (double)(n * h));
""",
)
STEP = Operation(
    name="step",
    equation="loss, dw1, db1, dw2, db2 of mse(relu(x (n,m) @ w1 (m,h) + b1) @ w2 (h,1) + b2, targ (n,1))",
    arguments=(
        *(Argument("loss", (), True), Argument("dw1", ("m", "h"), True), Argument("db1", ("h",), True)),
        *(Argument("dw2", ("h",), True), Argument("db2", (), True)),
        *(Argument("x", ("n", "m")), Argument("targ", ("n",)), Argument("w1", ("m", "h")), Argument("b1", ("h",))),
        *(Argument("w2", ("h",)), Argument("b2", ())),
    ),
    sizes=("n", "m", "h"),
    shapes=((3, 17, 5), (1, 1, 1), (2, 3, 4), (17, 33, 18), (64, 65, 50), (70, 13, 97), *SEGMENTS),
    hard=(*SMALL_PRODUCTS, SEGMENTS[2]),
    usual=(4096, 784, 50),
    ladder=(4096, 784, 50),
    slow=_step,
    fast=None,
    terms=lambda arrays, sizes: (0, {}),
    flops=lambda s: 4 * s["n"] * s["m"] * s["h"] + 6 * s["n"] * s["h"],
    kind="step",
    body="",
)

TRIED = {op.name: op for op in (MATMUL, LINEAR_FORWARD, LINEAR_BACKWARD_X, LINEAR_BACKWARD_W, RELU, MSE)}
OPERATIONS = {**TRIED, STEP.name: STEP}


def operation(name: str) -> Operation:
    """The operation that `lab try` calls so. Raises ValueError, with the names that it knows."""
    if name not in TRIED:
        raise ValueError(
            f"lab: found operation {name!r}, expected one of {', '.join(TRIED)}{suggest_among(name, TRIED)}"
        )
    return TRIED[name]
