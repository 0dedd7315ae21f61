"""Products over all axes at once: kernels, threads, types, transposes, sizes, tiles, layouts, kinds of numbers.

Every combination would take days. So for each kernel, type, pair of transposes, overwriting and adding, the other
axes are drawn from shuffled decks (each value comes equally often) with a fixed seed; large sizes also for each
number of threads. Small sizes are walked without gaps. All results are compared with the reference as bits.
"""

from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits, bits
from helpers.matrix import AXES, KINDS, LAYOUTS, LONG, THREADS, TILE_ROWS, cases, edges, lanes_of, numbers, same
from helpers.processes import python
from pybackprop.autograd.tape import Sink
from pybackprop.core import native
from pybackprop.ops.linear import lin_backward

LARGE = [  # rows, inner, cols: more than a million steps, so that threads take part, not always with equal shares
    (131, 101, 137),
    (1, 1025, 1701),
    (1701, 1025, 1),
    (3, 513, 1103),
    (1103, 513, 3),
    (97, 2049, 9),
    (9, 2049, 97),
    (1031, 2, 821),
    (67, 512, 61),
]
LARGE_LAYERS = [  # n, m, h
    (1025, 41, 43),
    (5003, 17, 21),
    (3, 513, 1103),
    (2503, 2, 331),
    (65, 167, 163),
    (1601, 1, 1009),
]
TRANSPOSES = list(product((False, True), repeat=2))


@pytest.fixture(params=bp.kernels())
def kernel(request):
    bp.use_kernel(request.param)
    return request.param


@pytest.fixture(params=THREADS)
def threads(request):
    """How many are asked for; a serial build takes one."""
    bp.set_threads(request.param)
    return request.param


@pytest.fixture(autouse=True)
def _own_tiles():
    yield
    bp.set_tiles()


@lru_cache(maxsize=64)
def problem(sizes, dtype, kind):
    """a, b, c, and what a @ b and c + a @ b are."""
    rows, inner, cols = sizes
    rng = np.random.default_rng(sizes)
    a, b, c = (numbers(rng, shape, dtype, kind) for shape in ((rows, inner), (inner, cols), (rows, cols)))
    return a, b, c, bp.reference.matmul(a, b), bp.reference.matmul(a, b, add_to=c)


def framed(array, step):
    """(an array around a copy of the array, that copy): see AXES."""
    if step == 0:
        whole = array.copy()
        return whole, whole
    rows, cols = array.shape
    whole = np.full((rows * step + 2, cols + 3), 12345, array.dtype)
    part = whole[1 : rows * step + 1 : step, 1 : cols + 1]
    part[...] = array
    return whole, part


def multiply(how, a, b, ta, tb, out, accumulate):
    """The product by one of the ways there are, written to out."""
    if how == "array" or (accumulate and how != "tensor"):
        assert bp.matmul(a, b, ta, tb, out, accumulate) is out
    elif how == "tensor":  # the second time C knows them already
        start, tensors = out.copy(), [bp.as_tensor(array) for array in (a, b, out)]
        for _ in range(2):
            out[...] = start
            bp.matmul(tensors[0], tensors[1], ta, tb, tensors[2], accumulate)
    elif how == "new":
        out[...] = bp.matmul(a, b, ta, tb).data
    else:
        out[...] = (bp.as_tensor(a.T if ta else a) @ bp.as_tensor(b.T if tb else b)).data


def check_product(sizes, dtype, ta, tb, accumulate, kind, tiles, threads, left, right, how, step):
    a, b, c, expected, added = problem(sizes, dtype, kind)
    bp.set_tiles(*tiles)
    bp.set_threads(threads)
    whole, out = framed(c if accumulate else np.full_like(c, np.nan), step)
    stored_a, stored_b = LAYOUTS[left](a.T.copy() if ta else a), LAYOUTS[right](b.T.copy() if tb else b)
    multiply(how, stored_a, stored_b, ta, tb, out, accumulate)
    case = (sizes, ta, tb, accumulate, kind, tiles, threads, left, right, how, step)
    assert same(whole, framed(added if accumulate else expected, step)[0]), case


