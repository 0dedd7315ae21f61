"""Training many candidates, each as `Trainer` does: in this process, in processes of joblib's, or on a Dask cluster.

joblib is loaded where several processes are asked for, and dask where a scheduler is.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core import parent
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DivergedError
from pybackprop.core.settings import using_threads
from pybackprop.core.version import __version__
from pybackprop.data import Description, Samples, Split
from pybackprop.train.trainer import Settings, Trainer

CONNECTS = 10.0  # seconds in which a scheduler answers
RESUMES = "start others and the sweep again, which goes on where it was if it has a --state"
NO_JOBLIB = "needs joblib: pip install 'pybackprop[sweep]', or train in this process alone: --jobs 1"
NO_DASK = "needs dask and joblib: pip install 'pybackprop[dask]', or leave --scheduler out"

Contents = tuple[dict[str, Array], dict[str, Any]]  # what a checkpoint holds: arrays and meta


@dataclass(frozen=True)
class Outcome:
    """What a training came to; after an error all other fields but `seconds` are None.

    loss       of the last epoch;  valid_loss, accuracy, r2: on the validation part
    seconds    in training steps;  digest: sha256 of the parameters
    final      whether the same training would come to the same again
    """

    loss: float | None = None
    valid_loss: float | None = None
    accuracy: float | None = None
    r2: float | None = None
    seconds: float = 0.0
    digest: str | None = None
    error: str | None = None
    final: bool = True

    @property
    def score(self) -> float | None:
        """What candidates are ranked by, the larger the better; None after an error, and for NaN."""
        for value in (self.accuracy, self.r2):
            if value is not None and not math.isnan(value):
                return value
        loss = self.loss if self.valid_loss is None else self.valid_loss
        return None if loss is None or math.isnan(loss) else -loss

    @property
    def measure(self) -> str:
        """What the score is."""
        if self.accuracy is not None:
            return "accuracy"
        return "r2" if self.r2 is not None else "-loss"


class Task(NamedTuple):
    """A candidate: its place among all, and its settings."""

    place: int
    settings: Settings


class Done(NamedTuple):
    """A trained candidate; contents: of its checkpoint, if they were asked for and there was no error."""

    place: int
    outcome: Outcome
    contents: Contents | None


def train(task: Task, samples: Samples, keep: bool = False) -> Done:
    """Trains a candidate. keep: with the contents of its checkpoint.

    A training that diverges or does not fit into memory is an outcome too.
    """
    try:
        trainer = Trainer(task.settings, *samples)
        while trainer.epoch < task.settings.epochs:
            trainer.run_epoch()
    except DivergedError as error:
        return Done(task.place, Outcome(error=str(error)), None)
    except MemoryError as error:
        return Done(task.place, Outcome(error=str(error) or "out of memory", final=False), None)
    outcome = Outcome(
        trainer.losses[-1],
        trainer.valid_loss(),
        trainer.accuracies[-1],
        trainer.r2(),
        trainer.seconds,
        trainer.digest(),
    )
    return Done(task.place, outcome, trainer.contents() if keep else None)


Outcomes = Generator[Done, None, None]


# ---- where ----


def here(tasks: Iterable[Task], samples: Mapping[str, Samples], keep: bool) -> Outcomes:
    """Trains one after another in this process."""
    for task in tasks:
        yield train(task, samples[task.settings.dtype], keep)


def in_processes(
    tasks: Sequence[Task], samples: Mapping[str, Samples], keep: bool, jobs: int, threads: int = 1
) -> Outcomes:
    """Trains in so many processes of joblib's loky, each with so many threads; in the order in which they end.

    Ctrl-C is this process's alone; the others end with it. Raises ValueError without joblib.
    """
    yield from _parallel(tasks, samples, keep, threads, os.getpid(), backend="loky", n_jobs=jobs)


def on_dask(
    tasks: Sequence[Task], samples: Mapping[str, Samples], keep: bool, scheduler: str, threads: int = 1
) -> Outcomes:
    """Trains on the workers of a Dask scheduler, each with so many threads; in the order in which they end.

    What a worker that dies was training is trained by another one. Raises ValueError without dask and for workers that
    have no or another version of this library, OSError for a scheduler that does not answer or has no workers, and
    where those that held the data died.
    """
    try:
        import joblib  # noqa: F401
        from dask.distributed import CancelledError, Client, KilledWorker
    except ImportError as error:
        raise ValueError(f"--scheduler: {NO_DASK} ({error})") from None
    with ExitStack() as stack:
        try:
            client = stack.enter_context(Client(scheduler, timeout=CONNECTS))  # type: ignore[no-untyped-call]
            client.wait_for_workers(1, timeout=CONNECTS)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise OSError(f"--scheduler: {scheduler}: {str(error) or 'no workers'}; is it running?") from error
        _check_versions(client.run(_version, on_error="return"))
        try:
            yield from _parallel(tasks, samples, keep, threads, None, backend="dask", client=client)
        except (KilledWorker, CancelledError) as error:
            died = f"workers died, and what they held is lost ({type(error).__name__})"
            raise OSError(f"--scheduler: {scheduler}: {died}; {RESUMES}") from error


def _version() -> str:
    return __version__


def _check_versions(found: Mapping[str, Any]) -> None:
    for worker, version in found.items():
        if version != __version__:
            told = f"found {version}" if isinstance(version, str) else f"{type(version).__name__}: {version}"
            raise ValueError(
                f"--scheduler: worker {worker}: {told}, expected pybackprop {__version__}; install it there"
            )


def _parallel(
    tasks: Sequence[Task], samples: Mapping[str, Samples], keep: bool, threads: int, starter: int | None, **backend: Any
) -> Outcomes:
    try:
        import joblib
    except ImportError as error:
        raise ValueError(f"--jobs: {NO_JOBLIB} ({error})") from None
    calls = (
        joblib.delayed(_train_there)(task, keep, threads, starter, samples[task.settings.dtype].description, *parts)
        for task in tasks
        for parts in [samples[task.settings.dtype].split]
    )
    with joblib.parallel_config(**backend):
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        found = None
        try:
            with _without_ctrl_c():
                found = parallel(calls)
            for done in found:  # noqa: UP028 - yield from would close it before what follows
                yield done
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of joblib, that candidates were interrupted
                if found is not None:
                    found.close()


def _train_there(
    task: Task, keep: bool, threads: int, starter: int | None, description: Description | None, *parts: Array
) -> Done:
    """Trains in another process. parts: those of a Split, as operands of their own, which joblib and dask share."""
    if starter is not None:
        _end_with(starter)
    split = Split(*map(np.asarray, parts))  # as memory, where joblib has mapped a file
    with using_threads(threads):
        return train(task, Samples(split, description), keep)  # type: ignore[arg-type]


_ending: set[int] = set()


def _end_with(process: int) -> None:
    """Ends this process with the one that started it, however that ended."""
    if os.getppid() != process:
        os._exit(1)
    if process not in _ending:
        _ending.add(process)
        threading.Thread(target=parent.end_after, args=(process,), daemon=True).start()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes that are started inside never get Ctrl-C; here it waits until the end of this.

    They ignore it since it is ignored here. It is blocked too, since else it would be lost.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


__all__ = ["Done", "Outcome", "Task", "here", "in_processes", "on_dask", "train"]
