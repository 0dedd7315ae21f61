"""The whole chain as explain writes it: every line computed again by numpy in double."""

import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import pybackprop as bp
from helpers import in_numpy
from helpers.typed import TYPED
from helpers.written_formulas import NAME, arriving, evaluate
from pybackprop.teach.render.document import Formula, Heading, Table, Text

FUNCTIONS = {
    "np": np,
    "relu": lambda x: np.where(x > 0, x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.25 * x),
    "mse": in_numpy.FORWARD["mse"],
    "clone": lambda x: x,
}


def lesson(rng):
    x, w1, b1, w2, b2 = (bp.param(rng.uniform(-1, 1, shape)) for shape in ((6, 4), (4, 5), 5, (5, 1), 1))
    out = bp.lin(bp.relu(bp.lin(x, w1, b1)), w2, b2)
    return bp.mse(out, rng.uniform(-1, 1, (6, 1)))


def typed(rng):
    x, w1, b1, w2, b2 = (bp.param(rng.uniform(-1, 1, shape)) for shape in ((6, 4), (4, 5), 5, (5, 1), 1))
    out = (x @ w1 + b1).clamp_min(0.0) @ w2 + b2
    return ((out.squeeze() - rng.uniform(-1, 1, 6)) ** 2).mean()


def twice(rng):
    x, w = bp.tensor(rng.uniform(-1, 1, (5, 3))), bp.param(rng.uniform(-1, 1, (3, 3)))
    return bp.mse(bp.relu(x @ w) @ w, rng.uniform(-1, 1, (5, 3)))


def leaky(rng):
    x, w = bp.param(rng.uniform(-1, 1, (5, 3))), bp.param(rng.uniform(-1, 1, (3, 2)))
    return bp.mse(bp.leaky_relu(bp.lin(x, w), negative_slope=0.25), bp.param(rng.uniform(-1, 1, (5, 2))))


def of_typed(name):
    def make(rng):
        x, y = (bp.param(rng.uniform(0.3, 1.5, (6, 4)) * rng.choice([-1, 1], (6, 4)), name=n) for n in "xy")
        out = TYPED[name](x, y)
        return (out * out).sum()

    return make


WRITTEN = ("a difference", "a product", "a quotient", "a root", "numbers first", "means")
NETWORKS = {
    **{make.__name__: make for make in (lesson, typed, twice, leaky)},
    **{
        name: of_typed(name) for name in ("a difference", "a product", "a quotient", "a root", "numbers first", "means")
    },
}


@pytest.fixture(params=NETWORKS)
def chain(request, rng):
    """The text's blocks, and the network's numbers by numpy."""
    loss = NETWORKS[request.param](rng)
    loss.backward(keep=True)
    e = bp.explain(loss)
    network = e.walk.network
    arrays = {network.name(t): t for op in network for t in (*op.inputs, op.output)}
    return SimpleNamespace(
        e=e, blocks=e.document().blocks, network=network, arrays=arrays, values=in_numpy.values(network), known={},
        loss=loss,
    )  # fmt: skip


def part(chain, number):
    """The blocks of one part of the text."""
    begins = [k for k, block in enumerate(chain.blocks) if isinstance(block, Heading)]
    start = next(k for k in begins if chain.blocks[k].text.startswith(f"{number}."))
    end = next((k for k in begins if k > start), len(chain.blocks))
    return chain.blocks[start:end]


def tables(blocks):
    return [row for block in blocks if isinstance(block, Table) for row in block.rows]


def forward_rows(chain):
    """(symbol, formula, name, shape) of each step."""
    for step, called in tables(part(chain, 1)):
        symbol, formula = step.split(" = ", 1)
        name, _, shape = (
            called.rpartition(" ") if "one number" not in called else (called[: -len(" one number")], "", "")
        )
        yield symbol, formula, name, tuple(int(k) for k in shape.strip("()").split(",") if k)


def test_the_forward_steps_compute_what_they_are_called(chain):
    known = {name: chain.values[id(t)] for name, t in chain.arrays.items() if name.isidentifier()}
    for symbol, formula, name, shape in forward_rows(chain):
        known[symbol] = np.asarray(
            eval(re.sub(r"√(\w+)|(\w+)\.sqrt\(\)", r"np.sqrt(\1\2)", formula), FUNCTIONS, known), float
        )
        right = chain.values[id(chain.arrays[name])]
        assert known[symbol].shape == right.shape == shape
        np.testing.assert_allclose(known[symbol], right, rtol=1e-9, atol=1e-12)
    assert len(tables(part(chain, 1))) == len(chain.network)


