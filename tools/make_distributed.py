"""Measures steps on 1 to 8 ranks of MPI, predicts them and larger ones, and writes both to docs/distributed.md.

    python tools/make_distributed.py

The prediction is a simulation of events: each rank computes its segments, takes a block of the running total from the
rank before it, adds its segments, and sends it on; the last rank gives each block to all. More ranks than processors
take turns on them, and the copies of their messages are work of the processors too. What it needs (the time of a
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
from pybackprop.core.native import SEGMENT
from pybackprop.engine.ranks import BLOCK, NAP, SPINS, wait

PAGE = Path(__file__).resolve().parent.parent / "docs" / "distributed.md"
RANKS = (1, 2, 3, 4, 8)
LARGE = (8, 64, 512, 4096)
NETWORKS = {"784→100→10": [784, 100, 10], "784→1000→1000→10": [784, 1000, 1000, 10]}
ROWS, STEPS, ROUNDS = 4096, 5, 3
QUESTION = 0.4e-6  # seconds of a look whether a message is there
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
    segments = -(-rows // SEGMENT)
    each, more = divmod(segments, ranks)
    own = [each + (rank < more) for rank in range(min(ranks, segments))]
    blocks = [min(BLOCK, size - start) for start in range(0, size, BLOCK)]
    if costs.cores is None or ranks <= costs.cores:
        return apart(ranks, own, blocks, costs)
    return crowded(ranks, own, blocks, costs)


def apart(ranks: int, own: Sequence[int], blocks: Sequence[int], costs: Costs) -> float:
    """Each rank has a processor. own: the segments of each that has any."""
    free = [count * costs.segment for count in own]  # when a rank can go on
    sent, done = 0.0, 0.0
    hops = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    for block in blocks:
        message = costs.latency + block / costs.bandwidth
        arrived = 0.0
        for rank, count in enumerate(own):
            free[rank] = seen(free[rank], arrived) + adds(rank, count) * block / costs.adding
            arrived = free[rank] + message
        sent = max(sent, free[-1]) + (block / costs.bandwidth if hops else 0.0)
        done = sent + hops * message
    return seen(free[0], done) + costs.update


def crowded(ranks: int, own: Sequence[int], blocks: Sequence[int], costs: Costs) -> float:
    """Ranks share the processors of a machine. What a message carries is copied by the rank that receives it. At each
    moment the rank that can go on first takes the processor that is free first, for one piece of its work.
    """
    assert costs.cores is not None
    last, copy = len(own) - 1, [block / costs.bandwidth for block in blocks]
    works = []  # of each rank: (seconds, what must be done before: the rank and its piece, or None)
    for rank in range(ranks):
        count = own[rank] if rank <= last else 0
        pieces: list[tuple[float, tuple[int, int] | None]] = [(costs.segment, None)] * count
        for k, block in enumerate(blocks if count else ()):
            before = (rank - 1, own[rank - 1] + k) if rank else None
            pieces.append((copy[k] * (rank > 0) + adds(rank, count) * block / costs.adding, before))
        if rank != last:
            pieces += [(copy[k], (last, own[last] + k)) for k in range(len(blocks))]
        works.append([*pieces, (costs.update, None)])
    processors, free, done = [0.0] * costs.cores, [0.0] * ranks, [list[float]() for _ in range(ranks)]
    while any(len(done[rank]) < len(works[rank]) for rank in range(ranks)):
        starts = []
        for rank in range(ranks):
            if len(done[rank]) == len(works[rank]):
                continue
            before = works[rank][len(done[rank])][1]
            if before is None:
                starts.append((free[rank], rank))
            elif before[1] < len(done[before[0]]):
                starts.append((seen(free[rank], done[before[0]][before[1]] + costs.latency), rank))
        start, rank = min(starts)
        processor = min(range(costs.cores), key=processors.__getitem__)
        end = max(start, processors[processor]) + works[rank][len(done[rank])][0]
        processors[processor] = free[rank] = end
        done[rank].append(end)
    return max(free)


def adds(rank: int, segments: int) -> int:
    """Additions to the running total; rank 0 has made its own while it computed."""
    return segments if rank else 0


def seen(free: float, arrived: float) -> float:
    """When a rank that is free notices a message: it sleeps while it waits for long."""
    return max(free, arrived) + (NAP if arrived > free + SPINS * QUESTION else 0.0)


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
