"""Random formulas and damaged text: parsing and evaluating gives numbers or a FormulaError, and soon."""

import random
import time

import numpy as np
import pytest

from pybackprop.teach.formula.canonical import canonical
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse

RNG = np.random.default_rng(11)
ARRAYS = {name: RNG.standard_normal(shape) for name, shape in {"x": (4, 3), "w": (3, 2), "b": 2, "z": (4, 2)}.items()}
ARRAYS |= {"z.g": RNG.standard_normal((4, 2)), "dz": RNG.standard_normal((4, 2)), "n": np.asarray(4.0)}
SECONDS = 20  # for one input; the slowest take well under one, but a test machine may be busy

LEAVES = ["x", "w", "b", "z", "dz", "z.g", "n", "0", "1", "2.5", "1e999", "-3", "i", "self.x", "q", "x.T", "x.shape[0]"]
AXES = ["0", "1", "-1", "2", "None", "(0,1)", "9", "axis=0", "dim=1", "axis=None, keepdims=True", "0, True"]
INDICES = ["0", ":", "None", "...", "1:", ":, None", "..., None", "-1", "i", "n-1", "0, 1", "::2", ":,0", "9", "z"]
METHODS = ["sum", "mean", "squeeze", "unsqueeze", "max"]
PLAIN = ["T", "mT", "t()", "size", "numel()", "float()", "int()", "abs()", "sign()", "clone()", "relu()", "ravel()"]
PLAIN += ["permute(1,0)", "transpose()", "transpose(0,1)", "reshape(-1)", "reshape(2,-1)", "clamp(0,1)", "pow(2)"]
TWO = ["np.dot", "np.matmul", "torch.mm", "np.outer", "np.maximum", "np.add", "np.heaviside", "np.tensordot"]
TEXTS = ["ik,ij->kj", "ij", "ij->", "ij,ij", "ij,kj->ik", "i...", "", "ii", "ij->jj", "abc,def->ad", "->"]
OPERATORS = ["+", "-", "*", "/", "@", "**", ">", "<=", "==", "&", "|", "//", "%", "and", "if"]
PIECES = [
    *"()[]{}+-*/@.,:='\"^~<>!0129 \n\\#_",
    ".T",
    "**",
    "==",
    ":=",
    "lambda",
    "for i in",
    "None",
    "é",
    "\x00",
    "9**9**9",
]
ROWS = ["range(n)", "range(2)", "x", "zip(x, dz)", "enumerate(x)", "range(0)", "range(9**9)", "n", "range(1,n,0)"]


def formula(rng, depth):
    """A random formula; most can be computed, some do not fit."""
    if depth <= 0 or rng.random() < 0.1:
        return rng.choice(LEAVES)

    def part():
        return formula(rng, depth - 1 - (rng.random() < 0.3))

    return rng.choice(
        [
            lambda: f"({part()} {rng.choice(OPERATORS)} {part()})",
            lambda: f"({part()}) {rng.choice(OPERATORS[:5])} {part()}",
            lambda: f"({part()}).{rng.choice(PLAIN)}",
            lambda: f"({part()}).{rng.choice(METHODS)}({rng.choice(AXES)})",
            lambda: f"np.{rng.choice(METHODS)}({part()}, {rng.choice(AXES)})",
            lambda: f"({part()})[{rng.choice(INDICES)}]",
            lambda: f"{rng.choice(TWO)}({part()}, {part()})",
            lambda: f"np.where({part()} > 0, {part()}, {part()})",
            lambda: f"np.einsum('{rng.choice(TEXTS)}', {part()}, {part()})",
            lambda: f"{rng.choice('-+~')}{part()}",
            lambda: f"sum({part()} for i in {rng.choice(ROWS)})",
            lambda: f"[{part()} for i in {rng.choice(ROWS)}]",
            lambda: f"[{part()}, {part()}]",
            lambda: f"np.ones(({part()}, 2))",
            lambda: (
                f"{rng.choice(['relu', 'abs', 'len', 'float', 'print', 'np.eye', 'torch.stack', 'np.diag'])}({part()})"
            ),
        ]
    )()


def damaged(rng, text):
    """The text with a few pieces put in, taken out, doubled or exchanged."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        text = rng.choice(
            [
                text[:at] + rng.choice(PIECES) + text[at:],
                text[:at] + text[to:],
                text[:to] + text[at:to] * rng.randint(1, 40) + text[to:],
                text[:at] + rng.choice(PIECES) + text[to:],
                text[at:] + text[:at],
            ]
        )
    return text


def one_input(rng):
    text = formula(rng, rng.randint(0, 6))
    return damaged(rng, text) if rng.random() < 0.5 else text


def campaign(seed, count):
    """Runs count inputs; returns how many gave numbers. Any other exception than FormulaError ends it."""
    rng, computed = random.Random(seed), 0
    for k in range(count):
        text = one_input(rng)
        begin = time.perf_counter()
        try:
            read = parse(text)
            canonical(read, lambda name: name)
            value = evaluate(read, ARRAYS, {"x": "ik", "z": "ij"})
            assert value.array.dtype == np.float64, (seed, k, text)
            assert len(value.letters) == value.array.ndim, (seed, k, text)
            computed += 1
        except FormulaError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {k}: {text!r}: {error!r}") from error
        assert time.perf_counter() - begin < SECONDS, (seed, k, text)
    return computed


@pytest.mark.parametrize("seed", range(3))
def test_a_formula_gives_numbers_or_a_formula_error(seed):
    computed = campaign(seed, 1500)
    assert 200 < computed < 1400, "the inputs must be neither all right nor all wrong"


HOSTILE = [
    "(" * 400 + "x" + ")" * 400,
    "9**9**9",
    "2**(8*8*8)",
    "x" + ".T" * 450,
    "-" * 990 + "x",
    "~" * 990 + "x",
    "[" * 70 + "x" + "]" * 70,
    "*".join("x" * 500),
    "x[" + "None," * 150 + "]",
    "np.ones((99999, 99999))",
    "np.eye(999999)",
    "np.ones((" + "2," * 300 + "))",
    "sum(x for i in range(999999999))",
    "sum(sum(x @ w for i in range(9999)) for j in range(9999))",
    "[[[[i for i in range(99)] for i in range(99)] for i in range(99)] for i in range(99)]",
    "x.expand(99999, 4, 3).sum(0)",
    "x.expand(99999999, 4, 3)",
    "np.einsum('ab,cd,ef,gh,ij,kl,mn,op->abcdefghijklmnop', x, x, x, x, x, x, x, x)",
    "np.einsum('ab,cd,ef,gh,ij,kl,mn,op->', x, x, x, x, x, x, x, x) * " + " * ".join(["x"] * 20),
    "np.outer(np.ones(9999), np.ones(9999))",
    "np.stack([np.ones((999, 999)) for i in range(9999)])",
    "np.tensordot(np.ones((99, 99, 99)), np.ones((99, 99, 99)), 0)",
    "x.reshape(-1, -1)",
    "x.permute(" + "0," * 400 + ")",
    "np.sum(" * 79 + "x" + ")" * 79,
    "1" + "0" * 900,
    "1e999 * x",
    "x if x else x",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_ends_soon(text):
    begin = time.perf_counter()
    message = ""
    try:
        assert evaluate(parse(text), ARRAYS).array.dtype == np.float64
    except FormulaError as error:
        message = str(error)
    assert len(message) < 600
    assert time.perf_counter() - begin < SECONDS
