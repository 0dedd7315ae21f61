"""`pybackprop export`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pybackprop.core.printable import printable
from pybackprop.data.description import shortened

ENDING = ".onnx"
ENDS = ("input", "output")  # of a graph of ONNX


def add_parser(commands: Any) -> None:
    """Adds `export` to the command line."""
    export = commands.add_parser(
        "export",
        description="Writes a checkpoint's model as an ONNX file. It takes the numbers of a table's columns, in the "
        "model's order, and gives what 'predict' computes from them, or the scores of the classes: what 'train' did to "
        "the data is part of it.",
    )
    export.add_argument("--model", required=True, type=Path, metavar="FILE", help="a checkpoint of 'train --save'")
    export.add_argument("--save", required=True, type=Path, metavar=f"FILE{ENDING}", help="what to write")
    export.add_argument("--json", action="store_true", help="print one JSON object: path, input, output, data")
    export.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    if options.save.suffix.lower() != ENDING:
        raise ValueError(f"--save: found {options.save.name}, expected a name that ends in {ENDING}")
    from pybackprop.interchange.onnx_writer import graph_of
    from pybackprop.train.model_file import read

    contents = read(options.model)
    made = graph_of(contents.model, options.save, contents.description)
    told = {"path": str(options.save), **{word: _declared(getattr(made.graph, word)[0]) for word in ENDS}}
    told["data"] = {prop.key: json.loads(prop.value) for prop in made.metadata_props}
    print(json.dumps(told) if options.json else _summary(told))
    return 0


def _declared(given: Any) -> dict[str, Any]:
    """Name, columns and dtype of an input or output."""
    from onnx.helper import tensor_dtype_to_np_dtype

    declared = given.type.tensor_type
    dtype = tensor_dtype_to_np_dtype(declared.elem_type)
    return {"name": given.name, "columns": declared.shape.dim[1].dim_value, "dtype": dtype.name}


def _summary(told: dict[str, Any]) -> str:
    ends = [f"{word} {told[word]['name']} (n, {told[word]['columns']}) {told[word]['dtype']}" for word in ENDS]
    labels = told["data"].get("labels")
    classes = f"; the columns of {told['output']['name']} are {shortened(labels)}" if labels else ""
    return printable(f"{told['path']}: {', '.join(ends)}{classes}")
