"""What fit returns: a list of Epochs with a short repr, a figure and a table."""

import copy
import io
import pickle

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.engine.history import History
from pybackprop.engine.records import Epoch


def epochs(losses, validations):
    return History(
        Epoch(k, loss, valid, 0.1, 0.5) for k, (loss, valid) in enumerate(zip(losses, validations, strict=True), 1)
    )


@pytest.fixture
def history(rng):
    x = rng.standard_normal((60, 4)).astype("f")
    plan = bp.compile(bp.mlp([4, 5, 1], seed=0), batch=16, optimizer=bp.SGD(lr=0.05))
    return plan.fit(x[:50], x[:50, :1], epochs=12, validation=(x[50:], x[50:, :1]))


def test_it_is_the_list_of_the_epochs(history):
    assert isinstance(history, list)
    assert [epoch.epoch for epoch in history] == list(range(1, 13))
    assert history == list(history)
    assert history[-1].loss < history[0].loss


def test_the_repr_is_short_and_says_how_it_went(history):
    text = repr(history)
    assert len(text.splitlines()) == 3
    assert len(text) < 200
    assert "12 epochs" in text
    assert f"{history[0].loss:.6g} → {history[-1].loss:.6g}" in text
    assert f"least {history.best.validation:.6g} in epoch {history.best.epoch}" in text


def test_the_repr_of_few():
    assert repr(History()) == "History of no epochs"
    assert repr(epochs([0.5], [None])) == "History of 1 epoch, 500 ms of steps\n    loss        0.5 → 0.5"


@pytest.mark.parametrize(
    ("losses", "validations", "best"),
    [
        ([3, 2, 1], [5, 4, 6], 2),
        ([3, 1, 2], [None, None, None], 2),
        ([3, 1, 2], [4.0, None, 3.0], 2),  # not all were validated
        ([3, 1, 1], [None, None, None], 2),
    ],
)
def test_the_best(losses, validations, best):
    assert epochs(losses, validations).best.epoch == best


def test_there_is_no_best_of_none():
    with pytest.raises(ValueError, match=r"history\.best: no epoch was done"):
        _ = History().best


def test_a_table(history):
    pytest.importorskip("pandas")
    frame = history.to_frame()
    assert list(frame.columns) == ["epoch", "loss", "validation", "lr", "seconds"]
    np.testing.assert_array_equal(frame["loss"], [epoch.loss for epoch in history])
    assert len(History().to_frame()) == 0


def test_a_figure(history):
    pytest.importorskip("matplotlib")
    figure = history.plot()
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["training loss", "validation loss"]
    np.testing.assert_array_equal(lines[1].get_ydata(), [epoch.validation for epoch in history])
    written = io.BytesIO()
    figure.savefig(written, format="png")
    assert written.getvalue().startswith(b"\x89PNG")


def test_what_is_missing_is_named(monkeypatch, history):
    for name in ("pandas", "matplotlib"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ImportError, match=r"history\.to_frame: needs pandas; pip install 'pybackprop\[tables\]'"):
        history.to_frame()
    with pytest.raises(ImportError, match=r"history\.plot: needs matplotlib; pip install 'pybackprop\[plot\]'"):
        history.plot()


def test_copies(history):
    for one in (copy.deepcopy(history), pickle.loads(pickle.dumps(history)), history.copy()):
        assert one == history
    assert type(copy.deepcopy(history)) is History
