"""Engine: the base class of the engines, and the list of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pybackprop.bench.workloads import NETWORKS, Workload
from pybackprop.core.arrays import Array

Call: TypeAlias = Callable[[], Any]

EAGER = (
    "matmul",
    "forward",
    "backward_w",
    "backward_x",
    "step",
    "update",
    "loss",
)  # kinds of workloads that are one call


class Engine:
    """Runs workloads in its own process.

    A subclass has a method for each kind of workload that it supports. It takes the data by name, prepares what it can,
    sets `results`, and returns a callable that runs the workload once; `results` then gives what was computed.
    """

    results: Callable[[], Mapping[str, Any]]
    last: Any = None  # for engines whose calls return what they computed

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def prepare(self, workload: Workload, data: Mapping[str, Array]) -> Call:
        """The callable that runs the workload once. Raises AttributeError if this engine does not support it."""
        more = {"batch": workload.batch} if workload.batch else {}
        call: Call = getattr(self, workload.kind)(**data, **more)
        return call

    def result(self) -> dict[str, Array]:
        """What the last call computed, by name: out; dw; dx; loss, w1.g, b1.g, w2.g, b2.g and so on.

        An update gives p, m and v; a loss its value and dout.
        """
        return {name: np.asarray(value) for name, value in self.results().items()}

    def forget(self) -> None:
        """Frees the last workload's arrays."""
        vars(self).pop("results", None)
        self.last = None

    def follow(self) -> bool:
        """Whether this process only helps another one, that the bench speaks with; returns when that has ended."""
        return False

    def close(self) -> None:
        """Lets go of what is not this process's alone."""

    def about(self) -> dict[str, Any]:
        """Its settings, for the report; "blas": the library that multiplies its matrices."""
        return {}


@dataclass(frozen=True)
class Entry:
    """An available engine. package: what must be installed. where: 'module:class'.

    ours: whether it is one of this library; the others are the peers that it is compared with.
    kinds, groups: of the workloads that it supports; empty: all.
    on_ranks: whether mpiexec starts it, as many ranks as there are threads.
    """

    name: str
    package: str
    where: str
    ours: bool = False
    kinds: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    on_ranks: bool = False

    def missing(self) -> bool:
        return util.find_spec(self.package) is None or (self.on_ranks and mpiexec() is None)

    def version(self) -> str:
        return metadata.version({"sklearn": "scikit-learn"}.get(self.package, self.package))

    def does(self, workload: Workload) -> bool:
        fits = not self.groups or workload.group in self.groups
        return fits and (not self.kinds or workload.kind in self.kinds)


ENTRIES = (
    Entry("numpy", "numpy", "pybackprop.bench.engines.numpy:Numpy", kinds=EAGER),
    Entry("pybackprop", "pybackprop", "pybackprop.bench.engines.pybackprop:Pybackprop", ours=True, kinds=EAGER),
    Entry("plan", "pybackprop", "pybackprop.bench.engines.pybackprop:Planned", ours=True, kinds=NETWORKS),
    Entry(
        "one-pass",
        "pybackprop",
        "pybackprop.bench.engines.pybackprop:OnePass",
        ours=True,
        kinds=("loss",),
    ),
    Entry("torch", "torch", "pybackprop.bench.engines.torch:Torch"),
    Entry("autograd", "torch", "pybackprop.bench.engines.torch:Autograd", kinds=("loss",)),
    Entry("jax", "jax", "pybackprop.bench.engines.jax:Jax", kinds=EAGER),
    Entry("sklearn", "sklearn", "pybackprop.bench.engines.sklearn:Sklearn", kinds=("epoch", "classify")),
    Entry("estimator", "sklearn", "pybackprop.bench.engines.estimator:Estimator", ours=True, kinds=("classify",)),
    Entry(
        "ranks",
        "mpi4py",
        "pybackprop.bench.engines.ranks:Ranks",
        ours=True,
        kinds=("step",),
        groups=("ranks",),
        on_ranks=True,
    ),
)


def mpiexec() -> str | None:
    """The command that starts ranks: the one beside Python, or the system's."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def load(where: str, threads: int) -> Engine:
    """The engine; imports its package."""
    module, name = where.split(":")
    engine: Engine = getattr(import_module(module), name)(threads)
    return engine


def named_gradients(parameters: Iterable[str], gradients: Iterable[Any]) -> dict[str, Any]:
    """The gradients by the names used in results: w1.g, b1.g, ..."""
    return {f"{name}.g": g for name, g in zip(parameters, gradients, strict=True)}


def pools() -> list[dict[str, Any]]:
    """The thread pools in this process, with the kernels of BLAS; empty without threadpoolctl."""
    try:
        info: list[dict[str, Any]] = import_module("threadpoolctl").threadpool_info()
    except ImportError:
        return []
    return info
