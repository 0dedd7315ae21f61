"""Measures steps on 1 to 8 ranks of MPI, predicts them and larger ones, and writes both to docs/distributed.md.

    python tools/make_distributed.py

The prediction is a simulation of events: each rank computes its segments, takes a block of the running total from the
rank before it, adds its segments, and sends it on; the last rank gives each block to all. What it needs (the time of a
segment, of an addition, of an update; latency and bandwidth of a message) is measured here, on one and two ranks.
"""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop.engine.ranks import BLOCK, wait

PAGE = Path(__file__).resolve().parent.parent / "docs" / "distributed.md"
RANKS = (1, 2, 3, 4, 8)
LARGE = (8, 64, 512, 4096)
NETWORKS = {"784→100→10": [784, 100, 10], "784→1000→1000→10": [784, 1000, 1000, 10]}
ROWS, STEPS, ROUNDS = 4096, 5, 3
NETWORK_LATENCY, NETWORK_BANDWIDTH = 10e-6, 10e9  # of an ordinary cluster: seconds, bytes a second


@dataclass(frozen=True)
class Costs:
    """Seconds: of a segment's gradients, of the update, of a message however short; bytes a second: of messages, of
    additions. cores: of the machine that all ranks share; None: each has its own.
    """

    segment: float
    update: float
    latency: float
    bandwidth: float
    adding: float
    cores: int | None


