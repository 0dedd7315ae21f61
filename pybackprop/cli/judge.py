"""`pybackprop judge`."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pybackprop.core.printable import printable
from pybackprop.teach.example import OUTPUTS, ROLE_OF, decimals

if TYPE_CHECKING:
    from pybackprop.teach.judge.judge import Verdict

USAGE = 2
INDENT = "    "
LARGEST = 1000  # of each size of the example


def add_parser(commands: Any) -> None:
    """Adds `judge` to the command line."""
    parser = commands.add_parser(
        "judge",
        description="Judges a formula for a gradient of a small network: z = x @ w + b, a = relu(z), "
        "out = a @ w2 + b2, loss = mse(out, targ). x is (n,m), w (m,h), out (n,"
        f"{OUTPUTS}); dz arrives at z, da at a. Exit code 0 if it is right, 1 if wrong, 2 if it is not a formula.",
        epilog="A formula that begins with a minus comes after '--': judge --of out -- '-2*(targ - out)/size'",
    )
    add = parser.add_argument
    add("formula", nargs="?", help="e.g. 'x.T @ dz', '(z > 0) * da', '2 * (out - targ) / size'")
    add("--of", choices=list(ROLE_OF), default="w", help="the gradient of which tensor (w)")
    add("--shape", type=_shape, default=(4, 3, 2), metavar="n,m,h", help="rows, inputs, outputs (4,3,2)")
    add("--seed", type=_seed, default=0, metavar="N", help="seed of the numbers (0)")
    add("--reveal", action="store_true", help="show the solution as well")
    add("--json", action="store_true", help="print one JSON object: the fields of the Verdict")
    add("--list", action="store_true", help="list all mistakes that are recognised, with an example of each")
    parser.set_defaults(command=run_judge, parser=parser)


def _shape(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and 1 <= int(part) <= LARGEST for part in parts):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected three sizes from 1 to {LARGEST}, e.g. 4,3,2")
    return tuple(map(int, parts))


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 0")
    return int(text)


def run_judge(options: argparse.Namespace) -> int:
    from pybackprop.teach.formula.errors import FormulaError, no_formula
    from pybackprop.teach.judge.judge import judge_question
    from pybackprop.teach.judge.question import question_of
    from pybackprop.teach.trace.use import use_of

    if options.list:
        print(listing())
        return 0
    if options.formula is None:
        options.parser.error("a formula is missing, e.g. pybackprop judge 'x.T @ dz'")
    tensors = decimals(options.shape, options.seed).tensors
    try:
        question = question_of(use_of(tensors[ROLE_OF[options.of]]), {})
        question = replace(question, by_role=True, asked=f"{options.of}.g")  # the names of the description above
        verdict = judge_question(question, options.formula, options.reveal)
    except FormulaError as error:
        message = f"pybackprop judge: {no_formula(options.formula)}{error}"
        print(printable(message, keep="\n"), file=sys.stderr)
        return USAGE
    _show(verdict, options)
    return 0 if verdict.ok else 1


def _show(verdict: Verdict, options: argparse.Namespace) -> None:
    if options.json:
        print(verdict.to_json())
        return
    print(verdict)
    if not verdict.ok and not options.reveal:
        print("(--reveal shows the solution)")


def listing() -> str:
    """All mistakes: name, the kind of question, an example, what it computes instead."""
    from pybackprop.teach.judge.kinds import KINDS
    from pybackprop.teach.judge.mistakes import table
    from pybackprop.teach.render.width import text_width

    lines = [
        f"right: {kind.role + '.g':<7} {kind.right}" + (f"  ({kind.name})" if kind.name != kind.role else "")
        for kind in KINDS
    ]
    for mistake in table():
        plain = re.sub(r"\{(\w+)[^}]*\}", r"<\1>", mistake.says)  # what a question would fill in
        examples = ", ".join(f"{kind}: {formulas[0]}" for kind, formulas in mistake.formulas.items())
        lines += [
            "",
            f"{mistake.name}  ({examples})",
            *textwrap.wrap(plain, text_width(), initial_indent=INDENT, subsequent_indent=INDENT),
        ]
    return "\n".join(lines)
