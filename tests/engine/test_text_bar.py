"""Progress in a notebook: a bar of text that is rewritten in place, without widgets and without a warning."""

import sys
import types

import numpy as np
import pytest

import pybackprop as bp


class Handle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, data, raw):
        self.shown.append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch):
    """Pretends to be a notebook's kernel; what it showed."""
    shown = []

    def display(data, raw, display_id):
        shown.append(data["text/plain"])
        return Handle(shown)

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


def fit(epochs=4, done=0):
    x = np.ones((20, 3), "f")
    plan = bp.compile(bp.mlp([3, 1]), batch=8, optimizer=bp.SGD(lr=0.01))
    return plan.fit(x, x[:, :1], epochs=epochs, done=done, progress=True, validation=(x, x[:, :1]))


def test_it_fills_and_says_the_losses(notebook, capfd):
    history = fit()
    assert notebook[0] == "epoch 0/4 " + "░" * 30
    ends = [line for line in notebook if "loss" in line]
    assert [line.count("█") for line in ends] == [7, 15, 22, 30]
    assert notebook[-1].endswith(f"loss {history[-1].loss:.5f}  validation {history[-1].validation:.5f}")
    assert notebook[-1].startswith("epoch 4/4")
    assert capfd.readouterr() == ("", "")


def test_it_goes_on_after_earlier_epochs(notebook):
    fit(epochs=4, done=2)
    assert notebook[0].startswith("epoch 2/4 " + "█" * 15 + "░")


def test_no_epochs(notebook):
    fit(epochs=0)
    assert notebook == ["epoch 0/0 " + "█" * 30]


def test_a_terminal_of_ipython_is_no_notebook(notebook, monkeypatch):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace())
    fit()
    assert not notebook


def test_figures_show_without_pyplot():
    pytest.importorskip("matplotlib")
    figures = fit().plot(), bp.mlp([3, 1]).memory(batch=2).plot()
    assert all(figure._repr_png_().startswith(b"\x89PNG") for figure in figures)
