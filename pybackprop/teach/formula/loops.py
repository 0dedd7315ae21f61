"""Lists and loops in a formula: a part of the evaluator."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from pybackprop.teach.formula.errors import FormulaError, MisfitError
from pybackprop.teach.formula.limits import Limits
from pybackprop.teach.formula.value import Value


class Loops:
    """Evaluates lists and loops with the evaluator's own value(), number(), whole(), described() and no().

    bound: the names of the loops around the current part
    """

    limits: Limits
    dtype: np.dtype[Any]
    bound: dict[str, Value]

    def value(self, node: ast.expr) -> Value:
        raise NotImplementedError

    def number(self, value: Any) -> Value:
        raise NotImplementedError

    def whole(self, node: ast.expr, part: ast.expr, words: str) -> int:
        raise NotImplementedError

    def described(self, node: ast.expr, value: Value) -> str:
        raise NotImplementedError

    def no(self, node: ast.expr, words: str, kind: type[FormulaError] = MisfitError) -> NoReturn:
        self.limits.no(node, words, kind)

    def _list(self, node: ast.List) -> Value:
        return self.items(node.elts)

    def items(self, nodes: Sequence[ast.expr]) -> Value:
        return self._stacked(nodes[0], (self.value(node) for node in nodes))

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> Value:
        return self._stacked(node, self._turns(node))

    def _generatorexp(self, node: ast.GeneratorExp) -> Value:
        return self._listcomp(node)

    def _turns(self, node: ast.ListComp | ast.GeneratorExp) -> Iterator[Value]:
        """The values of the loop's part, one for each turn."""
        loop, around = node.generators[0], dict(self.bound)
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
        for item in self._iterated(loop.iter):
            values = item if isinstance(loop.target, ast.Tuple) else (item,)
            if len(values) != len(targets) or not all(isinstance(value, Value) for value in values):
                self.no(loop.target, f"{len(targets)} names for {len(values)} values", FormulaError)
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            self.bound = {**around, **dict(zip(names, values, strict=True))}
            yield self.value(node.elt)
            self.bound = around

    def _iterated(self, node: ast.expr) -> Iterator[Any]:
        """The items of range(...), zip(...), enumerate(...), or the rows of an operand."""
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        self.limits.step(node)
        if called == "range" and isinstance(node, ast.Call):
            bounds = [self.whole(node, part, "range() takes whole numbers") for part in node.args]
            if len(bounds) == 3 and bounds[2] == 0:
                self.no(node, "the step of range() is 0")
            yield from (self.number(k) for k in range(*bounds))
        elif called == "zip" and isinstance(node, ast.Call):
            yield from zip(*(self._iterated(part) for part in node.args), strict=False)
        elif called == "enumerate" and isinstance(node, ast.Call):
            for k, item in enumerate(self._iterated(node.args[0])):
                yield self.number(k), item
        else:
            value = self.value(node)
            if value.array.ndim == 0:
                self.no(node, f"{self.described(node, value)} is a single number, it has no rows to go through")
            yield from (Value(np.asarray(row), value.letters[1:], value.is_mask) for row in value.array)

    def _stacked(self, node: ast.expr, values: Iterator[Value]) -> Value:
        rows: list[Value] = []
        for value in values:
            rows.append(value)
            self.limits.node = node
            self.limits.fits((len(rows), *value.array.shape))
            if value.array.shape != rows[0].array.shape:
                self.no(node, f"the parts have different shapes, {rows[0].array.shape} and {value.array.shape}")
        if not rows:
            return Value(np.zeros(0, self.dtype), "?")
        self.limits.room((len(rows), *rows[0].array.shape))
        return Value(np.stack([row.array for row in rows]), "?" + rows[0].letters, all(row.is_mask for row in rows))
