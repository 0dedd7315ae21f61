"""to_onnx: a model as a graph of ONNX. Needs the library onnx, the extra `onnx`.

A Lin is one Gemm, an activation the operator that its record names. The operators' set is that of 2022, which all
runtimes know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from pybackprop.core import files
from pybackprop.core.arrays import Array
from pybackprop.core.checks import check_folder
from pybackprop.core.version import __version__
from pybackprop.data.description import Description
from pybackprop.data.scaling import LARGEST_BYTE, Scaling
from pybackprop.engine.model import Model
from pybackprop.interchange.chain import Linear, Step, arguments_of, counterpart, steps_of

if TYPE_CHECKING:
    import onnx

__all__ = ["to_onnx"]

NO_ONNX = "needs the library onnx; pip install 'pybackprop[onnx]'"
OPSET, IR_VERSION = 17, 8  # both of 2022
INPUT, OUTPUT, ROWS = "x", "out", "n"
LARGEST = 2**31 - 1  # bytes in a protocol buffer
REAL = np.dtype(np.float64)


def to_onnx(model: Model, path: str | Path | None = None) -> onnx.ModelProto:
    """A model's forward as an ONNX model, and a file if a path is given, which is replaced whole or left as it was.

    Its input x (n,m) and its output out (n,h) have the parameters' dtype, and any number of rows. w and b are
    stored as w1, b1, w2, ... A loss is not part of it: after CrossEntropy, out are scores, of which argmax is the
    class; after BinaryCrossEntropy they are positive for yes. In files with float64 the slope of LeakyRelu is rounded
    to float32, as ONNX stores it. The model is checked by onnx's own checker.

    Raises ImportError without the library onnx. Before anything is written, TypeError for what is no Model, and for
    the first layer that has no counterpart; ShapeError and DTypeError for layers that do not fit each other; ValueError
    for a model without a Lin, which has no shapes, for a path in a folder that does not exist, and for more than 2 GB,
    the most that such a file can hold; OSError for a file that cannot be written.
    """
    return graph_of(model, path, None)


def graph_of(model: Model, path: str | Path | None, description: Description | None) -> onnx.ModelProto:
    """`to_onnx`, with what was done to the model's data, if that is known, before and after it."""
    library = import_onnx("to_onnx")
    if path is not None:
        check_folder("to_onnx", Path(path))
    graph = _Graph(library, steps_of("to_onnx", model), description)
    made = graph.model()
    if path is not None:
        files.replace(Path(path), partial(_write, made.SerializeToString(deterministic=True)))
    return made


def _write(content: bytes, stream: IO[bytes]) -> None:
    stream.write(content)


def import_onnx(operation: str) -> Any:
    """The library, with the modules of it that are used. Raises ImportError that names the extra."""
    try:
        for module in ("checker", "helper", "numpy_helper"):
            import_module(f"onnx.{module}")
        return import_module("onnx")
    except ImportError as error:
        raise ImportError(f"{operation}: {NO_ONNX}") from error


