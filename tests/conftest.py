"""Fixtures that every test may use, and how tests share the machine's processors."""

import os
import signal

# Here and in what tests start, an operation that may use several threads waits until each of them has begun: else one
# thread would do most of the work while tests keep the processors busy.
os.environ.setdefault("PYBACKPROP_INSIST", "1")
# Other libraries' threads that wait must sleep, not spin, with a process for each processor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest

pytest.register_assert_rewrite("helpers")

import pybackprop as bp
from helpers.compile_c import Builds
from helpers.page_browser import Page, chromium
from helpers.twins import data, twins
from pybackprop.core import settings

# A shell starts what it runs in the background with SIGINT ignored, and so would be whoever is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

SETTINGS = [(kernel, threads) for kernel in bp.kernels() for threads in (1, 3)]


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config):
    """One process per processor that may be used; none beside this one for tests that are named one by one."""
    named = all("::" in argument for argument in config.args)
    return 0 if named else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def pytest_collection_modifyitems(config, items):
    """PYBACKPROP_SHARE=K/N keeps every N-th test from the K-th on, so that a long kind can run in turns, day by day."""
    share = os.environ.get("PYBACKPROP_SHARE")
    if share:
        first, of = map(int, share.split("/"))
        chosen, others = items[first::of], [item for k, item in enumerate(items) if k % of != first]
        config.hook.pytest_deselected(items=others)
        items[:] = chosen


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder of this run that all its processes have in common."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def builds(shared_folder):
    """C programs, each built once in a run."""
    return Builds(shared_folder)


@pytest.fixture(autouse=True)
def _own_settings():
    """Leaves kernel and threads as they were, whatever a test does to them."""
    kernel, threads = settings.kernel(), bp.threads()
    yield
    bp.use_kernel(kernel)
    bp.set_threads(threads)


@pytest.fixture
def usual_tiles(monkeypatch):
    """The blocks of a CPU with 512 KiB of cache for each core, here and in processes: what a product packs."""
    monkeypatch.setenv("PYBACKPROP_TILES", "524288,288")
    bp.set_tiles(524288, 288)
    yield
    bp.set_tiles()


@pytest.fixture(params=SETTINGS, ids=lambda setting: f"{setting[0]}-{setting[1]}")
def each_setting(request):
    """Every kernel that this CPU has, on one thread and on several."""
    bp.use_kernel(request.param[0])
    bp.set_threads(request.param[1])
    return request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["f32", "f64"])
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20240501)


# ---- a Model, its ordinary twin, and data for them; modules with other needs have their own ----


@pytest.fixture
def pair(rng):
    return twins(rng)


@pytest.fixture
def x(rng):
    return data(rng)[0]


@pytest.fixture
def targ(rng):
    return rng.standard_normal((6, 2)).astype(np.float32)


# ---- a browser ----


@pytest.fixture(scope="session")
def driver():
    """A headless Chromium for all tests of the page."""
    with chromium() as driver:
        yield driver


@pytest.fixture
def page(driver, tmp_path):
    """A page to open; after the test it must have logged nothing and asked for nothing but itself."""
    page = Page(driver, tmp_path)
    driver.get("about:blank")
    page.forget()
    yield page
    assert any(url.startswith("file:") for url in page.check())
