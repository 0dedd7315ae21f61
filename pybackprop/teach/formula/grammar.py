"""The grammar of a learner's formula: `x.T @ dz`, `np.sum(dz, axis=0)`, `2 * (out - targ) / size`.

Python's own parser reads it, and everything but a short list of syntax nodes is rejected before anything is computed.
Nothing is ever passed to eval. What may be written:

    x  w1  dz         the available names, `name.g` (or `name.grad`) for a gradient, numbers; `self.` before a name
    + - * / @ **      and brackets; the exponent is a number
    > >= < <= == !=   a mask of 0 and 1, to multiply with; ~ & | between masks
    .T .mT .t() .transpose() .permute(1,0) .sum(axis) .mean(axis) .unsqueeze(axis) .squeeze(axis) .reshape(n,1)
    .float() .int() .astype(float) .pow(2) .abs() .sign() .clamp_min(0) .clip(0,1) .dot(b) .matmul(b) .mm(b)
    [0]  [:,0]  [:,None]  [...,None]  [1:3]
    relu(a) abs(a) len(a) a.shape[0] a.size a.numel()
    np.dot np.sum np.where np.outer np.einsum np.maximum np.sign np.ones ...; the same of torch: see functions.py
    sum(x[i][:,None] * dz[i] for i in range(n))  [dz[:,j].sum() for j in range(h)]: over one index
"""

from __future__ import annotations

import ast
import re
import warnings

from pybackprop.teach.formula.allowed import check
from pybackprop.teach.formula.errors import FormulaError, place, refuse
from pybackprop.teach.formula.spellings import plain, unparsed

LONGEST = 1000  # characters
DEEPEST = 80  # levels of nested brackets or operations
HINTS = {
    "^": "a power is **, a transpose is .T",
    "×": "* multiplies element by element, @ is the matrix product",  # noqa: RUF001
    "·": "* multiplies element by element, @ is the matrix product",
    "ᵀ": "a transpose is .T",
    "Σ": "a sum is .sum(axis)",
}
ASSIGNMENT = re.compile(r"(?<![=<>!])=(?!=)")


class Formula:
    """A formula that was parsed and checked.

    names     those it uses, `dz` or `z.g`, in order of appearance
    has_self  whether it was written with `self.` before its names, as in a class
    """

    text: str
    tree: ast.expr
    names: list[str]
    has_self: bool

    def __init__(self, text: str, tree: ast.expr, has_self: bool = False) -> None:
        self.text, self.tree, self.has_self = text, tree, has_self
        self.names = list(dict.fromkeys(name for name, _ in names_in(tree)))

    def part(self, node: ast.expr) -> str:
        """The text of one part."""
        return ast.get_source_segment(self.text, node) or unparsed(node)


def parse(text: str) -> Formula:
    """Parses a formula without evaluating it. Raises FormulaError, whose message points at the place."""
    if not isinstance(text, str):
        raise FormulaError(f"formula: found {type(text).__name__}, expected text such as 'x.T @ dz'")
    text = text.strip() if "#" in text else " ".join(line.strip() for line in text.strip().splitlines())
    _check_text(text)
    tree = _tree(text)
    _check_depth(text, tree)
    has_self = any(isinstance(node, ast.Name) and node.id == "self" for node in ast.walk(tree))
    tree = plain(tree)
    check(text, tree)
    return Formula(text, tree, has_self)


# ---- the text, before Python reads it ----


def _check_text(text: str) -> None:
    if not text:
        refuse(text, None, "found an empty text, expected e.g. 'x.T @ dz'")
    if len(text) > LONGEST:
        refuse(text, None, f"found {len(text)} characters, expected at most {LONGEST}")
    depth = 0
    for k, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > DEEPEST:
            refuse(text, (k, k + 1), f"more than {DEEPEST} brackets are open here")
        if letter in HINTS:
            refuse(text, (k, k + 1), f"'{letter}' is not known here: {HINTS[letter]}")
        if depth == 0 and ASSIGNMENT.match(text, k):
            refuse(text, (k, k + 1), "write only what is to the right of '='")


def _tree(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        at = max(0, min((error.offset or 1) - 1, len(text) - 1)) if error.lineno == 1 else None
        refuse(text, None if at is None else (at, at + 1), f"cannot be read: {error.msg}")
    except (ValueError, RecursionError, MemoryError, OverflowError):
        refuse(text, None, "cannot be read: it is nested too deeply, or has a character that is not allowed")


def _check_depth(text: str, tree: ast.expr) -> None:
    level = [tree]
    for _ in range(DEEPEST + 1):
        level = [part for node in level for part in _parts(node)]
        if not level:
            return
    refuse(text, place(text, level[0]), f"more than {DEEPEST} operations are nested here")


def _parts(node: ast.AST) -> list[ast.expr]:
    """The expressions directly inside a node."""
    parts = []
    for child in ast.iter_child_nodes(node):
        parts += [child] if isinstance(child, ast.expr) else _parts(child)
    return parts


def names_in(tree: ast.AST) -> list[tuple[str, ast.expr]]:
    """The names that a formula uses, `dz` or `z.g`, and where; not those that a loop in it makes."""
    if isinstance(tree, ast.Name):
        return [(tree.id, tree)]
    if isinstance(tree, ast.Attribute) and tree.attr == "g" and isinstance(tree.value, ast.Name):
        return [(f"{tree.value.id}.g", tree)]
    is_function = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)
    found = [name for child in list(ast.iter_child_nodes(tree))[is_function:] for name in names_in(child)]
    if isinstance(tree, (ast.ListComp, ast.GeneratorExp)):
        loop = tree.generators[0]
        made = {name for name, _ in names_in(loop.target)}
        inside = [(name, node) for name, node in names_in(tree.elt) if name not in made]
        return [*inside, *names_in(loop.iter)]
    return found
