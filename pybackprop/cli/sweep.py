"""`pybackprop sweep`."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from pybackprop.bench.processes import cores
from pybackprop.cli import grid
from pybackprop.cli.arguments import whole_number
from pybackprop.cli.data_options import add_choices, choices_of
from pybackprop.cli.train import DATA_HELP, add_settings, facts, samples_of
from pybackprop.core import settings
from pybackprop.core.checks import SEEDS
from pybackprop.core.errors import CheckpointError
from pybackprop.core.interrupt import AtSafePoints
from pybackprop.core.printable import printable
from pybackprop.data import Samples, is_stored
from pybackprop.train import checkpoint, sweep
from pybackprop.train.settings import OF_SGD, completed
from pybackprop.train.sweep import Done, Outcome, Task
from pybackprop.train.sweep_state import State, data_digest
from pybackprop.train.trainer import Settings

INTERRUPTED = 128 + signal.SIGINT
MOST = 100_000  # candidates


def add_parser(commands: Any) -> None:
    """Adds `sweep` to the command line."""
    parser = commands.add_parser(
        "sweep",
        description="Trains what 'pybackprop train' trains, once for each combination of the grid's values: in several "
        "processes, or on a Dask scheduler. Each candidate has the digest that 'pybackprop train' with its settings "
        "has. They are ranked by accuracy, for a regression by R², without a validation part by the loss.",
    )
    add = parser.add_argument
    grid_help = "e.g. lr=0.01,0.1 hidden=20,50,20:20 optimizer=sgd,adam; any setting that has an option below"
    add("--grid", type=grid.axis, nargs="+", default=[], metavar="NAME=VALUE,VALUE", help=grid_help)
    add("--seeds", type=whole_number, metavar="N", help="train each point from so many seeds, --seed and the next ones")
    add("--data", type=Path, metavar="PATH", help=DATA_HELP)
    add_choices(add)
    add_settings(add)
    add("--jobs", type=whole_number, metavar="N", help="processes (one for each processor); needs joblib from 2 on")
    add("--threads", type=whole_number, metavar="N", help="threads of each of several processes or workers (1)")
    add("--scheduler", metavar="ADDRESS", help="train on this Dask scheduler's workers, e.g. tcp://10.0.0.1:8786")
    state_help = "append a line for each trained candidate; those that it holds already are not trained again"
    add("--state", type=Path, metavar="FILE.jsonl", help=state_help)
    add("--save", type=Path, metavar="FILE", help="write the best candidate's checkpoint: .safetensors or .npz")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    add("--quiet", action="store_true", help="print no progress and no table")
    parser.set_defaults(command=run)


@dataclass(frozen=True)
class Candidate:
    """A point of the grid from one seed. given: the settings that are not the usual ones, by name."""

    given: Mapping[str, Any]
    settings: Settings


def run(options: argparse.Namespace) -> int:
    """Runs the command; the exit code: 1 if no candidate could be trained."""
    if options.scheduler is not None and options.jobs is not None:
        raise ValueError("--jobs: the workers of --scheduler train; leave one of them out")
    if options.save is not None:
        checkpoint.check_place(options.save)
    axes = _axes(options)
    samples = _samples(options, axes)
    search = Search(_candidates(options, axes, samples), samples, options)
    code = _train(search, options)
    if code == 0:
        search.keep_best()
        _report(search, axes, options)
        if search.best is None:
            raise ValueError(f"none of {len(search.candidates)} candidates could be trained; the table says why")
    return code


# ---- what is trained ----


def _axes(options: argparse.Namespace) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for name, values in options.grid:
        if name in axes:
            raise ValueError(f"--grid: found {grid.option(name)} twice; give all its values at once")
        if getattr(options, name) is not None:
            raise ValueError(f"--{grid.option(name)}: the grid has it too; leave one of them out")
        axes[name] = values
    if options.seeds is not None:
        if "seed" in axes:
            raise ValueError("--seeds: the grid has seed too; leave one of them out")
        first = options.seed or 0
        if not 0 <= first <= SEEDS - options.seeds:
            raise ValueError(
                f"--seeds: found {options.seeds} from {first} on, expected all of them from 0 to 2**64 - 1"
            )
        axes["seed"] = list(range(first, first + options.seeds))
    if not axes:
        raise ValueError("--grid: found nothing to choose from; give --grid NAME=VALUE,VALUE ... or --seeds N")
    return axes


def _samples(options: argparse.Namespace, axes: Mapping[str, list[Any]]) -> dict[str, Samples]:
    """The data in each dtype that candidates have."""
    dtypes = dict.fromkeys(axes.get("dtype", [options.dtype or Settings.dtype]))
    if len(dtypes) > 1 and options.data == Path("-"):
        raise ValueError("--data: stdin can be read once, and the grid has two dtypes; write the data to a file")
    if options.data is not None and is_stored(options.data):
        raise ValueError(
            f"--data: {options.data} holds shards, which train and predict read from disk; a sweep keeps all samples "
            "in memory: give one .npz or table"
        )
    return {dtype: samples_of(options, dtype) for dtype in dtypes}


def _candidates(
    options: argparse.Namespace, axes: Mapping[str, list[Any]], samples: Mapping[str, Samples]
) -> list[Candidate]:
    """All combinations, the last axis fastest; those that come to the same settings once."""
    fixed = {name: getattr(options, name) for name in grid.NAMES if getattr(options, name) is not None}
    has_sgd = Settings.optimizer in axes.get("optimizer", [options.optimizer or Settings.optimizer])
    found: dict[Settings, Candidate] = {}
    for count, values in enumerate(product(*axes.values())):
        if count == MOST:
            raise ValueError(f"--grid: found more than {MOST} candidates; give fewer values")
        given = {**fixed, **dict(zip(axes, values, strict=True))}
        if has_sgd and given.get("optimizer", Settings.optimizer) != Settings.optimizer:
            given = {name: value for name, value in given.items() if name not in OF_SGD}
        try:
            chosen = completed(given, samples[given.get("dtype", Settings.dtype)].description)
        except ValueError as error:
            point = " ".join(f"{grid.option(name)}={grid.value_text(given[name])}" for name in axes if name in given)
            raise ValueError(f"--grid: {point}: {error}") from None
        found.setdefault(chosen, Candidate(given, chosen))
    return list(found.values())


# ---- how ----


class Search:
    """The candidates, what is known of them, and the best so far.

    outcomes  by the place of the candidate;  skipped: how many of them the state's file had
    """

    candidates: list[Candidate]
    outcomes: dict[int, Outcome]
    state: State | None
    save: Path | None
    skipped: int

    def __init__(
        self, candidates: list[Candidate], samples: Mapping[str, Samples], options: argparse.Namespace
    ) -> None:
        self.candidates, self.samples, self.save = candidates, samples, options.save
        self.outcomes, self.state = {}, None
        if options.state is not None:
            self.state = State(options.state, {dtype: data_digest(each.split) for dtype, each in samples.items()})
            known = {k: self.state.get(one.settings) for k, one in enumerate(candidates)}
            self.outcomes = {k: outcome for k, outcome in known.items() if outcome is not None}
        self.skipped = len(self.outcomes)

    def tasks(self) -> list[Task]:
        """What is to be trained."""
        return [Task(k, one.settings) for k, one in enumerate(self.candidates) if k not in self.outcomes]

    def ranked(self) -> list[int]:
        """The places of those that are known: the best first, errors last, equal ones in the order of the grid."""
        scores = {k: outcome.score for k, outcome in self.outcomes.items()}
        return sorted(scores, key=lambda k: (scores[k] is None, -(scores[k] or 0.0), k))

    @property
    def best(self) -> int | None:
        """The place of the best candidate; None if all have errors, or none is known."""
        return next((k for k in self.ranked() if self.outcomes[k].score is not None), None)

    def add(self, done: Done) -> None:
        """Takes a candidate's outcome into the state's file, and into the checkpoint if it is the best so far."""
        self.outcomes[done.place] = done.outcome
        if self.state is not None and done.outcome.final:
            self.state.add(self.candidates[done.place].settings, done.outcome)
        if self.save is not None and done.contents is not None and self.best == done.place:
            checkpoint.save(self.save, *done.contents)

    def keep_best(self) -> None:
        """Trains the best once more, if an earlier run found it and its checkpoint is not there."""
        best = self.best
        if self.save is None or best is None or self._is_saved(best):
            return
        chosen = self.candidates[best].settings
        done = sweep.train(Task(best, chosen), self.samples[chosen.dtype], keep=True)
        if done.contents is None or done.outcome.digest != self.outcomes[best].digest:
            why = done.outcome.error or "it does not have the digest that the state says; delete the state's file"
            raise ValueError(f"--save: the best candidate could not be trained again: {why}")
        checkpoint.save(self.save, *done.contents)

    def _is_saved(self, best: int) -> bool:
        assert self.save is not None
        try:
            arrays, meta = checkpoint.load(self.save)
        except CheckpointError:
            return False
        parameters = {name: array for name, array in arrays.items() if "." not in name}
        same = json.dumps(asdict(self.candidates[best].settings)) == json.dumps(meta.get("settings"))
        return same and checkpoint.digest(parameters) == self.outcomes[best].digest


def _train(search: Search, options: argparse.Namespace) -> int:
    """Trains what is not known; the exit code. Ctrl-C strikes while it waits, and not while it writes."""
    from pybackprop.cli.sweep_output import Progress

    progress = Progress(len(search.candidates), shown=not options.quiet)
    try:
        with _noting_ctrl_c():
            progress.start(search.skipped)
        with closing(_found(search.tasks(), search, options)) as found:
            while (done := next(found, None)) is not None:
                with _noting_ctrl_c():
                    search.add(done)
                    progress.say(len(search.outcomes), search.outcomes.get(-1 if search.best is None else search.best))
    except KeyboardInterrupt:
        progress.stop()
        kept = "" if search.state is None else f"; {search.state.path} holds them"
        told = f"interrupted after {len(search.outcomes)} of {len(search.candidates)} candidates{kept}"
        print(printable(f"pybackprop: {told}"), file=sys.stderr)
        return INTERRUPTED
    finally:
        progress.stop()
    return 0


@contextmanager
def _noting_ctrl_c() -> Iterator[None]:
    """Ctrl-C inside is raised at the end."""
    with AtSafePoints() as ctrl_c:
        yield
    ctrl_c.check()


def _found(tasks: list[Task], search: Search, options: argparse.Namespace) -> sweep.Outcomes:
    """The outcomes, from where they are to be trained."""
    keep = search.save is not None
    if not tasks:
        return sweep.here(tasks, search.samples, keep)
    if search.state is not None:
        search.state.check_place()
    if options.scheduler is not None:
        return sweep.on_dask(tasks, search.samples, keep, options.scheduler, options.threads or 1)
    jobs = min(options.jobs or _usual_jobs(options), max(len(tasks), 1))
    if jobs > 1:
        return sweep.in_processes(tasks, search.samples, keep, jobs, options.threads or 1)
    if options.threads is not None:
        settings.set_threads(options.threads)
    return sweep.here(tasks, search.samples, keep)


def _usual_jobs(options: argparse.Namespace) -> int:
    """A process for each processor; one without joblib, and says so."""
    if find_spec("joblib") is not None:
        return max(1, cores() // (options.threads or 1))
    if not options.quiet:
        print(f"pybackprop: trains in one process; several {sweep.NO_JOBLIB}", file=sys.stderr)
    return 1


# ---- what is said ----


def _report(search: Search, axes: Mapping[str, list[Any]], options: argparse.Namespace) -> None:
    data = _data_options(options)
    rows = [_row(search.candidates[k], search.outcomes[k], data) for k in search.ranked()]
    if options.json:
        description = next(iter(search.samples.values())).description
        best = None if search.best is None else rows[0]
        print(json.dumps({"candidates": rows, "best": best, "skipped": search.skipped, "data": facts(description)}))
    elif not options.quiet:
        from pybackprop.cli import sweep_output

        varied = [name for name, values in axes.items() if len(values) > 1] or list(axes)
        sweep_output.show(rows, varied, options.save)


def _row(candidate: Candidate, outcome: Outcome, data: list[str]) -> dict[str, Any]:
    told = {name: value for name, value in asdict(outcome).items() if name != "final"}
    command = shlex.join(["pybackprop", "train", *data, *grid.train_options(candidate.given)])
    score = {"score": outcome.score, "measure": None if outcome.error else outcome.measure}
    return {**score, **told, "given": dict(candidate.given), "settings": asdict(candidate.settings), "train": command}


def _data_options(options: argparse.Namespace) -> list[str]:
    """The options with which `train` reads the same data."""
    given = {"data": options.data, **asdict(choices_of(options))}
    return [f"--{name}={value}" for name, value in given.items() if value is not None]