class _Graph:
    """A graph in the making: a chain of nodes, each on what is before it.

    last: the name of what is before the next node
    """

    def __init__(self, library: Any, steps: Sequence[Step], description: Description | None) -> None:
        self.onnx, self.helper = library, library.helper
        self.steps, self.description = steps, description
        linears = [step for step in steps if isinstance(step, Linear)]
        if not linears:
            raise ValueError("to_onnx: found a model without a Lin, expected one, whose shape is that of the data")
        size = sum(p.nbytes for step in linears for p in step.parameters)
        if size > LARGEST:
            raise ValueError(
                f"to_onnx: the parameters take {size:,} bytes, an ONNX file holds at most {LARGEST:,}; use bp.save, or "
                "convert the layers in parts: bp.Model(model.layers[:4])"
            )
        self.dtype = linears[0].w.dtype
        self.widths = linears[0].w.shape[0], linears[-1].w.shape[1]
        self.last = INPUT
        self.nodes: list[Any] = []
        self.stored: list[Any] = []

    def model(self) -> Any:
        """The whole model, checked."""
        before = self._scale() if self.description else self.dtype
        number = 0
        for step in self.steps:
            if isinstance(step, Linear):
                number += 1
                self._linear(step, number)
            else:
                found = counterpart("to_onnx", step, step.op.onnx, "ONNX")
                self.add(found.name, **arguments_of(step, found))
        after = self._unscale() if self.description else self.dtype
        self.nodes[-1].output[0] = OUTPUT
        graph = self.helper.make_graph(
            self.nodes,
            "pybackprop",
            [self._declared(INPUT, before, self.widths[0])],
            [self._declared(OUTPUT, after, self.widths[1])],
            self.stored,
        )
        made = self.helper.make_model(
            graph,
            opset_imports=[self.helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="pybackprop",
            producer_version=__version__,
        )
        self.helper.set_model_props(made, self._told())
        self.onnx.checker.check_model(made, full_check=True)
        return made

    # ---- parts ----

    def add(self, operator: str, *stored: str, **attributes: Any) -> None:
        """A node on what is before it, and on stored arrays."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, [self.last, *stored], [name], name, **attributes))
        self.last = name

    def store(self, name: str, array: Array) -> str:
        """Keeps an array under a name, which is returned."""
        self.stored.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _linear(self, step: Linear, number: int) -> None:
        names = [self.store(f"{letter}{number}", p.data) for letter, p in zip("wb", step.parameters, strict=False)]
        self.add("Gemm", *names)

    def _declared(self, name: str, dtype: np.dtype[Any], width: int) -> Any:
        kind = self.helper.np_dtype_to_tensor_dtype(dtype)
        return self.helper.make_tensor_value_info(name, kind, [ROWS, int(width)])

    # ---- what was done to the data ----

    def _scale(self) -> np.dtype[Any]:
        """What `predict` does to rows of numbers before the model sees them; the dtype of the input.

        Means are subtracted in float64, as there: the numbers may be large, and differ little.
        """
        assert self.description is not None
        scaling, fill = self.description.scaling, np.asarray(self.description.fill)
        wide = scaling.kind == "standard" or bool(fill.size)
        dtype = REAL if wide else self.dtype
        if fill.size:
            self.nodes.append(self.helper.make_node("IsNaN", [self.last], ["missing"], "missing"))
            operands = ["missing", self.store("fill", fill), self.last]
            self.nodes.append(self.helper.make_node("Where", operands, ["filled"], "filled"))
            self.last = "filled"
        if scaling.kind == "standard":
            mean, deviation = _numbers(scaling)
            self.add("Sub", self.store("mean", mean))
            self.add("Div", self.store("deviation", np.where(deviation > 0, deviation, np.inf)))
        if dtype != self.dtype:
            self.add("Cast", to=self.helper.np_dtype_to_tensor_dtype(self.dtype))
        if scaling.kind == "bytes":
            self.add("Div", self.store("largest_byte", np.asarray(LARGEST_BYTE, self.dtype)))
        return dtype

    def _unscale(self) -> np.dtype[Any]:
        """What `predict` does to outputs; the dtype of what comes out."""
        assert self.description is not None
        scaling = self.description.target_scaling
        if scaling.kind != "standard":
            return self.dtype
        mean, deviation = _numbers(scaling)
        if self.dtype != REAL:
            self.add("Cast", to=self.helper.np_dtype_to_tensor_dtype(REAL))
        self.add("Mul", self.store("target_deviation", deviation))
        self.add("Add", self.store("target_mean", mean))
        return REAL

    def _told(self) -> Mapping[str, str]:
        """What others may want to know of the data, as JSON."""
        if self.description is None:
            return {}
        told = self.description.to_json()
        names = ("columns", "categories", "target", "task", "labels")
        return {name: json.dumps(told[name]) for name in names if told[name]}


def _numbers(scaling: Scaling) -> tuple[Array, Array]:
    """(means, deviations), float64."""
    return np.asarray(scaling.mean, REAL), np.asarray(scaling.deviation, REAL)
