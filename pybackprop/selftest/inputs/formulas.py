"""Formulas: what people type at judge, misspelt."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from pybackprop.selftest.case import INPUTS, Case, kind
from pybackprop.selftest.inputs.expect import ended
from pybackprop.selftest.inputs.mutate import misspelt
from pybackprop.teach.example import ROLE_OF, decimals
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.judge import judge

RIGHT = (
    "x.T @ dz", "dz @ w.T", "dz.sum(0)", "(z > 0) * da", "2 * (out - targ) / size", "x.T @ out.g", "dz.sum(axis=0)",
    "w.g = x.T @ dz", "2*(out-targ)/(n*h)", "x.t() @ dz", "da * (z > 0).float()", "-2 * (targ - out) / out.size",
    "(x[:,:,None] * dz[:,None,:]).sum(0)", "x.unsqueeze(-1) * dz.unsqueeze(1)", "x.T @ (dz * 1.0)",
    "np.dot(x.T, dz)", "np.sum(dz, axis=0)", "torch.matmul(x.t(), dz)", "np.einsum('nm,nh->mh', x, dz)",
    "x.transpose(0, 1) @ dz", "np.where(z > 0, da, 0)", "da.where(z > 0, 0)", "sum(dz[i] for i in range(n))",
    "[dz[i] for i in range(n)]", "x[0,0]", "dz.mean(0) * n", "~(z <= 0) * da", "dz ** 2", "abs(dz)", "x @ w + b",
)  # fmt: skip
WORDS = (
    "x", "w", "b", "z", "dz", "da", "out", "targ", "n", "m", "h", "size", "inp", ".g", ".T", ".t()", ".sum(0)",
    "@", "*",
    "**", "/", "//", "%", "+", "-", "~", "(", ")", "[", "]", "[:,None]", "[0]", "[-1]", "[99]", "None", ":", "...", ",",
    "axis=0", "keepdims=True", "np.", "torch.", "np.dot(", "np.einsum(", "'ij,jk->ik'", "lambda x: x",
    "for i in range(n)",
    "if", "else", "and", "not", "==", "=", ":=", ">", "<=", "0", "1", "1e999", "9**9**9", "10**1000", "1_0",
    "0x1F", "1j",
    "True", "__class__", "__import__('os')", ".__init__", "eval('1')", "open('f')", "f'{x}'", "{}", "#", ";",
    "\n", "\\",
    "await x", "*x", "(x,)", ".reshape(-1)", ".reshape(99999,99999)", ".sum(5)", ".pow(2)", ".clamp_min(0)",
)  # fmt: skip


@cache
def _tensors() -> dict[str, Any]:
    return decimals((4, 3, 2), 0).tensors


def _arrays() -> dict[str, Any]:
    """x, w and the others, and the gradients that have arrived."""
    tensors = _tensors()
    arrays = {name: tensor.data for name, tensor in tensors.items()}
    return arrays | {f"{name}.g": tensor.g.data for name, tensor in tensors.items() if tensor.g is not None}


def _text(case: Case) -> str:
    draw = case.draw
    if draw.maybe(0.15):
        return draw.note("formula", "".join(draw.one_of(WORDS) for _ in range(draw.between(0, 12))))
    return draw.note("formula", misspelt(draw, draw.one_of(RIGHT), WORDS))


@kind("formula", 6, INPUTS)
def formula_case(case: Case) -> None:
    """Parsed, and evaluated on the numbers of a small network."""
    formula = ended(case, partial(parse, _text(case)), FormulaError)
    if formula is not None:
        ended(case, partial(evaluate, formula, _arrays()), FormulaError)


@kind("judge", 1, INPUTS)
def judge_case(case: Case) -> None:
    """Judged, with its whole text and JSON."""
    tensor = _tensors()[ROLE_OF[case.draw.note("of", case.draw.one_of(list(ROLE_OF)))]]
    verdict = ended(case, partial(judge, tensor, _text(case), reveal=case.draw.maybe(0.3)), FormulaError)
    if verdict is not None:
        case.check.true("a verdict without words", str(verdict).strip() and verdict.to_json())
        case.check.true("right, and with a mistake", not verdict.ok or verdict.mistake is None)
