"""The command `pybackprop explain`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybackprop.cli.data_options import add_choices, choices_of, refuse_choices
from pybackprop.core.suggestions import suggest_among

if TYPE_CHECKING:
    from pybackprop.teach.example import Example
    from pybackprop.teach.explain.explain import Explanation

DIGITS = Path()  # --data without a path
WIDTH = 110  # of text that does not go to a terminal


def add_parser(commands: Any) -> None:
    """Adds `explain` to the command line."""
    parser = commands.add_parser(
        "explain",
        description="Runs a small network, mse(lin(relu(lin(x)))), forward and backward, and explains its gradients "
        "element by element: which values move, by how much, how much the loss cares, and the sum.",
    )
    given = parser.add_argument
    given(
        "--element", metavar="w1[3,7]", help="whose gradient: of x, w1, b1, l1, l2, w2, b2, out; without it, the chain"
    )
    given(
        "--shape", type=_shape, metavar="4,3,2", help="rows, inputs, hidden (and more hidden, outputs) of the example"
    )
    given(
        "--data",
        type=Path,
        nargs="?",
        const=DIGITS,
        metavar="PATH",
        help="rows of a data set instead: a folder of MNIST's IDX files, a .npz or a .csv; without PATH the digits",
    )
    given(
        "--model",
        type=Path,
        metavar="FILE",
        help="a checkpoint of 'train --save' or bp.save instead of the example, on the rows of --data (the digits), "
        "scaled as in its training",
    )
    add_choices(given)
    given("--plot", type=Path, metavar="FILE.png", help="also draw it")
    given("--html", type=Path, metavar="FILE.html", help="write an interactive page")
    given("--serve", action="store_true", help="serve the page to a browser on this machine")
    given("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=run)


def _shape(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 3 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected at least three whole numbers from 1, such as 4,3,2")
    return tuple(map(int, parts))


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    if options.data is not None and options.shape is not None:
        raise ValueError("--shape: only for the built-in example; leave it out with --data")
    if options.model is not None and options.shape is not None:
        raise ValueError("--shape: only for the built-in example; leave it out with --model")
    example = _example(options)
    explanation = _explanation(example, options.element)
    if options.html is not None or options.serve:
        from pybackprop.cli.explain_model import page_of
        from pybackprop.teach.page import html

        scene = page_of(explanation, options)
    if options.plot is not None:
        explanation.plot(options.plot)
    if options.html is not None:
        html.write(options.html, scene)
    if options.serve:
        html.serve(scene)
    elif options.json:
        print(explanation.to_json())
    else:
        _show(explanation)
    return 0


def _example(options: argparse.Namespace) -> Example:
    from pybackprop.teach.example import on_data, small

    asked = choices_of(options)
    if options.model is not None:
        from pybackprop.cli.explain_model import trained

        return trained(options, options.data if options.data != DIGITS else None)
    if options.data is not None and options.data != DIGITS:
        return on_data(options.data, asked)
    refuse_choices(asked, "the built-in data leave nothing to choose")
    if options.data is not None:
        return on_data(None)
    return small(options.shape) if options.shape else small()


def _explanation(example: Example, name: str | None) -> Explanation:
    """The explanation of an element such as w1[3,7], of the largest gradient of w1, or of the whole chain."""
    from pybackprop.teach.explain.explain import explain

    if name is None:
        return explain(example.loss)
    match = re.fullmatch(r"\s*(\w+)\s*(?:\[([-\d,\s]*)\])?\s*", name)
    if match is None or match[1] not in example.tensors:
        known = ", ".join(example.tensors)
        suggestion = suggest_among(name.partition("[")[0].strip(), example.tensors)
        raise ValueError(f"--element: found {name!r}, expected one of {known}, as w1 or w1[0,1]{suggestion}")
    if match[2] is None:
        return explain(example.tensors[match[1]], loss=example.loss)
    parts = [part.strip() for part in match[2].split(",") if part.strip()]
    if not all(re.fullmatch(r"-?\d+", part) for part in parts):
        raise ValueError(f"--element: found {name!r}, expected whole numbers between the brackets, as in w1[0,1]")
    try:
        return explain(example.tensors[match[1]], at=tuple(map(int, parts)), loss=example.loss)
    except IndexError as error:
        raise ValueError(f"--element: {error}") from error


def _show(explanation: Explanation) -> None:
    """With colours in a terminal, as plain text elsewhere."""
    if not sys.stdout.isatty():
        print(explanation)
        return
    from pybackprop.core.terminal import stdout_console

    stdout_console(WIDTH).print(explanation)
