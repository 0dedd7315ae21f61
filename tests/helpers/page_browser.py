"""A headless Chromium that shows pages, for tests: what a reader does, and what the page computed."""

import base64
import json
import os
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pybackprop.teach.page import html as teach_page

REQUIRED = os.environ.get("PYBACKPROP_BROWSER") == "1"
PROGRAMS = {"browser": ("chromium", "chromium-browser", "google-chrome"), "driver": ("chromedriver",)}
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
)  # fmt: skip
MINUS, TIMES = "\u2212", "\u00d7"  # as the page writes them
WAIT = 60  # seconds for what takes a fraction of one on an idle machine


def _missing(what):
    reason = f"{what} is not here; the browser tests need pip install 'pybackprop[browser]', chromium and chromedriver"
    pytest.fail(reason) if REQUIRED else pytest.skip(reason, allow_module_level=True)


def _program(kind):
    found = next(filter(None, map(shutil.which, PROGRAMS[kind])), None)
    return found or _missing(kind)


@contextmanager
def chromium():
    """A driver of a browser of its own, with nothing kept from another."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        _missing("selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = _program("browser")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(executable_path=_program("driver")))
        try:
            driver.set_script_timeout(WAIT)
            yield driver
        finally:
            driver.quit()


@contextmanager
def served(scene):
    """A server of a page, in a thread of its own."""
    with teach_page.server_of(scene) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Page:
    """One page in the browser. Matrices go by name; gradient=True means the one of the gradients."""

    def __init__(self, driver, folder):
        self.driver, self.folder, self.count = driver, Path(folder), 0
        self.own = [self.folder.as_uri(), "data:", "about:"]  # how the addresses begin that a page may ask for

    # ---- opening ----

    def open(self, scene, fragment="", width=1280, height=900, **features):
        """features: media features to emulate, e.g. prefers_color_scheme="dark"."""
        self.resize(width, height)
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        self.count += 1
        path = self.folder / f"page{self.count}.html"
        teach_page.write(path, scene)
        self.driver.get(f"{path.as_uri()}{fragment}")
        self.wait_for_start()
        return self

    def wait_for_start(self):
        """Until the page stands: unpacking large tensors goes on after it was loaded."""
        assert self.until(lambda: self.js("return Boolean(globalThis.pybackprop?.app)"))

    def resize(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def go(self, fragment):
        """Changes the fragment as a reader does who edits the address."""
        self.js("location.hash = arguments[0]", fragment)
        self.settle()

    def settle(self):
        """Waits until the browser has drawn what was asked for."""
        self.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => setTimeout(done))")

    def until(self, condition):
        """Waits until condition() is true; its last value."""
        end = time.monotonic() + WAIT
        while not (found := condition()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def cpu_seconds(self):
        """What the page's thread has used of the processor, whoever else uses it."""
        self.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        metrics = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    # ---- looking ----

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0]).textContent", selector)

    def number(self, selector):
        return float(self.text(selector).replace(MINUS, "-"))

    def fragment(self):
        return self.js("return location.hash")

    def grid(self, name, gradient=False):
        return self.in_matrix(name, gradient, ".grid")

    def cell(self, name, row, column, gradient=False):
        return self.in_matrix(name, gradient, f"[id$='-{row}-{column}']")

    def in_matrix(self, name, gradient, selector):
        return self.js(
            """const fits = [...document.querySelectorAll(".matrix")].filter(m => m.dataset.tensor === arguments[0]);
            return fits[Number(arguments[1])].querySelector(arguments[2]);""",
            name, gradient, selector,
        )  # fmt: skip

    def marked(self, name, kind, gradient=False):
        """[row, column] of the cells in sight that look like that."""
        cells = self.grid(name, gradient).find_elements("css selector", f".{kind}")
        return [[int(k) for k in cell.get_attribute("id").split("-")[-2:]] for cell in cells]

    def chosen(self):
        return self.text("#element-name")

    def numbers(self, code):
        """An array that the page computed; NaN and infinities survive the way here."""
        return np.array(
            [float(text.replace("Infinity", "inf")) for text in self.js(f"return Array.from({code}, String)")]
        )

    def values(self, name):
        return self.numbers(f"pybackprop.app.run.values.get({json.dumps(name)})")

    def bits(self, code):
        """The bytes of a typed array of the page, in hexadecimal."""
        return self.js(
            f"return Array.from(new Uint8Array(({code}).buffer), byte => byte.toString(16).padStart(2, '0')).join('')"
        )

    def grads(self, name):
        return self.numbers(f"pybackprop.app.run.grads.get({json.dumps(name)})")

    # ---- doing ----

    def press(self, *keys):
        from selenium.webdriver.common.keys import Keys

        names = [getattr(Keys, key.upper()) if len(key) > 1 else key for key in keys]
        for key in names:
            self.driver.switch_to.active_element.send_keys(key)
        self.settle()

    def click(self, target):
        (self.find(target) if isinstance(target, str) else target).click()
        self.settle()

    def drag(self, element, by, steps=6):
        """Presses the mouse on an element and moves it sideways by so many pixels."""
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.driver, duration=10).move_to_element(element).click_and_hold()
        for _ in range(steps):
            chain.move_by_offset(by / steps, 0)
        chain.release().perform()
        self.settle()

    # ---- judging ----

    def forget(self):
        """Empties the logs."""
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)

    def check(self):
        """Raises where the page logged anything or asked for anything but itself."""
        logged = [entry["message"] for entry in self.driver.get_log("browser")]
        assert not logged, logged
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        foreign = [url for url in asked if not url.startswith(tuple(self.own))]
        assert not foreign, foreign
        return asked

    def screenshot(self, name):
        """The whole page as a picture in the folder PYBACKPROP_SCREENSHOTS, or that of the test."""
        folder = Path(os.environ.get("PYBACKPROP_SCREENSHOTS") or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        options = {"captureBeyondViewport": True, "clip": clip}
        made = base64.b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"])
        (folder / f"{name}.png").write_bytes(made)
        return made