@pytest.mark.parametrize("accumulate", [False, True], ids=["overwriting", "adding"])
@pytest.mark.parametrize(("ta", "tb"), TRANSPOSES)
def test_products_around_the_edges_of_tiles(kernel, dtype, ta, tb, accumulate):
    sizes = edges(kernel, dtype)
    for case in cases((ta, tb, accumulate), 90, rows=sizes, inner=sizes + LONG, cols=sizes, **AXES):
        shape = case.pop("rows"), case.pop("inner"), case.pop("cols")
        check_product(shape, dtype, ta, tb, accumulate, **case)


@pytest.mark.parametrize(("ta", "tb"), TRANSPOSES)
def test_products_that_threads_share(kernel, threads, dtype, ta, tb):
    axes = {**AXES, "sizes": LARGE, "threads": [threads], "accumulate": [False, True]}
    for case in cases((ta, tb, threads), len(LARGE), **axes):
        check_product(case.pop("sizes"), dtype, ta, tb, **case)


def walk(dtype, most, inner, ta, tb, kind):
    """Every number of rows and columns up to most, as parts of the same operands; what lies beside c must stay."""
    a, b, c, *results = problem((most, inner, most), dtype, kind)
    stored = [np.ascontiguousarray(array.T if t else array) for array, t in ((a, ta), (b, tb))]
    operands = [each for array in stored for each in (native.address(array), array.shape[1])]
    frame = np.full((most + 1, most + 1), 12345, dtype)
    for rows, cols in product(range(1, most + 1), repeat=2):
        add = (rows + cols + inner) % 2
        found, expected = frame.copy(), frame.copy()
        found[:rows, :cols] = c[:rows, :cols] if add else np.nan
        expected[:rows, :cols] = results[add][:rows, :cols]
        call = native.matmul[found.dtype]
        assert call(native.address(found), most + 1, *operands, rows, inner, cols, ta, tb, add) == 0
        assert same(found, expected), (rows, inner, cols, add, kind)


@pytest.mark.parametrize(("ta", "tb"), TRANSPOSES)
def test_every_small_size(kernel, dtype, ta, tb):
    bp.set_threads(1)
    lanes = lanes_of(kernel, dtype)
    for inner in range(1, 2 * lanes + 3):
        walk(dtype, 2 * max(lanes, TILE_ROWS[kernel]) + 2, inner, ta, tb, KINDS[(inner + ta + 2 * tb) % 3])


class Adding(Sink):
    """Adds every gradient to what its tensor's .g holds."""

    def into(self, tensor):
        return tensor.grad_buffer(), True


@lru_cache(maxsize=64)
def layer(sizes, dtype, kind):
    """x, w, b, dout; out with and without b; what .g holds before; dx, dw, db; the same added to what was there."""
    n, m, h = sizes
    rng = np.random.default_rng(sizes)
    shapes = ((n, m), (m, h), (h,), (n, h), (n, m), (m, h), (h,))
    x, w, b, dout, *before = (numbers(rng, shape, dtype, kind) for shape in shapes)
    ref = bp.reference
    outs = ref.linear_forward(x, w, b), ref.linear_forward(x, w)
    gradients = [
        (ref.linear_backward_x(dout, w, dx), ref.linear_backward_w(x, dout, dw), ref.linear_backward_b(dout, db))
        for dx, dw, db in ((None, None, None), before)
    ]
    return (x, w, b, dout), outs, before, *gradients


def check_layer(sizes, dtype, kind, tiles, threads, left, right):
    (x, w, b, dout), outs, before, gradients, added = layer(sizes, dtype, kind)
    bp.set_tiles(*tiles)
    bp.set_threads(threads)
    operands = [bp.as_tensor(array) for array in (LAYOUTS[left](x), LAYOUTS[right](w), b)]
    out = bp.tensor(dout)
    out.g = dout
    found = [bp.lin(*operands).data, bp.lin(*operands[:2]).data]
    for operand in operands:
        operand.g = np.full(operand.shape, np.nan, dtype)
    bp.lin_grad(operands[0], out, *operands[1:])
    found += [operand.g.data.copy() for operand in operands]
    for operand, start in zip(operands, before, strict=True):
        operand.g = start
    lin_backward(operands, (), out.g, Adding())
    found += [operand.g.data for operand in operands]
    names = ("out", "out without b", "dx", "dw", "db", "dx added", "dw added", "db added")
    for name, one, right_one in zip(names, found, (*outs, *gradients, *added), strict=True):
        assert same(one, right_one), (name, sizes, kind, tiles, threads, left, right)


