"""Errors show the frames of whoever called and of their own layers, and at most two in a row of the package's."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp

PACKAGE = str(Path(bp.__file__).parent)


def ours_and_others(error):
    """The functions in a traceback: those of the package, and the others."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f.name for f in frames if f.filename.startswith(PACKAGE)], [
        f.name for f in frames if f.filename == __file__
    ]


@pytest.fixture
def model():
    return bp.mlp([4, 5, 1])


X, TARG = np.ones((6, 4), "f"), np.ones((6, 1), "f")
CALLS = {
    "x": lambda m, p: m(X[:, 1:], TARG),
    "targ": lambda m, p: m(X, TARG[1:]),
    "object": lambda m, p: m(X, "text"),
    "predict": lambda m, p: m.predict(X[:, 1:]),
    "backward": lambda m, p: bp.mlp([4, 1]).backward(),
    "step": lambda m, p: p.step(X[:, 1:], TARG),
    "grads": lambda m, p: p.grads(X, TARG[1:]),
    "plan.predict": lambda m, p: p.predict(X[:, 1:]),
    "fit": lambda m, p: p.fit(X, TARG * np.nan, epochs=1),
    "validation": lambda m, p: p.fit(X, TARG, epochs=1, validation=(X, TARG[1:])),
    "loader": lambda m, p: p.fit([(X, TARG), 5], epochs=1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_at_most_a_few_frames_are_ours(model, call):
    plan = bp.compile(model, batch=8, optimizer=bp.SGD(lr=0.1))
    for _ in range(2):  # after a pass in one call, too
        with pytest.raises(Exception, match=": ") as caught:
            call(model, plan)
        ours, others = ours_and_others(caught.value)
        assert 1 <= len(ours) <= 3
        assert others[-1] == "<lambda>"
        model(X, TARG)


def test_frames_of_ones_own_layers_stay():
    def inner(_):
        raise KeyError("mine")

    def layer(inp):
        try:
            inner(inp)
        except KeyError as error:
            raise LookupError("layer: mine") from error

    model = bp.Model([bp.Lin(4, 2), layer, bp.relu])
    with pytest.raises(LookupError, match="layer: mine") as caught:
        model(X, TARG)
    ours, others = ours_and_others(caught.value)
    assert others[-1] == "layer"
    assert ours == ["__call__"]
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert [f.name for f in traceback.extract_tb(cause.__traceback__)] == ["layer", "inner"]


def test_frames_of_callbacks_stay(model):
    def watch(_):
        raise RuntimeError("watch: stop")

    plan = bp.compile(model, batch=8, optimizer=bp.SGD(lr=0.1))
    with pytest.raises(RuntimeError, match="watch") as caught:
        plan.fit(X, TARG, epochs=1, on_epoch=watch)
    ours, others = ours_and_others(caught.value)
    assert ours == ["fit"]
    assert others[-1] == "watch"


def test_all_frames_on_request():
    code = "import numpy as np, pybackprop as bp; bp.mlp([4, 5, 1])(np.ones((2, 3), 'f'), np.ones((2, 1), 'f'))"
    counts = []
    for setting in ("full", ""):
        environment = {**os.environ, "PYBACKPROP_TRACEBACK": setting}
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
        assert "ShapeError" in said.stderr
        counts.append(said.stderr.count('File "'))
    assert counts[0] > counts[1]
    assert counts[1] <= 3