def simulated(ranks: int, rows: int, size: int, costs: Costs) -> float:
    """The seconds of a step of so many rows, whose gradients have `size` bytes."""
    segments = -(-rows // 512)
    active, slower = min(ranks, segments), max(1.0, ranks / costs.cores) if costs.cores else 1.0
    each, more = divmod(segments, ranks)
    own = [each + (rank < more) for rank in range(active)]
    free = [count * costs.segment * slower for count in own]  # when a rank can go on
    sent, done = 0.0, 0.0
    hops = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    for start in range(0, size, BLOCK):
        block = min(BLOCK, size - start)
        message = costs.latency + block / costs.bandwidth
        arrived = 0.0
        for rank, count in enumerate(own):
            free[rank] = max(free[rank], arrived) + count * block / costs.adding * slower
            arrived = free[rank] + message
        sent = max(sent, free[-1]) + (block / costs.bandwidth if hops else 0.0)
        done = sent + hops * message
    return done + costs.update * slower


# ---- what is measured ----


def compiled(widths: Sequence[int], comm: Any) -> tuple[Any, Any, Any]:
    """(plan, x, labels) of a network."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((ROWS, widths[0]), np.float32), rng.integers(widths[-1], size=ROWS)
    model = bp.mlp(widths)
    model.loss = bp.CrossEntropy()
    return bp.compile(model, batch=ROWS, optimizer=bp.SGD(model, lr=1e-4), comm=comm), x, labels


def seconds_of(call: Callable[[], Any], calls: int = 1) -> float:
    """The least of some rounds, for each call."""
    call()
    times = []
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(calls):
            call()
        times.append((perf_counter() - began) / calls)
    return min(times)


def on_ranks(name: str) -> None:
    """The seconds of a step; printed by rank 0."""
    from mpi4py import MPI

    plan, x, labels = compiled(NETWORKS[name], MPI.COMM_WORLD)
    seconds = seconds_of(lambda: plan.step(x, labels), STEPS)
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(json.dumps(seconds))


def between_two() -> None:
    """Latency and bandwidth of a message between two ranks; printed by rank 0."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    other = 1 - comm.Get_rank()

    def back_and_forth(array: Any) -> None:
        for turn in range(2):
            if turn == comm.Get_rank():
                wait(comm.Isend(array, dest=other))
            else:
                wait(comm.Irecv(array, source=other))

    small, large = np.zeros(1), np.zeros(BLOCK // 8)
    latency = seconds_of(lambda: back_and_forth(small), 200) / 2
    block = seconds_of(lambda: back_and_forth(large), 100) / 2
    if comm.Get_rank() == 0:
        print(json.dumps({"latency": latency, "bandwidth": BLOCK / max(block - latency, 1e-9)}))


def costs_of(name: str, message: dict[str, float]) -> tuple[Costs, int]:
    """(what a step on this machine is made of, the bytes of its gradients)."""
    bp.set_threads(1)
    plan, x, labels = compiled(NETWORKS[name], None)
    few = bp.compile(plan.model, batch=512, optimizer=bp.SGD(plan.model, lr=1e-4))
    segment = seconds_of(lambda: (few.grads(x[:512], labels[:512]), few.arena.gradients.copy()), STEPS)
    update = seconds_of(lambda: few.step(x[:512], labels[:512]), STEPS) - segment
    a = np.zeros(BLOCK // 4, np.float32)
    adding = BLOCK / seconds_of(lambda: np.add(a, a, out=a), 200)
    size = few.arena.gradients.nbytes
    return Costs(segment, max(update, 0.0), message["latency"], message["bandwidth"], adding, os.cpu_count()), size


def started(ranks: int, *arguments: str) -> Any:
    """What this program prints on so many ranks."""
    mpiexec = Path(sys.executable).parent / "mpiexec"
    environment = {**os.environ, "PYBACKPROP_THREADS": "1"}
    command = [str(mpiexec) if mpiexec.exists() else "mpiexec", "-n", str(ranks), sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def threads_of(name: str) -> dict[int, float]:
    """The seconds of a step in one process, by threads."""
    found = {}
    for threads in (1, 2):
        bp.set_threads(threads)
        plan, x, labels = compiled(NETWORKS[name], None)
        found[threads] = seconds_of(lambda plan=plan, x=x, labels=labels: plan.step(x, labels), STEPS)
    return found


# ---- the page ----


def measured_table(costs: dict[str, tuple[Costs, int]]) -> str:
    lines = ["| network | ranks | measured, ms | predicted, ms | |", "|---|---|---|---|---|"]
    for name, (of, size) in costs.items():
        threads = threads_of(name)
        for ranks in RANKS:
            seconds = statistics.median(started(ranks, "step", name) for _ in range(3))
            predicted = simulated(ranks, ROWS, size, of)
            beside = f"{threads[ranks] * 1e3:.3g} on {ranks} thread{'s' * (ranks > 1)}" if ranks in threads else ""
            lines.append(f"| {name} | {ranks} | {seconds * 1e3:.3g} | {predicted * 1e3:.3g} | {beside} |")
    about, load = bp.info(), os.getloadavg()[0]
    of = next(iter(costs.values()))[0]
    machine = f"{about['cpu']}, {os.cpu_count()} processors, load {load:.1f}"
    message = f"A message takes {of.latency * 1e6:.1f} µs and {of.bandwidth / 1e9:.2g} GB/s."
    lines += ["", f"Steps of {ROWS:,} rows in float32, one thread a rank, on {machine}. {message}"]
    return "\n".join(lines)


def predicted_table(costs: dict[str, tuple[Costs, int]]) -> str:
    """Weak scaling: 8 segments a rank. Strong scaling: 4,096 segments in all."""
    lines = ["| network | ranks | weak: 4,096 rows a rank | efficiency | strong: 2,097,152 rows | efficiency |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, (of, size) in costs.items():
        far = replace(of, latency=NETWORK_LATENCY, bandwidth=NETWORK_BANDWIDTH, cores=None)
        one, all_of_it = simulated(1, ROWS, size, far), simulated(1, 4096 * 512, size, far)
        for ranks in LARGE:
            weak, strong = simulated(ranks, ROWS * ranks, size, far), simulated(ranks, 4096 * 512, size, far)
            cells = f"{weak * 1e3:.3g} ms | {one / weak:.0%} | {strong * 1e3:.3g} ms | {all_of_it / strong / ranks:.0%}"
            lines.append(f"| {name} | {ranks:,} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    message = started(2, "message")
    costs = {name: costs_of(name, message) for name in NETWORKS}
    tables = {"measured": measured_table(costs), "predicted": predicted_table(costs)}
    text = PAGE.read_text("utf-8")
    for name, table in tables.items():
        part = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text = part.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["step"]:
        on_ranks(sys.argv[2])
    elif sys.argv[1:] == ["message"]:
        between_two()
    else:
        main()
