"""Scene: the numbers and the structure of one network on data, as the page shows them.

A scene is plain data: names, shapes, numbers. `scene_of` makes it from a Model, `scene_of_operations` from the
operations of a forward pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor, tensor
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError
from pybackprop.engine.model import Model
from pybackprop.nn.layers import Lin, Relu
from pybackprop.nn.module import as_operand
from pybackprop.nn.network import is_mse
from pybackprop.ops import Op
from pybackprop.teach.page.rows import rows_with_room
from pybackprop.teach.render.json_numbers import shortest
from pybackprop.teach.trace.gradients import set_gradients
from pybackprop.teach.trace.names import names_of
from pybackprop.teach.trace.operation import Operation

__all__ = ["Scene", "scene_of", "scene_of_operations"]

SLOTS: dict[Any, tuple[str, ...]] = {
    ops.LIN: ("in", "w", "b"),
    ops.RELU: ("in",),
    ops.MSE: ("in", "targ"),
}  # what the page computes itself


@dataclass(frozen=True, eq=False)
class Scene:
    """One network on n rows of data.

    dtype     "float32" or "float64"
    layers    in forward order: {"op": "lin", "in": "x", "w": "w1", "b": "b1", "out": "l1"}, ("b": None without a
              bias), {"op": "relu", "in": "l1", "out": "l2"}, {"op": "mse", "in": "out", "targ": "targ", "out": "loss"}
    tensors   name -> (numbers, gradient or None), arrays of one shape
    selected  name and indices of the element to show first
    note      a remark about the numbers, e.g. that they are only a part of the data
    """

    dtype: str
    n: int
    layers: list[dict[str, str | None]]
    tensors: dict[str, tuple[Array, Array | None]]
    selected: tuple[str, tuple[int, ...]]
    note: str = ""

    def choose(self, name: str, at: Sequence[int]) -> Scene:
        """The same scene with another element to show first. Raises KeyError or IndexError if it does not exist."""
        return replace(self, selected=_selected(self.tensors, (name, at), name))

    def leaves(self) -> list[str]:
        """The names of the tensors that no operation computes: data, parameters, targets."""
        computed = {layer["out"] for layer in self.layers}
        return [name for name in self.tensors if name not in computed]

    def to_dict(self, derived: bool = True, write: Callable[[Array], Any] = shortest) -> dict[str, Any]:
        """Lists, strings and numbers only; NaN and infinities are the strings "NaN", "Infinity", "-Infinity".

        derived: whether to include gradients and computed tensors; if not, they are None. write: how the numbers of an
        array are written.
        """
        leaves = set(self.leaves())
        tensors = {}
        for name, (data, g) in self.tensors.items():
            tensors[name] = {
                "shape": list(data.shape),
                "data": write(data) if derived or name in leaves else None,
                "g": None if g is None or not derived else write(g),
            }
        return {
            "dtype": self.dtype, "n": self.n, "layers": self.layers, "tensors": tensors,
            "selected": [self.selected[0], list(self.selected[1])], "note": self.note,
        }  # fmt: skip

    def to_json(self, derived: bool = True, write: Callable[[Array], Any] = shortest) -> str:
        """The same as strict JSON."""
        return json.dumps(self.to_dict(derived, write), separators=(",", ":"), allow_nan=False)


# ---- from a Model ----


def scene_of(model: Model, x: Any, targ: Any, at: tuple[str, Sequence[int]] | None = None) -> Scene:
    """The scene of a Model of Lin and Relu layers with Mse, on x (n,m) and targ (n,h) or (n,).

    at: name and indices of the element to show first, e.g. ("w1", (2, 1)). The model is not changed: forward and
    backward run on copies. Only the first rows of large data are used, those that a page has room for (rows.py);
    `note` then says so. Raises TypeError for other layers or losses, ValueError if the parameters and a row are too
    large for a page or a parameter is used twice, KeyError and IndexError for an `at` that does not exist.
    """
    _check_layers(model)
    inputs, targets = as_operand(x, model.layers), as_operand(targ, model.layers)
    if not inputs.ndim or not targets.ndim or len(inputs) != len(targets) or not len(inputs):
        raise ShapeError(
            f"scene: found x {inputs.shape} and targ {targets.shape}, expected equally many rows, at least one"
        )
    rows = rows_with_room(model.parameters(), inputs.data, targets.data)
    note = "" if rows == len(inputs) else f"The first {rows} of {len(inputs)} rows of the data are shown and used."
    return _scene(_run(model, inputs.data[:rows], targets.data[:rows]), at, note)


def _check_layers(model: Model) -> None:
    for layer in model.layers:
        if type(layer) not in (Lin, Relu):
            raise TypeError(f"scene: found the layer {layer!r}; a page shows Lin and Relu only")
    if not any(type(layer) is Lin for layer in model.layers):
        raise TypeError("scene: found no Lin among the layers; a page shows what weights do")
    used = [id(p) for layer in model.layers for p in layer.parameters()]
    if len(set(used)) < len(used):
        raise ValueError("scene: found a parameter that is used twice; a page shows one path from each")
    if not is_mse(model.loss):
        raise TypeError(f"scene: found the loss {model.loss!r}; a page shows Mse() only")


def _run(model: Model, x: Array, targ: Array) -> list[Operation]:
    """Forward and backward, on copies that keep the parameters' names."""
    operations: list[Operation] = []
    value = tensor(x)
    for layer in model.layers:
        parameters = [_copy(p) for p in (layer.w, layer.b) if p is not None] if type(layer) is Lin else []
        op = ops.LIN if type(layer) is Lin else layer.op
        operations.append(_operation(op, value, *parameters))
        value = operations[-1].output
    operations.append(_operation(ops.MSE, value, tensor(targ)))
    for operation in reversed(operations):
        set_gradients(operation)
    return operations


