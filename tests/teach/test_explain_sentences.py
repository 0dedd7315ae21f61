# ruff: noqa: E501 (a pattern is a whole sentence)
"""Every sentence that explain prints is true: read back from the text, and computed again by numpy in double.

A text is taken apart into sentences. A sentence that no pattern here knows fails, so a new one needs its test.
"""

import re
from collections import Counter

import numpy as np
import pytest

import pybackprop as bp
from helpers import in_numpy
from helpers.written_formulas import NAME, arriving, evaluate
from pybackprop.ops import op as op_module
from pybackprop.teach.render.document import Formula, Heading, Text

ELEMENT = rf"{NAME}(?:\[[\d,]+\])?"
NUMBER = r"\(?-?(?:\d[\d.]*(?:e[+-]?\d+)?|nan|inf)\)?"
END = r"(?: |$)"
KINDS = Counter()


@pytest.fixture(scope="module")
def bent():
    op = bp.define_op(
        "bent",
        forward=lambda x: np.where(x > 0.5, x, 3 * x - 1),
        backward=lambda dout, x: dout * np.where(x > 0.5, 1, 3),
        elementwise=True,
        kink=0.5,
    )
    yield op
    del op_module.registry["bent"]


@pytest.fixture(scope="module")
def stirred():
    op = bp.define_op(
        "stirred",
        forward=lambda x, s: x * s + x[::-1],
        backward=lambda dout, x, s: (dout * s + dout[::-1], (dout * x).sum(0)),
        operands=("x", "s"),
    )
    yield op
    del op_module.registry["stirred"]


