"""`pybackprop lab try` and `pybackprop lab new`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from pybackprop.cli.arguments import amount, sizes, whole_number
from pybackprop.core import plotting

OPERATIONS = ("matmul", "linear_forward", "linear_backward_x", "linear_backward_w", "relu", "mse")
LIMIT = 10.0  # seconds
POLL = 0.2  # seconds between two looks at a file


def add_parser(commands: Any) -> None:
    """Adds `try` and `new` to `pybackprop lab`."""
    _add_try(commands)
    new = commands.add_parser("new", help="write a C file to start from: a correct, slow kernel")
    _add_file(new, "what it computes, and its function's name", required=True)
    new.set_defaults(command=run_new)


def _add_file(parser: Any, op: str, required: bool) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.c", help="the kernel's C file")
    parser.add_argument("--op", choices=OPERATIONS, required=required, help=op)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of its arrays (float32)")


def _add_try(commands: Any) -> None:
    parser = commands.add_parser(
        "try",
        help="compile, check and time a kernel of your own",
        description="Compiles a C file with $CC or cc, checks it on a grid of shapes and special values in a process "
        "of its own, bit for bit against the definition, and times it beside the library's kernel, numpy and PyTorch. "
        "Whatever the kernel does wrong is named. Exit code 0 if every bit is right, 1 if not.",
    )
    _add_file(parser, "what it computes (that which its function is named after)", required=False)
    add = parser.add_argument
    add("--cflags", default="", metavar="FLAGS", help="more flags for the compiler, in one word: --cflags='-O2 -g'")
    add("--sanitize", action="store_true", help="check under AddressSanitizer, and do not time")
    add("--size", type=sizes, metavar="N,N,N", help="the sizes to time, or one number for all of them")
    add("--threads", type=whole_number, default=1, metavar="N", help="threads to time with, of all engines (1)")
    add("--limit", type=amount("seconds"), default=LIMIT, metavar="S", help=f"seconds that a call may take ({LIMIT:g})")
    add("--no-timing", action="store_true", help="only check")
    add("--rounding-ok", action="store_true", help="exit code 0 also if only the last bits of sums differ")
    add("--watch", action="store_true", help="again whenever the file is saved, until Ctrl-C")
    add("--plot", type=Path, metavar="FILE.png", help="draw it on the machine's roofline, beside the others")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Runs `try`; the exit code."""
    if options.plot is not None:
        plotting.check(options.plot)
    if not options.watch:
        return _once(options)
    code, seen = 1, None
    try:
        while True:
            now = _stamp(options.file)
            if now is not None and now != seen:
                code, seen = _once(options), now
                sys.stdout.flush()
                print("pybackprop: waiting for the file to be saved; Ctrl-C ends it", file=sys.stderr, flush=True)
            elif now is None and seen is None:
                raise FileNotFoundError(f"lab: there is no file {options.file}")
            time.sleep(POLL)
    except KeyboardInterrupt:
        return code


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is saved; None while an editor has moved it away."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _once(options: argparse.Namespace) -> int:
    from rich.status import Status

    from pybackprop.core.terminal import stderr_console, stdout_console
    from pybackprop.lab import show
    from pybackprop.lab.kernel_name import operation_in
    from pybackprop.lab.trial import try_kernel

    op = options.op or operation_in(str(options.file), options.file.read_text("utf-8", errors="surrogateescape"))
    console = stderr_console()
    with Status("", console=console) as status:
        trial = try_kernel(
            options.file,
            op,
            dtype=options.dtype,
            cflags=options.cflags,
            sanitize=options.sanitize,
            size=options.size,
            threads=options.threads,
            limit=options.limit,
            timed=not options.no_timing,
            turn=status.update if console.is_terminal else lambda text: None,
        )
    if options.json:
        print(json.dumps(trial.to_dict()))
    else:
        show.show_trial(trial.to_dict(), stdout_console(show.WIDTH))
    if options.plot is not None and trial.timing is not None:
        from pybackprop.lab.roofline.trial import draw

        draw(options.plot, trial.to_dict())
    return int(not (trial.is_within_rounding if options.rounding_ok else trial.ok))


def run_new(options: argparse.Namespace) -> int:
    """Runs `new`; the exit code."""
    from pybackprop.lab.operation import started
    from pybackprop.lab.operations import operation

    if options.file.suffix != ".c":
        raise ValueError(f"lab new: found {options.file.name!r}, expected a name that ends in .c")
    try:
        with options.file.open("x", encoding="utf-8") as file:
            file.write(started(operation(options.op), options.dtype))
    except FileExistsError as error:
        raise FileExistsError(f"lab new: {options.file} is there already, and is kept; choose another name") from error
    print(f"{options.file}: a correct, slow {options.op}; next: pybackprop lab try {options.file} --op {options.op}")
    return 0
