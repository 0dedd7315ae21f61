"""When an estimator's training stops, and what its epochs leave in its attributes: scikit-learn's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.core.interrupt import Deferred
from pybackprop.engine.records import Epoch
from pybackprop.sklearn.network import Network


class Watch:
    """Called by fit after each epoch; True stops the training.

    estimator  whose loss_, loss_curve_, best_loss_, validation_scores_, n_iter_ and t_ it keeps
    score      of the held-out rows; None without early stopping
    rows       in an epoch
    best       the parameters with the best score so far; None without early stopping
    converged  whether the training stopped because it no longer improved
    """

    def __init__(self, estimator: Any, network: Network, score: Callable[[], float] | None, rows: int) -> None:
        self.estimator, self.network, self.score = estimator, network, score
        self.rows = rows
        self.best: Any = None if score is None else network.state()
        if (score is None) is not (estimator.validation_scores_ is None):
            forget_best(estimator)
        self.converged = False

    def __call__(self, epoch: Epoch) -> bool:
        score = None if self.score is None else self.score()
        with Deferred():  # else n_iter_ may count an epoch that the curves lack
            return self._note(epoch, score)

    def _note(self, epoch: Epoch, score: float | None) -> bool:
        """Keeps what an epoch left; whether the training stops."""
        of = self.estimator
        of.n_iter_ += 1
        of.t_ += self.rows
        of.loss_ = epoch.loss * self.network.loss_scale + self.network.penalty()
        of.loss_curve_.append(of.loss_)
        if of.verbose:
            print(f"Iteration {of.n_iter_}, loss = {of.loss_:.8f}")
        improved = self._lower() if score is None else self._validated(score)
        of._no_improvement_count = 0 if improved else of._no_improvement_count + 1
        if of.solver == "sgd" and of.learning_rate == "invscaling":
            self.network.set_rate(of.learning_rate_init / (of.t_ + 1) ** of.power_t)
        return of._no_improvement_count > of.n_iter_no_change and self._is_enough()

    def _lower(self) -> bool:
        """Whether the loss fell by at least tol."""
        of = self.estimator
        improved = of.loss_ <= of.best_loss_ - of.tol
        of.best_loss_ = min(of.best_loss_, of.loss_)
        return bool(improved)

    def _validated(self, score: float) -> bool:
        """Whether the score rose by at least tol."""
        of = self.estimator
        of.validation_scores_.append(score)
        if of.verbose:
            print(f"Validation score: {score:f}")
        improved = score >= of.best_validation_score_ + of.tol
        if score > of.best_validation_score_:
            of.best_validation_score_, self.best = score, self.network.state()
        return bool(improved)

    def _is_enough(self) -> bool:
        """Stops, or with an adaptive rate goes on with a fifth of it, until that is tiny."""
        of = self.estimator
        what = "Validation score" if self.score is not None else "Training loss"
        message = f"{what} did not improve more than tol={of.tol:f} for {of.n_iter_no_change} consecutive epochs."
        optimizer = self.network.optimizer
        assert optimizer is not None
        lr = optimizer.lr * self.network.scale
        adapts = of.solver == "sgd" and of.learning_rate == "adaptive"
        if adapts and lr > SMALLEST_RATE:
            self.network.set_rate(lr / 5)
            of._no_improvement_count = 0
            if of.verbose:
                print(f"{message} Setting learning rate to {lr / 5:f}")
            return False
        if of.verbose:
            print(f"{message} {'Learning rate too small. ' if adapts else ''}Stopping.")
        self.converged = True
        return True

    def restore_best(self) -> None:
        """The parameters of the epoch with the best score."""
        if self.best is not None:
            with Deferred():
                self.network.restore(self.best)


SMALLEST_RATE = 1e-6


def begin(estimator: Any) -> None:
    """The attributes before the first epoch."""
    estimator.t_ = 0
    estimator.loss_curve_ = []
    forget_best(estimator)


def forget_best(estimator: Any) -> None:
    """The attributes of what was best, before there is anything, with or without early stopping."""
    estimator._no_improvement_count = 0
    early = estimator.early_stopping
    estimator.validation_scores_, estimator.best_loss_ = ([], None) if early else (None, np.inf)
    estimator.best_validation_score_ = -np.inf if early else None