class Program:
    """A random program: shapes from 1, tensors used again, every operation, uses that the tape does not record."""

    def __init__(self, seed, bent, stirred):
        self.rng = rng = np.random.default_rng(seed)
        self.dtype = [np.float64, np.float32][seed % 3 == 2]
        self.n, self.width = (int(k) for k in rng.choice([1, 2, 3, 4, 11], 2, p=[0.2, 0.3, 0.3, 0.15, 0.05]))
        self.bent, self.stirred = bent, stirred
        width = self.width
        self.weights = [bp.param(self.numbers(width, width)) for _ in range(2)]
        self.biases = [bp.param(self.numbers(width)) for _ in range(2)]
        self.frozen = bp.tensor(self.numbers(width, width))
        self.x = bp.tensor(self.numbers(self.n, width))
        self.results = [self.x]
        for _ in range(int(rng.integers(1, 6))):
            self.results.append(self.step())
        self.loss = self.mse()
        if rng.integers(4) == 0:
            self.loss = self.loss + self.mse()
        self.loss.backward(keep=bool(rng.integers(2)))

    def numbers(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def any(self, among):
        return among[self.rng.integers(len(among))]

    def step(self):
        inp, w, b = self.any(self.results), self.any(self.weights), self.any(self.biases)
        layer = bp.lin(inp, w, b)
        steps = [
            lambda: layer,
            lambda: inp @ w,
            lambda: inp @ w + b,
            lambda: layer + inp,
            lambda: bp.relu(layer),
            lambda: bp.relu_(layer),
            lambda: bp.leaky_relu(layer, negative_slope=float(self.any([0.01, 0.25, 1.0]))),
            lambda: self.bent(layer),
            lambda: self.stirred(layer, b),
            lambda: layer.clone() + 0.5,
            lambda: layer + bp.param(self.numbers(self.n, 1) if self.width > 1 else self.numbers(1)),
            lambda: layer + self.x @ self.frozen,
            lambda: layer + bp.relu(bp.lin(self.x, self.frozen)),
            lambda: bp.lin(bp.tensor(self.x), w) + inp,
            lambda: bp.lin(inp, bp.tensor(w)) + layer,
            *self.arithmetic(inp, layer, b),
        ]
        return self.any(steps)()

    def arithmetic(self, inp, layer, b):
        return [
            lambda: layer - inp,
            lambda: layer * inp,
            lambda: (inp - layer) / (inp * inp + 1),
            lambda: layer * b,
            lambda: layer / (b * b + 0.5) - 0.25 * inp,
            lambda: 2 - layer,
            lambda: -(3 / (layer * layer + 1)),
            lambda: (layer**2 + 0.5).sqrt() + layer.pow(3) * 0.01,
            lambda: layer - layer.mean(0),
            lambda: layer.sum(1, keepdims=True) * 0.1 + inp,
            lambda: layer + inp.mean() + layer.sum(0) / 4,
            lambda: layer.T.reshape(*layer.shape),
            lambda: layer[::-1] + layer[0],
            lambda: layer[[0] * self.n] + inp,
            lambda: layer.clamp_min(0.25),
        ]

    def mse(self):
        out = bp.lin(self.results[-1], self.weights[0]) if self.rng.integers(2) else self.results[-1]
        out = out if out.requires_g else bp.lin(out, self.weights[0])
        targ = self.numbers(*out.shape)
        losses = [lambda: bp.mse(out, targ), lambda: ((out - targ) ** 2).mean(), lambda: (out - targ).pow(2).mean()]
        if self.width == 1:
            losses.append(lambda: ((out.squeeze(-1) - targ[:, 0]) ** 2).mean())
        return self.any(losses)()

    def asked(self):
        """Tensors to ask about: up to three that were computed, and two that were not."""
        seen, stack = {}, [self.loss]
        while stack:
            t = stack.pop()
            if id(t) not in seen:
                seen[id(t)] = t
                stack += t._node.inputs if t._node is not None else ()
        tensors = [t for t in seen.values() if t is not self.loss]
        computed = [t for t in tensors if t._node is not None]
        leaves = [t for t in tensors if t._node is None]
        return [
            group[k] for group, count in ((computed, 3), (leaves, 2)) for k in self.rng.permutation(len(group))[:count]
        ]


class Reading:
    """One explanation, and what numpy says about its element."""

    def __init__(self, e):
        self.e, self.network, self.ran = e, e.walk.network, e.program.ran
        self.exact = e.dtype == np.float64
        self.arrays = {self.network.name(t): t for op in self.network for t in (*op.inputs, op.output)}
        self.values = in_numpy.values(self.network)
        self.path = e.paths[0]
        self.known = {}  # gradients

    def close(self, found, right, scale=1.0):
        assert abs(float(found) - float(right)) <= (1e-4 if self.exact else 2e-3) * (scale + abs(float(right)))

    def value(self, name, index):
        return self.values[id(self.arrays[name])][index]

    def loss_slope(self, name, index):
        return float(in_numpy.moved(self.network, self.arrays[name], index, self.network.root))

    def local(self, path):
        """The slopes along this path alone: of its operation, with the element moved in this operand."""
        op, by = path.operation, 1e-6
        given = [self.values[id(t)] for t in op.inputs]
        results = []
        for sign in (1, -1):
            values = [value.copy() for value in given]
            values[path.slot][path.at] += sign * by
            results.append(in_numpy.FORWARD[op.name](*values, **op.params))
        return np.asarray((results[0] - results[1]) / (2 * by))

    def moves_just(self, places):
        """Whether the path moves these places of its result and no others; the only path moves no others at all."""
        slopes = self.local(self.path)
        rest = slopes.copy()
        rest[places] = 0
        assert not rest.any()
        if len(self.e.paths) == 1 and not self.e.left_out:
            whole = in_numpy.moved(self.network, self.e.tensor, self.e.at, self.path.operation.output)
            whole = np.array(whole)
            whole[places] = 0
            assert not whole.any()


def number(text):
    return float(text.strip("()"))


def index(text):
    return tuple(int(k) for k in re.findall(r"\d+", text.partition("[")[2]))


def name(text):
    return text.partition("[")[0]


# ---- the sentences: a pattern, and what has to hold; r is the Reading, g the groups ----


def used(r, g):
    op = r.path.operation
    assert g[0] == r.e.element
    assert g[1] == r.network.name(op.output)
    for t in op.inputs:
        assert r.network.name(t) in g[2]


def used_in_product(r, g):
    """w1[0,1] is used in x @ w1, the product in l1 = x @ w1 + b1."""
    product, total = r.path.operation.output, r.arrays[g[2]]
    assert g[0] == r.e.element
    assert f"({g[1]})" == r.network.name(product)
    assert np.array_equal(r.values[id(total)], evaluate(r, g[3]))


def path(r, g):
    k, count, through = int(g[0]), int(g[1]), g[2]
    assert count == len(r.e.paths)
    r.path = r.e.paths[k - 1]
    assert through == r.network.name(r.path.operation.output)


def moves_column(r, g):
    n = r.path.operation.output.shape[0]
    assert (g[2] == "in the only row") == (n == 1)
    assert g[4] == (f"i = 0 .. {n - 1}" if n > 1 else "i = 0")
    r.moves_just((slice(None), int(g[1])))


def moves_row(r, g):
    h = r.path.operation.output.shape[1]
    assert (g[2] == "in the only column") == (h == 1)
    assert g[4] == (f"j = 0 .. {h - 1}" if h > 1 else "j = 0")
    r.moves_just((int(g[1]), slice(None)))


def moves_one(r, g):
    assert name(g[0]) == name(g[1]) == r.network.name(r.path.operation.output)
    r.moves_just(index(g[1]))
    assert r.local(r.path)[index(g[1])] != 0


def moves_some(r, g):
    slopes = r.local(r.path)
    assert int(g[1]) == np.count_nonzero(slopes)
    r.moves_just(np.nonzero(slopes))


def moves_nothing(r, g):
    r.close(np.abs(r.local(r.path)).max(initial=0), 0)


def moves_one_of(r, g):
    moves_one(r, (g[2], g[2]))
    assert g[0] == name(g[2])
    assert g[1] == r.e.element


def spread(path):
    """Where an element of an operand was broadcast to."""
    op = path.operation
    alone = np.zeros(op.inputs[path.slot].shape)
    alone[path.at] = 1
    return np.broadcast_to(alone, op.output.shape) != 0


def moves_many(r, g):
    """Each by its factor, which may be 0 for some of them."""
    assert int(g[2]) == spread(r.path).sum() if "broadcast" in g[3] else np.count_nonzero(r.local(r.path))
    assert g[0] == r.network.name(r.path.operation.output)
    r.moves_just(np.nonzero(spread(r.path) if "broadcast" in g[3] else r.local(r.path)))


def equation(r, g):
    """l2 = l1 * x, and what the operation computes by numpy."""
    op = r.path.operation
    assert g[0] == r.network.name(op.output)
    text, _, otherwise = g[1].partition(", else ")
    text, _, where = text.partition(" where ")
    found = evaluate(r, re.sub(rf"√({NAME})", r"np.sqrt(\1)", text))
    found = np.where(evaluate(r, where), found, float(otherwise)) if where else found
    np.testing.assert_allclose(found, r.values[id(op.output)], rtol=1e-6, atol=1e-9)


def made_of(r, g):
    for named, shape in (g[:2], g[2:]):
        assert tuple(int(k) for k in shape.split(",") if k) == r.arrays[named].shape
    assert (g[0], g[2]) == tuple(map(r.network.name, (r.path.operation.output, r.path.operation.inputs[0])))


def changes_by_number(r, g):
    assert g[2] == r.e.element
    assert name(g[0]) == r.network.name(r.path.operation.output)
    r.close(number(g[1]), r.local(r.path)[index(g[0])])


def own_factors(r, g):
    right = r.local(r.path)[spread(r.path)]
    shown = [part for part in g[0].split(", ") if part != "…"]
    assert (len(shown) < len(right)) == ("…" in g[0])
    for found, one in zip(shown, right, strict=False):
        r.close(number(found), one)


def same_shape(r, g):
    assert r.path.operation.inputs[r.path.slot].shape == r.path.operation.output.shape


def was_broadcast(r, g):
    assert r.path.operation.inputs[r.path.slot].shape != r.path.operation.output.shape


def relu_value(r, g):
    value = float(r.path.operation.inputs[0]._array[r.path.at])
    r.close(number(g[0]), value)
    assert value < 0
    moves_nothing(r, g)


def is_above(r, g):
    op = r.path.operation
    given = op.output if op.op.inplace else op.inputs[0]
    assert given._array[r.path.at] > 0
    assert r.local(r.path)[r.path.at] == pytest.approx(1, rel=1e-5)


def factor(r, g):
    r.close(r.local(r.path)[r.path.at], number(g[-1]), 0)


def changes_by_factor(r, g):
    """Its factor there is x[i,3]: l1[i,7] changes by x[i,3] per unit change of w1[3,7]."""
    assert g[0] == g[2]
    assert g[3] == r.e.element
    slopes = r.local(r.path)
    given, letters = r.values[id(r.arrays[name(g[0])])], re.findall(r"[ij]|\d+", g[0].partition("[")[2])
    for at in zip(*np.nonzero(np.ones_like(slopes)), strict=True):
        i, j = at
        if name(g[1]) and f"{name(g[1])}[{i}" and (slopes[at] or given.size):
            places = {"i": i, "j": j}
            here = tuple(places[letter] if letter in places else int(letter) for letter in letters)
            on_the_way = j == r.path.at[1] if "i" in letters else i == r.path.at[0]
            r.close(slopes[at], given[here] if on_the_way else 0)


def changes_by_one(r, g):
    slopes = r.local(r.path)
    assert np.allclose(slopes[slopes != 0], 1)


def measured_one(r, g):
    slopes = r.local(r.path)
    r.close(number(g[0]), slopes[slopes != 0][0] if slopes.any() else 0)


def cares(r, g):
    """l1.g[i,7], …: ∂loss/∂l1[i,7]."""
    out = r.path.operation.output
    assert g[0].partition(".g")[0] == name(g[-1]) == r.network.name(out)
    assert g[-2] == r.network.name(r.network.root)


def computed_by_backward(r, g):
    assert r.path.operation.output.requires_g
    cares(r, g)


def not_computed(r, g):
    assert not r.path.operation.output.requires_g
    cares(r, g)


def is_one(r, g):
    assert g[0] == g[1] == g[2] == r.network.name(r.network.root)


def goes_on(r, g):
    before = [p for p in r.e.paths if p.number < r.path.number]
    r.close(number(g[0]), sum(float((r.local(p) * _upstream(r, p)).sum()) for p in before), 10)


def _upstream(r, path):
    return arriving(r, path.operation.output)


def total(r, g):
    r.close(number(g[0]), r.loss_slope(r.e.name, r.e.at), 10)
    count = 1 if g[1] == "one term" else int(re.match(r"[\d,]+", g[1])[0].replace(",", ""))
    assert count == len(r.e.terms)
    if "paths" in g[1]:
        assert f"on {len(r.e.paths)} paths" in g[1]


def bit_for_bit(r, g):
    assert g[0] == r.e.gradient_name
    assert r.e.tensor.g.data[r.e.at] == r.e.dtype.type(r.e.total)


def as_close(r, g):
    assert g[0] == r.e.gradient_name
    assert r.e.dtype.type(number(g[1])) == r.e.tensor.g.data[r.e.at]


def keeps_none(r, g):
    assert r.e.tensor.g is None
    assert r.e.tensor._node is not None or r.e.tensor.requires_g


def wants_none(r, g):
    assert r.e.tensor.g is None
    assert not r.e.tensor.requires_g


def would_hold(r, g):
    """With requires_g set before the program runs, a backward would store the total."""
    assert not (r.e.left_out and not r.e.tensor.requires_g)


def on_the_tape(r, g):
    assert r.e.left_out


def left_out(r, g):
    assert g[0] in [constant.name for constant in r.e.left_out]
    assert g[2] == r.e.name
    tensor = next(c.tensor for c in r.e.program.constants if r.network.name(c.tensor) == g[0])
    assert g[1] == ",".join(map(str, tensor.shape))
    if r.ran is not None:
        assert r.ran.uses(r.e.tensor)
        assert in_numpy.moved(r.ran, r.e.tensor, r.e.at, tensor).any() or not r.e.walk.network.is_finite()


def transposed(r, g):
    """(out.g @ l2.T runs here, too, (n,h) @ (m,n), …)"""
    assert g[0] == r.network.name(r.path.operation.output)
    assert g[1] == r.network.name(r.path.operation.inputs[0])
    out, inp = r.path.operation.output, r.path.operation.inputs[0]
    assert (g[2] == "runs here, too") == (out.shape[1] == inp.shape[0])


def runs_down(r, g):
    k, first, j, second = int(g[0]), g[1], int(g[2]), g[3]
    slopes, arriving = r.values[id(r.arrays[first])][:, k], _upstream(r, r.path)[:, j]
    assert second == r.network.name(r.path.operation.output)
    r.close(slopes @ arriving, r.path.share, 10)


def runs_along(r, g):
    i, first, k, second = int(g[0]), g[1], int(g[2]), g[3]
    assert first == r.network.name(r.path.operation.output)
    r.close(r.values[id(r.arrays[second])][k] @ _upstream(r, r.path)[i], r.path.share, 10)


def column_sum(r, g):
    r.close(_upstream(r, r.path)[:, int(g[0])].sum(), r.path.share, 10)


def this_element(r, g):
    assert ("share" in g[-1]) == (len(r.e.paths) > 1)


def own_factor(r, g):
    op = r.path.operation
    r.close(number(g[-1]), {"relu": 0, "relu_": 0}.get(op.name, op.params.get("negative_slope")))


def used_times(r, g):
    count = {"twice": 2}.get(g[1]) or int(g[1].split()[0])
    assert count == len(r.network.uses(r.e.tensor)) == len(r.e.paths)


def nudged(r, g):
    assert g[0] == r.e.element
    r.close(number(g[1]), r.e.measured.h, 0)


def mean_over(r, g):
    assert int(g[-1]) == r.path.operation.inputs[0].size


def begins(r, g):
    assert r.path.operation.output is r.network.root


def slope_of(r, g):
    """slope (loss₊ - loss₋) / 2h = (a - b) / c = d, of the program as it ran or of the network."""
    above, below, width, slope = map(number, g[1:])
    assert (above - below) / width == pytest.approx(slope, rel=1e-3, abs=1e-8 * (1 + abs(above)) / width)
    network = r.ran if not r.measured and r.ran is not None else r.network
    r.measured += 1
    r.close(slope, float(in_numpy.moved(network, r.e.tensor, r.e.at, network.root)), 10)


def gradient_line(r, g):
    r.close(number(g[0]), r.loss_slope(r.e.name, r.e.at), 10)


def shares_line(r, g):
    shares = [number(part) for part in re.findall(r"\(-[\d.e+-]+\)|[\d.]+(?:e[+-]?\d+)?", g[1])]
    assert len(shares) == len(r.e.paths)
    assert sum(shares) == pytest.approx(number(g[2]), rel=1e-6, abs=1e-6)
    for share, one in zip(shares, r.e.paths, strict=True):
        r.close(share, float((r.local(one) * _upstream(r, one)).sum()), 10)


def whole(r, g):
    """share 1 of w1.g = x.T @ l1.g   shapes"""
    assert g[1] == r.e.name
    found = evaluate(r, g[2])
    assert found.shape == r.e.shape
    r.close(found[r.e.at], float((r.local(r.path) * _upstream(r, r.path)).sum()), 10)
    if g[0]:
        assert int(g[0].split()[1]) == r.path.number


def all_of_it(r, formula):
    if "by '" in formula:
        return
    parts = formula.split(" + ") if re.search(" summed| added at", formula) else [formula]
    found = sum(evaluate(r, part) for part in parts if part)
    right = arriving(r, r.e.tensor)
    scale = 1 + np.abs(right).max(initial=0)
    np.testing.assert_allclose(found, right, rtol=0, atol=(2e-5 if r.exact else 2e-3) * 10 * scale)


def nothing(r, g):
    """A sentence without facts of its own: about the method, or a definition."""


def directly(r, g):
    """It moves loss directly: a square of its own, in the single number at the end."""
    assert r.arrays[g[0]] is r.path.operation.output
    assert r.path.operation.output.size == 1


def column_because(r, g):
    """l1[i,7] = … + x[i,3] w1[3,7] + … + b1[7]: column 7, …"""
    op = r.path.operation
    z, x, me, j = g[0], g[2], g[4], int(g[1])
    k = int(g[3])
    assert (z, x, me) == (r.network.name(op.output), r.network.name(op.inputs[0]), r.e.element)
    assert (k, j, j, j) == (*r.path.at, int(g[5]), int(g[6]))
    assert (g[7], g[8]) == tuple(map(r.network.name, op.inputs[:2]))


def row_because(r, g):
    """l1[2,j] = … + x[2,3] w1[3,j] + …: row 2, …"""
    op = r.path.operation
    assert (g[0], g[3], g[2]) == (r.network.name(op.output), r.network.name(op.inputs[1]), r.e.element)
    assert (int(g[1]), int(g[4]), int(g[5])) == (r.path.at[0], r.path.at[1], r.path.at[0])
    assert (g[6], g[7]) == tuple(map(r.network.name, op.inputs[:2]))


def one_for_all_rows(r, g):
    """l1[i,1] = … + b1[1]: there is one b1[1] for all 4 rows."""
    n = r.path.operation.output.shape[0]
    assert (int(g[3]) == n) if g[3] else n == 1
    assert g[0] == r.network.name(r.path.operation.output)
    assert g[2] == r.e.element
    assert int(g[1]) == int(g[4]) == r.path.at[0]


def added_in_places(r, g):
    op = r.path.operation
    for found, t in ((g[1], op.inputs[r.path.slot]), (g[2], op.output)):
        assert tuple(int(k) for k in found.split(",") if k) == t.shape
    assert (g[4] == "this place") == (spread(r.path).sum() == 1)
    assert np.array_equal(np.abs(r.local(r.path)) > 0.5, spread(r.path))


def by_itself(r, g):
    slopes = np.array(r.local(r.path))
    slopes[r.path.at] = 0
    assert not slopes.any()


def looks_by_itself(r, g):
    """relu looks at each element by itself: l2[0,1] = max(l1[0,1], 0)."""
    by_itself(r, g)
    assert name(g[0]) == r.network.name(r.path.operation.output)
    assert index(g[0]) == r.path.at


def in_place(r, g):
    op = r.path.operation
    assert (g[0], g[1]) == (r.network.name(op.output), r.network.name(op.inputs[0]))
    assert np.shares_memory(op.output._array, op.inputs[0]._array)


def not_registered(r, g):
    assert g[0] == r.path.operation.op.name
    assert g[0] in ("bent", "stirred"), "the operations of these tests; the library's have rules"


def which_to_transpose(r, g):
    """Here it is i. In l1.g[i,j] it comes first, as it should, but in x[i,k] it comes first too. So x is the one."""
    letter, fits, place, other, wrong, should, turned = g
    for shown, where in ((fits, place), (other, wrong)):
        letters = shown.rpartition("[")[2].rstrip("]").split(",")
        assert letters.index(letter) == (0 if where == "first" else len(letters) - 1)
    assert should != wrong
    assert place == ("last" if should == "first" else "first"), "the inner one: last in one, first in the other"
    assert turned == other.rpartition("[")[0]


def summed_over_rows(r, g):
    b, out = r.path.operation.inputs[r.path.slot], r.path.operation.output
    assert g[0] == g[1] or g[1] == r.e.name
    assert _upstream(r, r.path).sum(0).shape == b.shape
    assert out.shape[1:] == b.shape


def own_square(r, g):
    by_itself = r.local(r.path)
    assert by_itself.ndim == 0
    assert g[1] == r.network.name(r.path.operation.output)
    assert g[2] in map(r.network.name, (*r.path.operation.inputs, r.path.operation.output))


def slopes_times_gradient(r, g):
    assert g[0] == r.e.name
    assert g[1] == r.network.name(r.path.operation.output)
    r.close((r.local(r.path) * _upstream(r, r.path)).sum(), r.path.share, 10)


def one_term(r, g):
    slopes_times_gradient(r, g)
    by_itself(r, g)


def largest_of(r, g):
    assert int(g[0].replace(",", "")) == len(r.path.moved) > 6


def made_smaller(r, g):
    """No corner lies between the two ends of the step."""
    h = r.e.measured.h
    network = r.ran if r.ran is not None else r.network
    assert h < 1e-4 * max(1, abs(float(r.e.tensor._array[r.e.at])))
    ends = [in_numpy.values(network, r.e.tensor, r.e.at, sign * h) for sign in (1, -1)]
    for op in network:
        if op.kink is not None:
            above = [end[id(op.inputs[0])] > op.kink for end in ends]
            assert np.array_equal(*above)


ELSE = r"and (?:on this path )?nothing else"
EVERY = r"in (?:every|the only) (?:row|column)"
SENTENCES = [
    (rf"Path (\d+) of (\d+), through ({NAME}):", path),
    (rf"({ELEMENT}) is used in ({NAME}) = (.+?)\.(?= |$)", used),
    (rf"({ELEMENT}) is used in (\w+ @ \w+), the product in ({NAME}) = (.+?)\.(?= |$)", used_in_product),
    (rf"In ({NAME}), ({ELEMENT}) moves ({ELEMENT}), {ELSE}\.", moves_one_of),
    (
        rf"In ({NAME}), ({ELEMENT}) moves (\d+) elements, "
        rf"(all those that it was broadcast to|the places that it was copied to), {ELSE}\.",
        moves_many,
    ),
    (r"Nothing moves, and the sum over nothing is 0\.", moves_nothing),
    (rf"Nothing changes with {ELEMENT}, as measured\.", moves_nothing),
    (r"It was not taken, so there is no term, and the sum over nothing is 0\.", moves_nothing),
    (rf"{ELEMENT} moves nothing in {NAME}: (?:the factor is 0|it was not taken)\.", moves_nothing),
    (rf"'[^']+' works element by element: ({NAME}) = (.+?)\.(?= |$)", equation),
    (rf"'[^']+' makes ({NAME}) \(([\d,]*)\) of ({NAME}) \(([\d,]*)\)\.", made_of),
    (rf"((?!It )(?!Each ){ELEMENT}) changes by ({NUMBER}) per unit change of ({ELEMENT})\.", changes_by_number),
    (rf"It changes by ({NUMBER}) per unit change of {ELEMENT}\.", measured_one),
    (rf"Each by its own factor, its change per unit change of {ELEMENT}: (.+?)\.(?= |$)", own_factors),
    (r"Each element is multiplied by its own factor, hence \* and not @:", same_shape),
    (rf"Each element of {NAME} gets the gradient from where it went:", nothing),
    (
        rf"In ({NAME}) it moves column (\d+), ({EVERY}), {ELSE}: ({NAME}\[i,\d+\]) for (i = \d+(?: \.\. \d+)?)\.",
        moves_column,
    ),
    (rf"In ({NAME}) it moves row (\d+), ({EVERY}), {ELSE}: ({NAME}\[\d+,j\]) for (j = \d+(?: \.\. \d+)?)\.", moves_row),
    (rf"In ({NAME}) it moves ({ELEMENT}), {ELSE}\.", moves_one),
    (rf"In ({NAME}) it moves (\d+) elements?, all those it was broadcast to, {ELSE}\.", moves_some),
    (rf"In ({NAME}) it moves (\d+) elements?, {ELSE}\.", moves_some),
    (rf"It moves ({NAME}) directly(?:, through its own square)?\.", directly),
    (rf"It is ({NUMBER}), not above 0, where \w+ is flat, so it moves nothing\.", relu_value),
    (r"It was not above 0, where \w+ is flat, so it moves nothing\.", moves_nothing),
    (rf"Every measured slope in {NAME} is 0: to first order it moves nothing\.", moves_nothing),
    (
        rf"({NAME})\[i,(\d+)\] = (?:… \+ )?({NAME})\[i,(\d+)\] ({ELEMENT})(?: \+ …)?(?: \+ {ELEMENT})?: column (\d+), "
        rf"because {ELEMENT} is in the sum of {NAME}\[i,j\] only for j = (\d+); {EVERY}, because each row of ({NAME}) is "
        rf"multiplied by ({NAME})\.",
        column_because,
    ),
    (
        rf"({NAME})\[(\d+),j\] = (?:… \+ )?({ELEMENT}) ({NAME})\[(\d+),j\](?: \+ …)?(?: \+ {NAME}\[j\])?: row (\d+), "
        rf"because a row of a product is computed from the same row of its first factor, ({NAME}), and no other row of it; "
        rf"{EVERY}, because that row is multiplied by each column of ({NAME})\.",
        row_because,
    ),
    (
        rf"({NAME})\[i,(\d+)\] = … \+ ({ELEMENT}): there is one {ELEMENT} for (?:all (\d+) rows\. It was broadcast, that is, "
        rf"added to every row of|the only row: it is added to) column (\d+)\.",
        one_for_all_rows,
    ),
    (
        rf"({NAME}) \(([\d,]*)\) was broadcast to \(([\d,]*)\): ({ELEMENT}) was added in "
        r"(each of these places|this place)\.",
        added_in_places,
    ),
    (r"'\.?\+?\w*' works on each element by itself\.", by_itself),
    (rf"\w+ looks at each element by itself: ({ELEMENT}) = .*?\.(?= \(|$)", looks_by_itself),
    (rf" ?\(({NAME}) was written over ({NAME}), in place\.\)", in_place),
    (rf"{NAME} = \((?:… \+ )?\({ELEMENT} - {ELEMENT}\)²(?: \+ …)?\) / \d+, the mean over (\d+) elements?\.", mean_over),
    (r"No rule is registered for '(\w+)': what moves, and by how much, was measured by nudging\.", not_registered),
    (
        rf"Its factor there is ({NAME}\[[\w,]+\]): ({NAME}\[[\w,]+\]) changes by ({NAME}\[[\w,]+\]) per unit change of "
        rf"({ELEMENT})\.",
        changes_by_factor,
    ),
    (rf"Nothing multiplies it: {NAME}\[i,\d+\] changes by 1 per unit change of {ELEMENT}\.", changes_by_one),
    (rf"(?:Each|It|{ELEMENT}) changes by 1 per unit change of {ELEMENT}\.", changes_by_one),
    (rf"It changes by ({NUMBER}) per unit change of {ELEMENT}, as measured\.", measured_one),
    (rf"Each by its own measured slope: its change per unit change of {ELEMENT}\.", nothing),
    (rf"{ELEMENT} is above 0, where \w+ passes it on: the factor is 1\.", is_above),
    (rf"{ELEMENT} is not above 0: the factor is ({NUMBER})\.", factor),
    (
        r"The square's slope is 2 times the difference(?:, with a minus for the target)?; the mean divides by (\d+)\.",
        mean_over,
    ),
    (
        rf"({NAME}\.g[\[\]\w,…]*), which the backward pass has already computed: ∂(\w+)/∂({NAME}[\w\[\],…]*)\.",
        computed_by_backward,
    ),
    (
        rf"({NAME}\.g[\[\]\w,…]*): ∂(\w+)/∂({NAME}[\w\[\],…]*)\. \(A backward does not compute it, as nothing before it wants a "
        r"gradient\.\)",
        not_computed,
    ),
    (r"∂(\w+)/∂(\w+) = 1: (\w+) itself is what we ask about\.", is_one),
    (rf"\(The sum goes on from ({NUMBER}), where the path before ended\.\)", goes_on),
    (rf"Total: ({NUMBER}) \((one term|[\w ,']+?)\)\.", total),
    (rf"That is ({NAME}\.g(?:\[[\d,]+\])?), bit for bit\.", bit_for_bit),
    (rf"({NAME}\.g(?:\[[\d,]+\])?) holds ({NUMBER}): the same, as closely as slopes can be measured\.", as_close),
    (rf"{NAME} keeps no \.g after a backward; backward\(keep=True\) leaves it there\.", keeps_none),
    (rf"{NAME} has no \.g, because its requires_g is False\.", wants_none),
    (r"This is what it would hold\.", would_hold),
    (r"This is the share that is on the tape\.", on_the_tape),
    (
        rf"Note: ({NAME}) \(([\d,]*)\) moves with ({NAME}), too: (?:it is a copy of {NAME} \(bp\.tensor\), which is off the "
        rf"tape|it was computed from {NAME} by [^:]*?, off the tape)\. A backward takes {NAME} as a constant, so "
        rf"{NAME}\.g leaves out what goes through it, and so does the sum below\. (?:To have it counted, do without the "
        r"copy, or use \.clone\(\) in its place|It is counted if .* derivative)\.",
        left_out,
    ),
    (
        rf"The sum runs down column (\d+) of ({NAME}) and column (\d+) of ({NAME})\.g, side by side\. For any element:",
        runs_down,
    ),
    (
        rf"The sum runs along row (\d+) of ({NAME})\.g and row (\d+) of ({NAME}), side by side\. For any element:",
        runs_along,
    ),
    (
        r"A matrix product pairs a row of the first with a column of the second: the index summed over is the inner one, "
        r"last in the first and first in the second\. Here it is ([ij])\. In (\S+(?: @ \S+)?) it comes (first|last), as it "
        r"should, but in (\S+(?: @ \S+)?) it comes (first|last) too, and should be (first|last)\. So (.+?) is the one to "
        r"transpose:",
        which_to_transpose,
    ),
    (
        r"Row \d+ of .+? times column \d+ of .+? is (this element|this path's share of the element); all rows times "
        r"all columns give all elements\.",
        this_element,
    ),
    (
        rf"\(({NAME})\.g @ ({NAME})\.T (runs here, too|does not run), .*?: it adds along a row of {NAME}\.g, but {ELEMENT} "
        r"moves a column\.\)",
        transposed,
    ),
    (
        rf"All factors are 1, so this is the sum of column (\d+) of {NAME}\.g over the rows\. For any element:",
        column_sum,
    ),
    (
        rf"What was broadcast over the rows is summed over the rows, axis 0, so ({NAME})\.g has the shape of ({NAME}):",
        summed_over_rows,
    ),
    (r"What was broadcast along an axis is summed along that axis:", was_broadcast),
    (
        rf"Only {ELEMENT} moves, so there is nothing for a matrix product to add up: each element of {NAME}\.g is multiplied "
        rf"by its own factor, 1 or ({NUMBER})\. Hence \* and not @:",
        own_factor,
    ),
    (
        rf"Only ({NAME}) moves, so there is nothing to add up: each element of ({NAME}) has its own square in ({NAME})\.",
        lambda r, g: own_square(r, (g[1], g[0], g[2])),
    ),
    (rf"The last factor, ∂{NAME}/∂{NAME} = 1, is where the backward pass begins\.", begins),
    (rf"For any element of ({NAME}): the sum of its slopes, each times the ({NAME})\.g there\.", slopes_times_gradient),
    (rf"Each element of ({NAME}) has one term and no sum: the ({NAME})\.g there, times its own slope\.", one_term),
    (rf"({NAME}) is used (twice|\d+ times)\. Each path gives a share, and {NAME}\.g is their sum:", used_times),
    (
        rf"Move ({ELEMENT}) by h = ({NUMBER}) up and down, in double, run forward again, and look at {NAME}:",
        nudged,
    ),
    (r"The slope is that of the program as it ran\. If [\w, ]+ is kept as it is:", on_the_tape),
    (r"\(The step was made smaller until no [\w ]+ crossed its corner at [\d. or]+\.\)", made_smaller),
    (r"However little it moves, .* = [\d.]+\.", nothing),
    (r"\d+ [\w ]+ elements are so near .* expect a difference\.", nothing),
    (r"\(These are the largest of ([\d,]+)\.\) In the definition's order the sum grows like this:", largest_of),
]
FORMULAS = [
    (
        rf"(share \d+ of |)({NAME})\.g = ((?:<=|[^=])+?)(?:   +.*)?",
        lambda r, g: whole(r, g) if r.in_path else all_of_it(r, g[2]),
    ),
    (rf"(?:share \d+ of )?{NAME}\.g\[[kij,]+\] = Σ_[ij] .*", nothing),
    (rf"slope \((\w+)₊ - \w+₋\) / 2h = \(({NUMBER}) - ({NUMBER})\) / ({NUMBER}) = ({NUMBER})", slope_of),
    (rf"gradient ({NUMBER})   relative error [-+\deinf.]+", gradient_line),
    (rf"({NAME}\.g(?:\[[\d,]+\])?) = (.*) = ({NUMBER})", shares_line),
    (r"(?:[ijterm]+=\d+: \S+ +)+…(?: +[ijterm]+=\d+: \S+)+", nothing),
]


def read(r):
    """Takes the whole text apart."""
    r.measured = 0
    step = ""
    for block in r.e.document().blocks:
        if isinstance(block, Heading):
            step = block.text[:2]
            r.path = r.e.paths[0]
            r.in_path = True
            heading(r, block.text)
        elif isinstance(block, Text):
            sentences(r, block.text)
        elif isinstance(block, Formula):
            found = [(check, m) for pattern, check in FORMULAS if (m := re.fullmatch(pattern, block.text))]
            assert found, block.text
            check, match = found[0]
            KINDS[match.re.pattern] += 1
            check(r, match.groups())
        else:
            rows(r, block)
    assert step == "6."


def heading(r, text):
    if match := re.fullmatch(rf"({ELEMENT}) = ({NUMBER}), and its gradient (.+?) = ({NUMBER})", text):
        assert match[1] == r.e.element
        is_overwritten = any(op.op.inplace for op, _ in r.network.uses(r.e.tensor))
        r.close(number(match[2]), (r.e.tensor._array if is_overwritten else r.values[id(r.e.tensor)])[r.e.at])
        r.close(number(match[4]), r.loss_slope(r.e.name, r.e.at), 10)
    elif text.startswith("5."):
        all_of_it(r, text.partition(".g = ")[2])


def sentences(r, text):
    rest = text
    while rest:
        found = [(check, m) for pattern, check in SENTENCES if (m := re.match(pattern + END, rest))]
        assert found, rest
        check, match = found[0]
        KINDS[match.re.pattern] += 1
        if check is used_times:
            r.in_path = False
        check(r, match.groups())
        rest = rest[match.end() :]


def rows(r, table):
    slopes, arriving = r.local(r.path), _upstream(r, r.path)
    total = r.path.start or 0.0
    for row in table.rows:
        if row[0].startswith("…"):
            continue
        at = index(row[0])
        assert name(row[0]) == r.network.name(r.path.operation.output)
        r.close(number(row[1]), slopes[at])
        r.close(number(row[2]), arriving[at])
        r.close(number(row[3]), slopes[at] * arriving[at], 5)
        total += number(row[3])
        if len(row) == 5:
            r.close(number(row[4]), total, 20)


def read_all(program):
    """Reads what is said of some elements; not where a corner is crossed, which test_explain.py looks at."""
    for t in program.asked():
        at = tuple(int(program.rng.integers(size)) for size in t.shape)
        e = bp.explain(t, at=at, loss=program.loss)
        if not (e.measured.kink or e.measured.flipped):
            read(Reading(e))


@pytest.mark.parametrize("seed", range(80))
def test_every_sentence_of_a_random_program(seed, bent, stirred):
    read_all(Program(seed, bent, stirred))


def test_every_sentence_is_met(bent, stirred):
    """A check that no program reaches would show nothing."""
    KINDS.clear()
    for seed in range(80, 200):
        read_all(Program(seed, bent, stirred))
    for seed in range(3):
        rare(seed, stirred)
    never = [pattern for pattern, check in SENTENCES if check is not nothing and not KINDS[pattern + END]]
    assert not never


def rare(seed, stirred):
    """What random programs seldom reach: an input next to the corner of relu, and slopes that are all 0."""
    rng = np.random.default_rng(seed)
    x, w = bp.param(rng.uniform(0.5, 1, (3, 2))), bp.param(rng.uniform(0.5, 1, (2, 2)))
    w.data[:, 1] = [2e-5, 1e-5]
    loss = bp.mse(bp.relu(bp.lin(x, w)), np.zeros((3, 2)))
    loss.backward()
    read(Reading(bp.explain(w, at=(0, 1), loss=loss)))
    x.data[:, 0] = 0
    s = bp.param(rng.uniform(0.5, 1, 2))
    loss = bp.mse(stirred(x, s), np.ones((3, 2)))
    loss.backward()
    read(Reading(bp.explain(s, at=(0,), loss=loss)))


@pytest.mark.parametrize("seed", range(5))
def test_every_rare_sentence(seed, stirred):
    rare(seed, stirred)