def test_the_backward_lines_add_up_to_the_gradients(chain):
    shares, starred = {}, set()
    for left, formula, _ in tables(part(chain, 2)):
        name, shape = re.fullmatch(rf"({NAME})\.g \(([\d,]*)\)(?: \*)?", left).groups()
        found = evaluate(chain, formula.removeprefix("= ").removesuffix(" + …"))
        assert tuple(int(k) for k in shape.split(",") if k) == found.shape == chain.arrays[name].shape
        shares.setdefault(name, []).append(found)
        starred |= {name} if left.endswith("*") else set()
        assert formula.endswith(" + …") == (len(chain.network.uses(chain.arrays[name])) > 1)
    for name, parts in shares.items():
        right = arriving(chain, chain.arrays[name])
        np.testing.assert_allclose(sum(parts), right, atol=1e-4 * (1 + np.abs(right).max()))
        assert (name in starred) == (not chain.arrays[name].requires_g)
    said = " ".join(block.text for block in part(chain, 2) if isinstance(block, Text))
    assert ("the tape computes only the gradients that are required" in said) == bool(starred)
    assert ("+ …: it is used several times" in said) == any(len(parts) > 1 for parts in shares.values())


def test_what_each_gradient_holds_is_a_chain_from_the_end_to_it(chain):
    symbols = {name: symbol for symbol, _, name, _ in forward_rows(chain)}
    root = symbols[chain.network.name(chain.network.root)]
    for left, _, holds in tables(part(chain, 2)):
        name = left.partition(".g")[0]
        product = holds.removeprefix("holds ").removesuffix(" + …")
        pieces = [factor for factor in product.split(" · ") if factor != "…"]
        ends = [re.fullmatch(r"∂(.+)/∂(.+)", piece).groups() for piece in pieces]
        assert ends[0][0] == root
        assert ends[-1][1] == symbols.get(name, name)
        if "…" not in product:
            assert all(one[1] == other[0] for one, other in pairwise(ends))


def test_the_jacobians_sizes_and_zeros(chain):
    layers = [op for op in chain.network if op.is_product]
    lines = [block.text for block in part(chain, 3) if isinstance(block, Formula)]
    for line in lines:
        count = r"([\d,]+)"
        sizes = rf"{count} by {count} = {count} numbers, .*?; instead ({NAME}\.g): {count} numbers, .*"
        of, by, rows, columns, numbers, instead, built = re.fullmatch(rf"∂({NAME})/∂({NAME}): {sizes}", line).groups()
        rows, columns, numbers, built = (int(text.replace(",", "")) for text in (rows, columns, numbers, built))
        out, inp = chain.arrays[of], chain.arrays[by]
        assert (rows, columns, numbers, built) == (out.size, inp.size, out.size * inp.size, inp.size)
        assert instead == f"{by}.g"
        op = next(op for op in layers if op.output is out)
        given = [chain.values[id(t)] for t in op.inputs]
        for at in list(np.ndindex(inp.shape))[:6]:
            moved = [given[0] + one(inp.shape, at), *given[1:]]
            slopes = op.op.replay(moved) - op.op.replay(given)
            others = np.delete(slopes, at[0], 0)
            assert not np.abs(others).max(initial=0) > 1e-12, "u[i,j] depends only on row i of x"
            np.testing.assert_allclose(slopes[at[0]], chain.values[id(op.inputs[1])][at[1]], atol=1e-9)
    said = " ".join(block.text for block in part(chain, 3) if isinstance(block, Text))
    assert f"{50000 * 50 * 50000 * 784:,} numbers" in said
    assert "392 TB" in said
    assert 50000 * 50 * 50000 * 784 * 4 == 392 * 10**12


def one(shape, at):
    array = np.zeros(shape)
    array[at] = 1
    return array


def test_the_elements_that_are_nudged_have_the_largest_gradients(chain):
    rows = tables(part(chain, 4))
    assert rows
    for element, gradient, slope, error in rows:
        name, _, index = element.partition("[")
        at = tuple(int(k) for k in index.rstrip("]").split(",") if k)
        t = chain.arrays[name]
        whole = arriving(chain, t)
        right = float(in_numpy.moved(chain.network, t, at, chain.network.root))
        close = {"rel": 1e-4, "abs": 1e-5 * (1 + abs(right))}
        assert float(gradient) == pytest.approx(right, **close)
        assert float(slope) == pytest.approx(right, **close)
        assert abs(whole[at]) >= np.abs(whole).max() * (1 - 1e-4) - 1e-6
        assert abs(float(error)) < 1e-4
