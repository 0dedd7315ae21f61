"""Programs on several ranks of MPI, as mpiexec starts them."""

import os
import shutil
import subprocess
import sys
from functools import cache
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


@cache
def flags(command):
    """What an mpiexec needs for more ranks than processors, and for root. MPICH needs nothing."""
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return ["--oversubscribe", "--allow-run-as-root"] if "Open MPI" in version or "OpenRTE" in version else []


def start(ranks, *command, **options):
    """Starts a program on so many ranks."""
    environment = {**os.environ, "PYBACKPROP_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    environment.pop("PYBACKPROP_INSIST", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    line = [mpiexec(), *flags(mpiexec()), "-n", str(ranks), sys.executable, *map(str, command)]
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
