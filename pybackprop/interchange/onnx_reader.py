"""from_onnx: the model that a graph of ONNX computes, if it is a chain of layers. Needs the library onnx."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.autograd.tensor import param
from pybackprop.core.arrays import Array
from pybackprop.core.errors import CheckpointError
from pybackprop.core.native import FLOAT32, FLOAT64
from pybackprop.data.description import shortened
from pybackprop.engine.model import Model
from pybackprop.interchange.layers import activation_of, operation_named
from pybackprop.interchange.onnx_writer import import_onnx
from pybackprop.nn.layers import Activation, Lin, Loss

if TYPE_CHECKING:
    import onnx

__all__ = ["from_onnx"]

LIBRARY = "onnx"  # the field of an operation's record
POSSIBLE = "possible are Gemm, MatMul, Add, Relu, LeakyRelu, Tanh, Sigmoid, Softmax and LogSoftmax, one after another"
GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0}  # what Gemm has to be to be a Lin


def from_onnx(source: str | Path | onnx.ModelProto, loss: Loss | None = None) -> Model:
    """A bp.Model of an ONNX file, or of a model that the library onnx has read, and a loss: bp.Mse() unless given.

    The graph has to be a chain on one input (n,m): Gemm, or MatMul and Add, with stored weights, and activations, such
    as bp.to_onnx and PyTorch's exporter write. Parameters are named w1, b1, w2, ... in the order of the layers; a
    weight that is stored as (outputs, inputs) is transposed.

    Raises ImportError without the library onnx; TypeError for what is neither a path nor such a model; CheckpointError
    for a file that cannot be read, for the first node that has no counterpart here, with its name and its operator,
    and for weights whose shapes or dtypes do not fit, with both sides.
    """
    library = import_onnx("from_onnx")
    if isinstance(source, library.ModelProto):
        return _Reader(library, "from_onnx", source).model(loss)
    if not isinstance(source, (str, Path)):
        raise TypeError(f"from_onnx: found {type(source).__name__}, expected a path or an onnx.ModelProto")
    return _Reader(library, str(source), _load(library, source)).model(loss)


def _load(library: Any, path: str | Path) -> Any:
    try:
        model = library.load(str(path))
        library.checker.check_model(model)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf's errors have no base of their own
        raise CheckpointError(f"{path}: is damaged, or no ONNX file: {str(error).splitlines()[0]}") from error
    return model


class _Reader:
    """Reads a graph node by node.

    where   the file, for messages;  stored: its arrays by name
    last    the name of what the next node has to take
    outputs how many columns that has, and what says so; None before the first layer
    """

    def __init__(self, library: Any, where: str, model: Any) -> None:
        self.library, self.where, self.graph = library, where, model.graph
        self.stored: dict[str, Any] = {tensor.name: tensor for tensor in self.graph.initializer}
        inputs = [given.name for given in self.graph.input if given.name not in self.stored]
        for what, names in (("inputs", inputs), ("outputs", [given.name for given in self.graph.output])):
            if len(names) != 1:
                raise CheckpointError(f"{where}: found the {what} {shortened(names) or 'none'}, expected one of them")
        self.last: str = inputs[0]
        self.outputs: tuple[int, str] | None = self._declared()
        self.layers: list[Lin | Activation] = []
        self.lins = 0

    def _declared(self) -> tuple[int, str] | None:
        """How many columns the input has, if the file tells."""
        given = next(given for given in self.graph.input if given.name == self.last)
        sizes = given.type.tensor_type.shape.dim
        if len(sizes) == 2 and sizes[1].dim_value:
            return sizes[1].dim_value, f"the input {self.last}"
        return None

    def model(self, loss: Loss | None) -> Model:
        for node in self.graph.node:
            self._read(node)
        if self.last != self.graph.output[0].name:
            raise CheckpointError(
                f"{self.where}: its output {self.graph.output[0].name} is not at the end of the chain"
            )
        return Model(self.layers, loss=loss)

    def _read(self, node: Any) -> None:
        attributes = {a.name: _plain(self.library.helper.get_attribute_value(a)) for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            self.stored[node.output[0]] = attributes["value"]
            return
        stored = [name for name in node.input if name in self.stored]
        if self.last not in node.input or len(node.input) != 1 + len(stored) or len(node.output) != 1:
            raise self._fault(node, f"takes {shortened(list(node.input))}, expected {self.last} and stored arrays")
        known = None if node.domain not in ("", "ai.onnx") else operation_named(node.op_type, LIBRARY)
        if node.op_type in LINEAR and node.domain in ("", "ai.onnx"):
            LINEAR[node.op_type](self, node, stored, attributes)
        elif known is not None and not stored:
            self._activation(node, *known, attributes)
        elif node.op_type != "Identity":
            raise self._fault(node, f"has no counterpart here; {POSSIBLE}")
        self.last = node.output[0]

    def _activation(self, node: Any, op: Any, found: Any, attributes: Mapping[str, Any]) -> None:
        try:
            self.layers.append(activation_of(op, found, attributes))
        except ValueError as error:
            raise self._fault(node, str(error)) from error

    def _gemm(self, node: Any, stored: list[str], attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            if name in GEMM and value != GEMM[name]:
                raise self._fault(node, f"has {name}={value!r}, expected {GEMM[name]!r}")
        if node.input[0] != self.last or not stored:
            raise self._fault(node, f"takes {shortened(list(node.input))}, expected {self.last}, weights and a bias")
        w = self._array(node, node.input[1], 2)
        self._lin(node, w.T if attributes.get("transB", 0) else w, node.input[1])
        if len(stored) == 2:
            self._bias(node, stored[1:], attributes)

    def _matmul(self, node: Any, stored: list[str], _: Mapping[str, Any]) -> None:
        if node.input[0] != self.last:
            raise self._fault(node, f"takes {shortened(list(node.input))}, expected {self.last} first")
        self._lin(node, self._array(node, stored[0], 2), stored[0])

    def _lin(self, node: Any, w: Array, name: str) -> None:
        if self.outputs is not None and w.shape[0] != self.outputs[0]:
            raise self._fault(
                node,
                f"{name} has {w.shape[0]} inputs and {w.shape[1]} outputs, {self.outputs[1]} gives {self.outputs[0]}",
            )
        self.lins += 1
        self.outputs = w.shape[1], name
        self.layers.append(Lin(param(w, name=f"w{self.lins}")))

    def _bias(self, node: Any, stored: list[str], _: Mapping[str, Any]) -> None:
        before = self.layers[-1] if self.layers else None
        if not isinstance(before, Lin) or before.b is not None or len(stored) != 1:
            raise self._fault(node, f"adds {shortened(stored)} to what is no product; {POSSIBLE}")
        b = self._array(node, stored[0], None)
        if b.size != before.w.shape[1] or b.shape not in ((b.size,), (1, b.size)):
            raise self._fault(node, f"the bias {stored[0]} has shape {b.shape}, expected {before.w.shape[1:]}")
        if b.dtype != before.w.dtype:
            raise self._fault(node, f"the bias {stored[0]} is {b.dtype}, its weights are {before.w.dtype}")
        self.layers[-1] = Lin(before.w, param(b.reshape(-1), name=f"b{self.lins}"))

    def _array(self, node: Any, name: str, ndim: int | None) -> Array:
        array: Array = self.library.numpy_helper.to_array(self.stored[name])
        first = next((layer.w.dtype for layer in self.layers if isinstance(layer, Lin)), array.dtype)
        if array.dtype not in (FLOAT32, FLOAT64) or array.dtype != first:
            expected = first if first in (FLOAT32, FLOAT64) and self.lins else "float32 or float64"
            raise self._fault(node, f"{name} {array.shape} is {array.dtype}, expected {expected}")
        if ndim is not None and array.ndim != ndim:
            raise self._fault(node, f"{name} has shape {array.shape}, expected (inputs, outputs)")
        return array

    def _fault(self, node: Any, why: str) -> CheckpointError:
        name = f" '{node.name}'" if node.name else ""
        return CheckpointError(f"{self.where}: the node{name} {node.op_type}: {why}")


def _plain(value: Any) -> Any:
    """A number as it was written: ONNX stores those of attributes as float32, 0.01 as 0.00999999977."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


LINEAR = {"Gemm": _Reader._gemm, "MatMul": _Reader._matmul, "Add": _Reader._bias}
