"""Formulas: a derivation as LaTeX and as MathML, from one description.

A formula is a list of parts: strings (names, numbers, operators) and the small classes below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

ESCAPED = str.maketrans(
    {sign: "\\" + sign for sign in "_#%&${}"} | {"\\": r"\backslash{}", "^": r"\wedge{}", "~": r"\sim{}"}
)
LATEX_OPERATORS = {"·": r"\cdot", "…": r"\dots", "@": r"\mathbin{@}", "=": "="}


@dataclass(frozen=True)
class Name:
    """A tensor with an index: l1[i,7], and its gradient if g."""

    name: str
    index: tuple[str, ...] = ()
    g: bool = False
    transposed: bool = False


@dataclass(frozen=True)
class Partial:
    """∂ above / ∂ below"""

    above: Name
    below: Name


@dataclass(frozen=True)
class Sum:
    """Σ over letter = 0 .. last, of what follows"""

    letter: str
    last: int


Part: TypeAlias = "str | Name | Partial | Sum"
Line: TypeAlias = Sequence[Part]


def latex(lines: Sequence[Line]) -> str:
    """An aligned environment; lines are aligned at their first =."""
    rows = [" ".join(_latex(part) for part in line).replace("=", "&=", 1) for line in lines]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def mathml(lines: Sequence[Line]) -> str:
    """A <math display="block"> element with a row for each line."""
    rows = "".join(
        f'<mtr><mtd columnalign="left"><mrow>{"".join(map(_mathml, line))}</mrow></mtd></mtr>' for line in lines
    )
    namespace = "http://www.w3.org/1998/Math/MathML"
    return f'<math xmlns="{namespace}" display="block"><mtable columnalign="left">{rows}</mtable></math>'


def _latex(part: Part) -> str:
    if isinstance(part, Name):
        base = rf"\mathtt{{{_escaped(part.name)}{'.g' if part.g else ''}}}" + (
            r"^{\mathsf{T}}" if part.transposed else ""
        )
        return base + (f"_{{{','.join(part.index)}}}" if part.index else "")
    if isinstance(part, Partial):
        return rf"\frac{{\partial {_latex(part.above)}}}{{\partial {_latex(part.below)}}}"
    if isinstance(part, Sum):
        return rf"\sum_{{{part.letter}=0}}^{{{part.last}}}"
    return LATEX_OPERATORS.get(part, _escaped(part))


def _escaped(text: str) -> str:
    return text.translate(ESCAPED)


def _mathml(part: Part) -> str:
    if isinstance(part, Name):
        return _mathml_name(part)
    if isinstance(part, Partial):
        above, below = _mathml_name(part.above), _mathml_name(part.below)
        return f"<mfrac><mrow><mo>∂</mo>{above}</mrow><mrow><mo>∂</mo>{below}</mrow></mfrac>"
    if isinstance(part, Sum):
        below = f"<mrow><mi>{part.letter}</mi><mo>=</mo><mn>0</mn></mrow>"
        return f"<munderover><mo>∑</mo>{below}<mn>{part.last}</mn></munderover>"
    is_number = part.lstrip("-").replace(".", "").replace("e", "").replace("+", "").replace("-", "").isdigit()
    return f"<mn>{escape(part)}</mn>" if is_number else f"<mo>{escape(part)}</mo>"


def _mathml_name(part: Name) -> str:
    base = f'<mi mathvariant="normal">{escape(part.name)}{".g" if part.g else ""}</mi>'
    if part.transposed:
        base = f"<msup>{base}<mi mathvariant='normal'>T</mi></msup>"
    if not part.index:
        return base
    inner = "<mo>,</mo>".join(f"<mn>{i}</mn>" if i.isdigit() else f"<mi>{i}</mi>" for i in part.index)
    return f"<msub>{base}<mrow>{inner}</mrow></msub>"
