"""Fixtures that every test may use."""

import signal

import numpy as np
import pytest
from page_browser import Page, chromium
from twins import data, twins

import pybackprop as bp

# A shell starts what it runs in the background with SIGINT ignored, and so would be whoever is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

SETTINGS = [(kernel, threads) for kernel in bp.kernels() for threads in (1, 3)]


@pytest.fixture(autouse=True)
def _own_settings():
    """Leaves kernel and threads as they were, whatever a test does to them."""
    kernel, threads = bp.info()["kernel"], bp.threads()
    yield
    bp.use_kernel(kernel)
    bp.set_threads(threads)


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