LAYER_AXES = {name: AXES[name] for name in ("kind", "tiles", "threads", "left", "right")}


def test_layers_around_the_edges_of_tiles_and_segments(kernel, dtype):
    sizes = edges(kernel, dtype)
    axes = {"n": sizes, "m": sizes, "h": sizes, "long": [None, *LONG], "place": [0, 0, 0, 1, 2], **LAYER_AXES}
    for case in cases((), 120, **axes):
        shape = [case.pop(name) for name in "nmh"]
        place, long = case.pop("place"), case.pop("long")
        shape[place] = long or shape[place]
        check_layer(tuple(shape), dtype, **case)


def test_layers_that_threads_share(kernel, threads, dtype):
    axes = {**LAYER_AXES, "sizes": LARGE_LAYERS, "threads": [threads]}
    for case in cases((threads,), len(LARGE_LAYERS), **axes):
        check_layer(case.pop("sizes"), dtype, **case)


@pytest.mark.parametrize("sizes", [(13, 9, 33), (131, 103, 137)], ids=["small", "large"])
def test_denormal_numbers_are_numbers(kernel, threads, dtype, sizes):
    """Told from what is right: where a compiler's flags flush them, they do so in the reference too."""
    rows, inner, cols = sizes
    powers = (-74, -75) if dtype == np.float32 else (-537, -537)  # the product is the least number there is
    a, b = np.full((rows, inner), 2.0 ** powers[0], dtype), np.full((inner, cols), 2.0 ** powers[1], dtype)
    assert (bits(bp.matmul(a, b).data) == inner).all()
    assert (bits(bp.reference.matmul(a, b)) == inner).all()


def repeated(array, axes):
    """One number, row or column of the array, repeated without memory of its own."""
    part = array[tuple(slice(1) if axis in axes else slice(None) for axis in range(2))]
    return np.broadcast_to(part, array.shape)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)], ids=["a row", "a column", "a number"])
@pytest.mark.parametrize(("ta", "tb"), TRANSPOSES)
def test_operands_whose_numbers_are_repeated(kernel, ta, tb, axes, dtype, rng):
    for rows, inner, cols in [(5, 17, 33), (1, 9, 15), (15, 1, 7), (31, 8, 1)]:
        a = numbers(rng, (inner, rows) if ta else (rows, inner), dtype, "plain")
        b = numbers(rng, (cols, inner) if tb else (inner, cols), dtype, "plain")
        for left, right in ((repeated(a, axes), b), (a, repeated(b, axes)), (repeated(a, axes), repeated(b, axes))):
            expected = bp.reference.matmul(left.copy(), right.copy(), ta, tb)
            assert_same_bits(bp.matmul(left, right, ta, tb).data, expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no limit on memory here")
def test_a_product_goes_on_where_there_is_no_memory_for_its_rooms():
    code = """
import re, resource
import numpy as np
import pybackprop as bp

bp.set_threads(1)
rng = np.random.default_rng(0)
problems = []
for dtype in ("f", "d"):
    a, b, dw = (rng.standard_normal((700, 700)).astype(dtype) for _ in range(3))
    problems.append((a, b, np.empty_like(a), bp.reference.matmul(a, b)))
used = int(re.search(r"VmSize:\\s+([0-9]+)", open("/proc/self/status").read())[1]) * 1024
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 2**17, before[1]))
try:
    np.empty(2**21, "u1")
    print("there is memory")
except MemoryError:
    pass
for a, b, out, _ in problems:
    bp.matmul(a, b, out=out)
resource.setrlimit(resource.RLIMIT_AS, before)  # comparing takes memory
for _, _, out, expected in problems:
    print(np.array_equal(out, expected))
"""
    found = python(code)
    assert found.stdout.split() == ["True", "True"], found.stdout + found.stderr