def _operation(op: Op, *operands: Tensor) -> Operation:
    return Operation(op, operands, op.forward(*operands))


def _copy(p: Tensor) -> Tensor:
    copy = tensor(p.data)
    copy.name = p.name
    return copy


# ---- from the operations of a forward pass ----


def scene_of_operations(
    operations: Sequence[tuple[str, Sequence[Tensor], Tensor]],
    at: tuple[str, Sequence[int]] | None = None,
    note: str = "",
) -> Scene:
    """The scene of (op, operands, output) in forward order: "lin" (x, w[, b]), "relu" (x,), last "mse" (out, targ).

    Tensors have their own names or, without one, the lesson's (x w1 b1 l1 l2 ... out targ loss); their `.g` are used
    as they are. Raises ValueError unless each operation takes the output of the one before it and every other operand
    is used once.
    """
    steps = [Operation(_op_of(name), tuple(operands), out) for name, operands, out in operations]
    _check_chain(steps)
    return _scene(steps, at, note)


def _op_of(name: str) -> Op:
    if name not in ops.registry:
        raise ValueError(f"scene: found the operation {name!r}; a page shows {', '.join(op.name for op in SLOTS)}")
    return ops.registry[name]


def _scene(operations: Sequence[Operation], at: tuple[str, Sequence[int]] | None, note: str) -> Scene:
    names = names_of(operations, operations[-1].output)
    layers: list[dict[str, str | None]] = []
    tensors: dict[str, tuple[Array, Array | None]] = {}
    for op in operations:
        layer: dict[str, str | None] = dict.fromkeys(("op", *SLOTS[op.op], "out"))
        layer.update(zip(SLOTS[op.op], (names[id(t)] for t in op.inputs), strict=False))
        layers.append({**layer, "op": op.name, "out": names[id(op.output)]})
        for slot, t in enumerate(op.inputs):
            tensors[names[id(t)]] = _numbers(t, op.inputs[0].shape if op.is_target(slot) else t.shape)
        tensors[names[id(op.output)]] = _numbers(op.output, op.output.shape)
    x = operations[0].inputs[0]
    first = next((layer["w"] for layer in layers if "w" in layer), layers[0]["in"])
    return Scene(str(x.dtype), len(x), layers, tensors, _selected(tensors, at, first), note)


def _check_chain(operations: Sequence[Operation]) -> None:
    if [op.is_loss for op in operations] != [False] * (len(operations) - 1) + [True]:
        raise ValueError("scene: expected operations that end in one mse")
    seen: set[int] = set()
    before: Tensor | None = None
    for op in operations:
        if op.op not in SLOTS:
            shown = ", ".join(shown.name for shown in SLOTS)
            raise ValueError(f"scene: found the operation {op.name!r}; a page shows {shown}")
        if before is not None and op.inputs[0] is not before:
            raise ValueError(
                f"scene: {op.name} does not take the output of the operation before it; a page shows a chain"
            )
        for t in op.inputs[0 if before is None else 1 :]:
            if id(t) in seen:
                raise ValueError(
                    f"scene: the tensor {t.name or t.shape} is used twice; a page shows one path from each"
                )
            seen.add(id(t))
        before = op.output


def _numbers(t: Tensor, shape: tuple[int, ...]) -> tuple[Array, Array | None]:
    """Copies of the data and the gradient; shape: the tensor's own, or for targets (n,) that of the output (n,1)."""
    return t.data.reshape(shape).copy(), None if t.g is None else t.g.data.reshape(shape).copy()


def _selected(tensors: dict[str, Any], at: tuple[str, Sequence[int]] | None, first: Any) -> tuple[str, tuple[int, ...]]:
    if at is None:
        return first, (0,) * tensors[first][0].ndim
    name, index = at[0], tuple(int(k) for k in at[1])
    if name not in tensors:
        raise KeyError(f"scene: there is no tensor {name!r}; there are {', '.join(tensors)}")
    shape = tensors[name][0].shape
    if len(index) != len(shape) or not all(0 <= k < size for k, size in zip(index, shape, strict=True)):
        raise IndexError(f"scene: {name}[{','.join(map(str, index))}] is out of range; {name} has the shape {shape}")
    return name, index
