"""Programs on several ranks of MPI, as mpiexec starts them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def mpiexec():
    """The command; skips the test where there is no MPI."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("there is no mpiexec")
    return found


def start(ranks, *command, **options):
    """Starts a program on so many ranks."""
    own = {"OMP_WAIT_POLICY": "passive", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environment = {**os.environ, "PYBACKPROP_THREADS": "1", **own}
    environment.pop("PYBACKPROP_INSIST", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    line = [mpiexec(), "-n", str(ranks), sys.executable, *map(str, command)]
    return subprocess.Popen(line, env=environment, start_new_session=True, **pipes, **options)


def run(ranks, *command, timeout=120, **options):
    """(exit code, stdout, stderr) of a program on so many ranks."""
    process = start(ranks, *command, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def children(process):
    """The processes of the ranks, in no order."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()[1:]]
    family = {process.pid}
    for _ in range(4):
        family |= {int(pid) for pid, parent, _ in rows if int(parent) in family}
    return [int(pid) for pid, _, args in rows if int(pid) in family and args.startswith(sys.executable)]
