"""Dask clusters of processes on this machine, for a test."""

import gc
import json
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager

import pytest


@contextmanager
def sockets_left_open():
    """Dask leaves sockets to the garbage collector: they are collected here, not in a later test, which would fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


@contextmanager
def separate_cluster(folder, workers=2):
    """(the scheduler's address, the workers' processes), each a process of its own as a shell starts it."""
    pytest.importorskip("dask.distributed")
    told, quiet = folder / "scheduler.json", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    host = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(told))

    def start(name, *options):
        return subprocess.Popen([sys.executable, "-m", f"distributed.cli.dask_{name}", *options], **quiet)

    processes = [start("scheduler", *host, "--port", "0")]
    try:
        until = time.monotonic() + 60
        while not told.exists() and time.monotonic() < until:
            time.sleep(0.05)
        processes += [start("worker", *host, "--nthreads", "1", "--no-nanny") for _ in range(workers)]
        yield json.loads(told.read_text())["address"], processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


@contextmanager
def local_cluster(threads_per_worker=1):
    """Two worker processes; skips without dask."""
    distributed = pytest.importorskip("dask.distributed")
    options = {"n_workers": 2, "threads_per_worker": threads_per_worker, "dashboard_address": ":0"}
    with sockets_left_open(), distributed.LocalCluster(**options) as cluster:
        yield cluster
