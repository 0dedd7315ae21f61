"""What a test runs on several ranks: a fit from rows on disk, by all ranks and by one process."""

import hashlib
import json
import sys
import time

import numpy as np
from mpi4py import MPI

import pybackprop as bp
from pybackprop.engine import fit
from pybackprop.train.checkpoint import digest


def trained(comm, folder, **options):
    model = bp.mlp([6, 9, 2], seed=1)
    plan = bp.compile(model, batch=700, optimizer=bp.Adam(lr=0.01), comm=comm)
    rows = bp.data.open(folder, window=2)
    history = plan.fit(rows, epochs=3, seed=4, schedule=bp.CosineLR(0.02), **options)
    return [
        [e.loss for e in history],
        [e.validation for e in history],
        hashlib.sha256(plan.predict(rows).data.tobytes()).hexdigest(),
        digest({p.name: p.data for p in plan.model.parameters()}),
    ]


def loaded(comm):
    """Losses by a loader, with a callback that takes each rank another time."""
    x = np.random.default_rng(0).standard_normal((2000, 6)).astype("f")
    batches = [(x[k : k + 50], x[k : k + 50, :2]) for k in range(0, 2000, 50)]
    plan = bp.compile(bp.mlp([6, 9, 2], seed=1), batch=50, optimizer=bp.SGD(lr=0.01), comm=comm)
    rank = MPI.COMM_WORLD.Get_rank()
    return [e.loss for e in plan.fit(batches, epochs=2, callback=lambda moment: time.sleep(0.0007 * rank))]


def main():
    comm, folder, what = MPI.COMM_WORLD, sys.argv[1], sys.argv[2]
    if what == "same":
        options = {"validation": bp.data.open(folder), "progress": True}
        fit.SLICE = 0.0
        told = [trained(comm, folder, **options), trained(None, folder, **options)]
    elif what == "loader":
        fit.SLICE = 0.001
        told = [loaded(comm), loaded(None)]
    else:
        if comm.Get_rank() == comm.Get_size() - 1:  # its disk fails
            from pybackprop.data.stored import NpzBlock

            def fail(self, into):
                raise bp.data.DataError(f"{self.path}: cannot be read: Input/output error")

            NpzBlock.read = fail
        try:
            told = trained(comm, folder)
        except (bp.RankError, bp.data.DataError) as error:
            told = f"{type(error).__name__}: {error}"
    lines = comm.gather(json.dumps(told))
    if comm.Get_rank() == 0:
        print("\n".join(lines))


main()
