"""`--mpi`: a command that all ranks of an MPI program run together. mpi4py is loaded here, and only if asked for."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from pybackprop.core import settings
from pybackprop.core.printable import printable

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE")  # what MPICH, Open MPI and others tell a process of its group
PATIENCE = 3.0  # seconds in which all ranks fail, if they fail for the same reason


def communicator(asked: bool) -> Any:
    """All ranks of the program, those of one machine with their share of its processors; None if nobody asked.

    Raises ValueError without mpi4py, and for several ranks of which nobody asked for `--mpi`.
    """
    sizes = [int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()]
    ranks = max(sizes, default=1)
    if not asked:
        if ranks > 1:
            raise ValueError(
                f"started as one of {ranks} ranks, but without --mpi each of them would do all of the work, and write "
                "the same files; add --mpi, or start one process"
            )
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ValueError(f"--mpi: needs mpi4py and an MPI; pip install 'pybackprop[mpi]' ({error})") from None
    if "OMP_NUM_THREADS" not in os.environ and "PYBACKPROP_THREADS" not in os.environ:
        here = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED).Get_size()
        settings.set_threads(max(1, settings.threads() // here))
    return MPI.COMM_WORLD


def share_stdin(comm: Any) -> None:
    """Gives rank 0's stdin, which mpiexec connects to its own, to all ranks.

    Raises ValueError with Open MPI, whose mpiexec 5 does not say where stdin ends: reading it would never return.
    """
    from mpi4py import MPI

    if MPI.get_vendor()[0] == "Open MPI":
        raise ValueError("--mpi --data -: Open MPI's mpiexec does not say where stdin ends; write the data to a file")
    content = comm.bcast(sys.stdin.buffer.read() if comm.Get_rank() == 0 else None)
    sys.stdin = io.TextIOWrapper(io.BytesIO(content))


def together(comm: Any, run: Callable[[], int]) -> int:
    """Runs a command on every rank; its exit code.

    If all ranks fail, rank 0 says why, once. If only some do, one of them says why and ends the others.
    """
    try:
        return run()
    except Exception as error:
        failed = f"pybackprop: rank {comm.Get_rank()} of {comm.Get_size()}: {type(error).__name__}: {error}"
        if not _all_here(comm):
            print(printable(failed), file=sys.stderr, flush=True)
            comm.Abort(1)
        if comm.Get_rank() == 0:
            raise
        return 1


def _all_here(comm: Any) -> bool:
    """Whether all ranks come here soon."""
    request, until = comm.Ibarrier(), time.monotonic() + PATIENCE
    while not request.Test():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
