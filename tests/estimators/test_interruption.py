"""Ctrl-C in an estimator's training: it ends between steps, and what was noted of its epochs agrees."""

import contextlib
import io
import itertools
import os
import signal
import sys
import threading
import warnings

import numpy as np
import pytest

from helpers.estimators import X, Y, estimator, parameters_of

pytest.importorskip("sklearn.neural_network")
import pybackprop as bp
from pybackprop.sklearn import MLPClassifier, MLPRegressor, stopping

KINDS = [MLPClassifier, MLPRegressor]


class Interrupts(io.StringIO):
    """Raises KeyboardInterrupt at the third line."""

    def write(self, text):
        if text.startswith("Iteration 3"):
            raise KeyboardInterrupt
        return super().write(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_ends_the_training_and_no_more(kind, early_stopping):
    fit = estimator(kind, max_iter=50, verbose=True, early_stopping=early_stopping, threads=1)
    bp.set_threads(2)
    with contextlib.redirect_stdout(Interrupts()), pytest.warns(UserWarning, match="Training interrupted by user"):
        assert fit.fit(X, Y) is fit
    assert bp.threads() == 2
    assert fit.n_iter_ == len(fit.loss_curve_) == 3
    assert np.isfinite(fit.predict(X)).all()
    if not early_stopping:
        fit.set_params(verbose=False).partial_fit(X, Y)
        whole = estimator(kind, n_iter_no_change=50)
        for _ in range(4):
            whole.partial_fit(X, Y, **({"classes": [0, 1]} if kind is MLPClassifier else {}))
        np.testing.assert_array_equal(parameters_of(fit), parameters_of(whole))


def test_a_signal_ends_the_training_between_steps(monkeypatch):
    """Also within an epoch of many steps."""
    note = stopping.Watch._note

    def starts_a_timer(watch, *arguments):
        if watch.estimator.n_iter_ == 0:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return note(watch, *arguments)

    monkeypatch.setattr(stopping.Watch, "_note", starts_a_timer)
    x = np.random.default_rng(0).standard_normal((20000, 100))
    fit = MLPRegressor((200,), batch_size=20, max_iter=10**6, n_iter_no_change=np.inf, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        fit.fit(x, x[:, 0])
    assert 0 < fit.n_iter_ == len(fit.loss_curve_) < 10**6
    assert np.isfinite(fit.predict(x)).all()


class StrikesAtLine:
    """A trace function that presses Ctrl-C at the n-th line that notes an epoch."""

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, arg):
        return self.line if frame.f_code.co_filename == stopping.__file__ and in_call(frame) else None

    def line(self, frame, event, arg):
        if event == "line":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return self.line


def in_call(frame):
    """Whether this is the call of a Watch after an epoch, or within it."""
    while frame is not None and frame.f_code is not stopping.Watch.__call__.__code__:
        frame = frame.f_back
    return frame is not None


def check_that_notes_agree(fit):
    assert fit.n_iter_ == len(fit.loss_curve_) == fit._epochs
    rows = len(X) if not fit.early_stopping else len(X) - round(len(X) * fit.validation_fraction)
    assert fit.t_ == fit.n_iter_ * rows
    if fit.n_iter_ == 0:
        return
    assert fit.loss_ == fit.loss_curve_[-1]
    if fit.early_stopping:
        assert len(fit.validation_scores_) == fit.n_iter_
        assert fit.best_validation_score_ == max(fit.validation_scores_)
    else:
        assert fit.best_loss_ == min(fit.loss_curve_)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_wherever_it_strikes_the_notes_of_the_epochs_agree(early_stopping):
    counts = set()
    for n in itertools.count(1):
        strikes = StrikesAtLine(n)
        fit = estimator(MLPRegressor, max_iter=3, solver="sgd", early_stopping=early_stopping)
        before = sys.gettrace()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            sys.settrace(strikes)
            try:
                fit.fit(X, Y)
            finally:
                sys.settrace(before)
        if strikes.left > 0:
            break
        assert "Training interrupted by user" in str(told[-1].message)
        check_that_notes_agree(fit)
        counts.add(fit.n_iter_)
    assert counts >= {1, 2, 3}
    assert n > 3 * 10  # lines of three epochs


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_before_the_training_it_leaves_the_estimator_as_it_was(monkeypatch):
    def strike(*_):
        raise KeyboardInterrupt

    fit = estimator(MLPRegressor).fit(X, Y)
    before = parameters_of(fit)
    monkeypatch.setattr(MLPRegressor, "_begin", strike)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(X[:, :2], Y)
    assert fit.n_features_in_ == 4
    np.testing.assert_array_equal(parameters_of(fit), before)
    assert fit.predict(X).shape == (60,)
