"""Threads, kernels, forks, environment: speed changes, bits do not."""

import json
import os
import threading

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.processes import python
from pybackprop.core import settings


def test_threads_can_be_set():
    bp.set_threads(1)
    assert bp.threads() == 1
    bp.set_threads(np.int64(3))
    assert bp.threads() == (3 if bp.info()["pool"] else 1)
    bp.set_threads(None)
    assert bp.threads() >= 1


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True, 10**9])
def test_a_wrong_number_of_threads_is_refused(count):
    before = bp.threads()
    with pytest.raises(ValueError, match="set_threads"):
        bp.set_threads(count)
    assert bp.threads() == before


def test_kernels_can_be_forced():
    assert bp.kernels()[0] == "generic"
    for name in bp.kernels():
        bp.use_kernel(name)
        assert bp.info()["kernel"] == name
    bp.use_kernel(None)
    assert bp.info()["kernel"] == bp.kernels()[-1]
    with pytest.raises(ValueError, match="generic"):
        bp.use_kernel("quantum")


def test_info_says_what_a_report_needs():
    info = bp.info()
    assert info["version"] == bp.__version__
    for key in ("cpu", "cores", "kernels", "kernel", "threads", "pool", "compiler", "numpy", "cffi", "python"):
        assert key in info
    json.dumps(info)


def test_the_environment_sets_threads_and_kernel():
    code = "import pybackprop as bp; i = bp.info(); print(i['kernel'], i['threads'], i['pool'])"
    said = python(code, PYBACKPROP_THREADS="3", PYBACKPROP_KERNEL="generic").stdout.split()
    assert said[0] == "generic"
    assert said[1] == ("3" if said[2] != "None" else "1")


def test_tiles_can_be_set_and_change_no_bit(dtype, rng):
    a, b = rng.standard_normal((150, 700)).astype(dtype), rng.standard_normal((700, 90)).astype(dtype)
    expected = bp.reference.matmul(a, b)
    try:
        for block, depth in ((4096, 8), (20000, 125), (524288, 512), (4194304, 2048)):
            bp.set_tiles(block, depth)
            assert bp.tiles() == tuple(bp.info()["tiles"]) == (block, depth)
            assert_same_bits(bp.matmul(a, b).data, expected)
    finally:
        bp.set_tiles()
    assert bp.tiles()[0] >= 4096


@pytest.mark.parametrize("cut", [(0, 64), (4095, None), (None, 10**30), (1.5, None), (True, None), (-1, -1)])
def test_absurd_tiles_are_refused(cut):
    before = bp.tiles()
    with pytest.raises(ValueError, match="set_tiles"):
        bp.set_tiles(*cut)
    assert bp.tiles() == before


@pytest.mark.parametrize(
    ("text", "quota"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_a_containers_quota_limits_the_threads(tmp_path, monkeypatch, text, quota):
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(settings, "CGROUP", tmp_path / "cpu.max")
    assert settings.cpu_quota() == quota
    bp.set_threads(None)
    most = bp.threads()
    assert most <= (quota or most)
    monkeypatch.setattr(settings, "CGROUP", tmp_path / "none")
    assert settings.cpu_quota() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("THREADS", "many"), ("THREADS", "0"), ("KERNEL", "quantum"), ("TILES", "9"), ("TILES", "1,1"), ("TILES", "a,b")],
)
def test_a_wrong_environment_is_an_error_that_names_it(name, value):
    done = python("import pybackprop", **{f"PYBACKPROP_{name}": value})
    assert done.returncode != 0
    assert value in done.stderr.splitlines()[-1]


def test_import_brings_only_what_training_needs():
    names = ("rich", "torch", "matplotlib", "safetensors", "pybackprop.teach", "pybackprop.memory", "pybackprop.bench")
    code = f"import sys, pybackprop; print([m for m in {names} if m in sys.modules]); pybackprop.explain"
    assert python(code).stdout.strip() == "[]"


def test_everything_public_is_there():
    for name in bp.__all__:
        assert getattr(bp, name) is not None
        assert name in dir(bp)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = bp.no_such_name


def train(seed, results):
    rng = np.random.default_rng(seed)
    x, targ = rng.standard_normal((700, 20)).astype(np.float32), rng.standard_normal((700, 5)).astype(np.float32)
    model = bp.mlp([20, 60, 5], seed=seed)
    sgd = bp.SGD(model, lr=0.05, momentum=0.9)
    for _ in range(40):
        model(x, targ)
        model.backward()
        sgd.step()
    results[seed] = [p.data for p in model.parameters()]


def test_python_threads_train_their_own_models_at_once():
    bp.set_threads(2)
    alone, together = {}, {}
    for seed in range(4):
        train(seed, alone)
    workers = [threading.Thread(target=train, args=(seed, together)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed in range(4):
        for a, b in zip(alone[seed], together[seed], strict=True):
            assert_same_bits(a, b)


def test_the_interpreter_lock_is_released_in_c():
    """A Python thread goes on counting while C multiplies."""
    a = np.ones((800, 800))
    bp.use_kernel("generic")
    bp.set_threads(1)
    counts, done = [0], threading.Event()

    def count():
        while not done.wait(0.001):
            counts[0] += 1

    worker = threading.Thread(target=count)
    worker.start()
    try:
        for _ in range(20):  # a busy machine may not wake the counter during one of them
            before = counts[0]
            bp.matmul(a, a)
            during = counts[0] - before
            if during > 5:
                break
    finally:
        done.set()
        worker.join()
    assert during > 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes_the_same_bits():
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pybackprop as bp
bp.set_threads(3)
a = np.random.default_rng(0).standard_normal((800, 300))
expected = bp.matmul(a, a.T).data.tobytes()
child = os.fork()
same = bp.matmul(a, a.T).data.tobytes() == expected
if child == 0:
    os._exit(0 if same and bp.threads() == (3 if bp.info()["pool"] else 1) else 1)
sys.exit(0 if same and os.waitpid(child, 0)[1] == 0 else 1)
"""
    assert python(code).returncode == 0


def test_threadpoolctl_sees_our_pool():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    if not bp.info()["pool"]:
        pytest.skip("a serial build has no pool")
    bp.set_threads(None)
    assert any(pool["internal_api"] == "pybackprop" for pool in threadpoolctl.threadpool_info())
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert bp.threads() == 1
