"""`pybackprop lab counters`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from pybackprop.cli.arguments import whole_number
from pybackprop.core import settings
from pybackprop.core.units import threads_text, three_digits

if TYPE_CHECKING:
    from pybackprop.lab.counters.count import Task

OPS = ("matmul", "linear", "backward_w", "backward_x")
SIZES, SMALL, ROUNDS = (256, 256, 256), (64, 64, 64), 5
SIMULATED = ("generic", "avx2", "neon")  # kernels whose instructions valgrind knows


def add_parser(commands: Any) -> None:
    """Adds `lab counters` to the command line."""
    counters = commands.add_parser(
        "counters",
        help="cycles, instructions, cache and TLB misses of an operation, by perf or simulated by valgrind",
        description="Counts one call of an operation: the difference between a program with many calls and one with "
        "fewer. Without counters, as on most virtual machines, --simulate counts on a simulated processor.",
    )
    add = counters.add_argument
    add("op", choices=OPS)
    add("--sizes", type=_sizes, metavar="NxMxH", help="256x256x256, with --simulate 64x64x64")
    add("--dtype", choices=["float32", "float64"], default="float32", help="float32")
    add("--kernel", metavar="NAME", help="see 'pybackprop info'; valgrind does not know avx512")
    add("--threads", type=whole_number, default=1, metavar="N", help="1")
    add("--rounds", type=whole_number, default=ROUNDS, metavar="N", help=f"times that perf counts ({ROUNDS})")
    add("--simulate", action="store_true", help="by valgrind's cachegrind: exact, slow, and of a simpler processor")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    counters.set_defaults(command=run)


def _sizes(text: str) -> tuple[int, int, int]:
    parts = [whole_number(part) for part in text.split("x")]
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected three sizes, such as 64x64x64")
    return parts[0], parts[1], parts[2]


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    from pybackprop.lab.counters import count

    known = [name for name in settings.kernels() if not options.simulate or name in SIMULATED]
    kernel = options.kernel or (known[-1] if options.simulate else settings.kernel())
    if kernel not in known:
        where = "valgrind and this CPU" if options.simulate else "this CPU"
        raise ValueError(f"--kernel: {kernel!r} is not among the kernels that {where} can run: {', '.join(known)}")
    if options.simulate and options.threads > 1:
        raise ValueError("--threads: valgrind runs one thread at a time; leave it out with --simulate")
    sizes = options.sizes or (SMALL if options.simulate else SIZES)
    task = count.Task(options.op, sizes, options.dtype, kernel, options.threads)
    found = count.by_cachegrind(task) if options.simulate else count.by_perf(task, options.rounds)
    report = {
        "op": task.op,
        "sizes": list(sizes),
        "dtype": task.dtype,
        "kernel": kernel,
        "threads": task.threads,
        "flops": task.flops,
        **found,
        "derived": count.derived(task, found["counts"]),
    }
    print(json.dumps(report)) if options.json else _show(report, task)
    return 0


def _show(report: dict[str, Any], task: Task) -> None:
    from pybackprop.cli import output

    lines = {name: _text(value) for name, value in report["counts"].items()}
    lines |= {name: three_digits(value) for name, value in report["derived"].items()}
    if report["missing"]:
        lines["not counted"] = ", ".join(report["missing"])
    sizes = "x".join(map(str, task.sizes))
    threads = threads_text(task.threads)
    print(f"one call of {task.op} {sizes} {task.dtype} {task.kernel}, {threads}, by {report['by']}")
    output.table("counts", lines)
    if "fitness" in report:
        from pybackprop.lab.fitness import sentences

        print("\n".join(sentences(report["fitness"])))


def _text(value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value:,.0f}"
    far = f", {value['outliers']} far away" if value["outliers"] else ""
    return f"{value['median']:,.0f} ({value['low']:,.0f} to {value['high']:,.0f}, {value['samples']} runs{far})"
