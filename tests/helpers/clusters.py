"""Dask clusters of processes on this machine, for a test."""

import gc
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
def local_cluster(threads_per_worker=1):
    """Two worker processes; skips without dask."""
    distributed = pytest.importorskip("dask.distributed")
    options = {"n_workers": 2, "threads_per_worker": threads_per_worker, "dashboard_address": ":0"}
    with sockets_left_open(), distributed.LocalCluster(**options) as cluster:
        yield cluster
