"""What judge says of a formula that a reader typed on the served page."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor, param, tensor
from pybackprop.core.errors import GradientError
from pybackprop.teach.judge.judge import judge
from pybackprop.teach.page.scene import Scene

__all__ = ["LONGEST", "Answers"]

LONGEST = 300  # characters of a formula
LESSONS = ("inp", "w", "b", "out", "z", "dz", "dout")  # names that a page may read as those of the operation


class Answers:
    """judge's answers about the network of a scene. It runs once, at the first question."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._lock = scene, Lock()
        self._tensors: dict[str, Tensor] = {}
        self._loss: Tensor | None = None

    def answer(self, name: str, formula: str, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """{"ok", "summary", "hints"} of a formula for the gradient of a tensor; {"error"} where it cannot be judged.

        names: which tensor each of the LESSONS names in the formula means, {"inp": "x", "dz": "l1"}; dz and dout are
        its gradient. Other keys are ignored.
        """
        if not formula.strip() or len(formula) > LONGEST:
            return {"error": f"Expected a formula of at most {LONGEST} characters."}
        meant = {lessons: names[lessons] for lessons in LESSONS if lessons in names} if names else {}
        with self._lock:
            if self._loss is None:
                self._run()
            if name not in self._tensors or self._tensors[name] is self._loss:
                return {"error": f"There is no gradient of {name!r}; there are {', '.join(self._tensors)}."}
            if unknown := [t for t in meant.values() if t not in self._tensors]:
                return {"error": f"There is no tensor {unknown[0]!r}; there are {', '.join(self._tensors)}."}
            try:
                verdict = judge(self._tensors[name], formula, **self._given(meant))
            except (ValueError, TypeError, GradientError) as error:  # a FormulaError is a ValueError
                return {"error": str(error)}
        return {"ok": verdict.ok, "summary": verdict.summary, "hints": list(verdict.hints)}

    def _given(self, meant: Mapping[str, str]) -> dict[str, Any]:
        """The tensors or gradients of which these are the names."""
        tensors = {lessons: self._tensors[name] for lessons, name in meant.items()}
        return {lessons: t.g if lessons.startswith("d") else t for lessons, t in tensors.items()}

    def _run(self) -> None:
        """Forward and backward, on copies that keep the scene's names."""
        found = self._tensors
        targets = {layer["targ"] for layer in self._scene.layers if "targ" in layer}
        for name in self._scene.leaves():
            make = tensor if name in targets else param
            found[name] = make(self._scene.tensors[name][0])
        for layer in self._scene.layers:
            found[str(layer["out"])] = self._output(layer)
        for name, t in found.items():
            t.name = name
        self._loss = found[str(self._scene.layers[-1]["out"])]
        self._loss.backward(keep=True)

    def _output(self, layer: dict[str, str | None]) -> Tensor:
        op = ops.registry[str(layer["op"])]
        operands = [
            self._tensors[name] for slot, name in layer.items() if slot not in ("op", "out") and name is not None
        ]
        out: Tensor = op.forward(*operands)
        return out
