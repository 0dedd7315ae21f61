"""BaseMLP: what the two estimators share: their parameters, and training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from pybackprop.core import settings
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DivergedError
from pybackprop.engine.model import Model
from pybackprop.sklearn.batches import in_order, without_idle
from pybackprop.sklearn.network import ACTIVATIONS, Network, Objective
from pybackprop.sklearn.stopping import Watch, begin

LARGEST_SEED = 2**31 - 1


class BaseMLP(BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron, trained by a plan. See MLPClassifier and MLPRegressor."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "solver": [StrOptions({"adam", "sgd"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "threads": [None, Interval(Integral, 1, settings.MOST_THREADS, closed="both")],
        "dtype": [
            None,
            StrOptions({"float32", "float64"}),
            Options(type, {np.float32, np.float64}),
            Options(np.dtype, {np.dtype(np.float32), np.dtype(np.float64)}),
        ],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        threads: int | None = None,
        dtype: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.threads = threads
        self.dtype = dtype

    # ---- what the estimators say of themselves ----

    def _targets(self, y: Any, dtype: np.dtype[Any], first: bool) -> tuple[Array, int, Objective]:
        """(targets of the model, the number of outputs, what is minimised) for a checked y."""
        raise NotImplementedError

    def _score_of(self, outputs: Array, y: Any, weight: Array | None) -> float:
        """The score of the model's outputs for rows that were held out."""
        raise NotImplementedError

    def _stratum(self, y: Any) -> Any:
        """What rows are held out in proportion to; None: nothing."""
        return None

    def _weights(self, sample_weight: Any, x: Any, y: Any) -> Array | None:
        """The rows' weights."""
        if sample_weight is None:
            return None
        weight: Array = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        return weight

    # ---- attributes ----

    @property
    def model_(self) -> Model:
        """The trained bp.Model: to look into, to save with bp.save, to go on with."""
        check_is_fitted(self)
        return self._network.model

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each layer (inputs, outputs). The model's own memory."""
        return [p.data for p in self._parameters()[::2]]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer (outputs,). The model's own memory."""
        return [p.data for p in self._parameters()[1::2]]

    def _parameters(self) -> list[Any]:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        parameters: list[Any] = self._network.parameters
        return parameters

    def __sklearn_is_fitted__(self) -> bool:
        return "_network" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- training ----

    def _fit(self, x: Any, y: Any, sample_weight: Any, epochs: int | None = None) -> None:
        """Trains until it stops; epochs: for so many epochs, as a continuation."""
        self._validate_params()
        continues = epochs is not None
        if continues and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not self.__sklearn_is_fitted__() or not (self.warm_start or continues)
        with _undone_by_errors(self):
            x, y = self._checked(x, y, first)
            targ, outputs, objective = self._targets(y, x.dtype, first)
            weight = self._weights(sample_weight, x, y)
            random = check_random_state(self.random_state)
            if first or not continues:
                self._seed = int(random.randint(LARGEST_SEED))
            held_out = None
            if self.early_stopping:
                x, targ, weight, held_out = self._hold_out(x, y, targ, weight, random)
            if weight is not None and not weight.any():
                raise ValueError("Sample weights must contain at least one non-zero number.")
            widths = [x.shape[1], *self._hidden(), outputs]
            if first:
                self._begin(widths, objective, x.dtype)
        batch = self._batch(x.shape[0])
        if weight is not None and not self.shuffle:
            x, targ, weight = without_idle(x, targ, weight, batch)
        with settings.using_threads(self.threads):
            network: Network = self._network
            with network.lock:
                self._set_optimizer(network, batch if weight is None else float(batch * weight.mean()), continues)
                self._run(network, x, targ, weight, held_out, batch, epochs)

    def _checked(self, x: Any, y: Any, first: bool, **checks: Any) -> tuple[Any, Any]:
        """x in the dtype to compute in, and y, both after scikit-learn's checks."""
        dtype = self._dtypes() if first else self._network.dtype
        x, y = validate_data(
            self, x, y, accept_sparse="csr", multi_output=True, dtype=dtype, order="C", reset=first, **checks
        )
        if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return x, y

    def _dtypes(self) -> Any:
        """The dtypes that the data may keep; others become the first of them."""
        return (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)

    def _hold_out(self, x: Any, y: Any, targ: Array, weight: Array | None, random: Any) -> tuple[Any, ...]:
        """(x, targ, weight) to train on, and (x, y, weight) of the rows that decide when to stop."""
        rows, held = train_test_split(
            np.arange(x.shape[0]), random_state=random, test_size=self.validation_fraction, stratify=self._stratum(y)
        )
        if len(held) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        of = (None, None) if weight is None else (weight[rows], weight[held])
        if of[1] is not None and not of[1].any():
            raise ValueError("Sample weights of the validation set must contain at least one non-zero number.")
        return x[rows], targ[rows], of[0], (x[held], y[held], of[1])

    def _batch(self, n: int) -> int:
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped to "
                f"{n}, the number of rows.",
                stacklevel=4,
            )
        return int(min(self.batch_size, n))

    def _hidden(self) -> list[int]:
        """The units of each hidden layer."""
        hidden: list[int] = np.atleast_1d(self.hidden_layer_sizes).tolist()
        if any(not isinstance(units, int) for units in hidden):
            raise ValueError(f"hidden_layer_sizes must be whole numbers, got {self.hidden_layer_sizes!r}.")
        if any(units < 1 for units in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        return hidden

    def _begin(self, widths: list[int], objective: Objective, dtype: np.dtype[Any]) -> None:
        """Makes the network, and the attributes before the first epoch."""
        self._network = Network(widths, objective, self.activation, dtype, self._seed)
        self.n_layers_, self.n_outputs_, self.out_activation_ = len(widths), widths[-1], objective.out_activation
        begin(self)

    def _set_optimizer(self, network: Network, weight: float, continues: bool) -> None:
        """A new optimizer; or, where training goes on, the one that there is. weight: of all rows of a batch."""
        self.n_iter_ = 0
        if continues and network.optimizer is not None:
            network.set_decay(self.alpha, weight)
            return
        network.new_optimizer(self.get_params(deep=False), weight)
        self._epochs = 0

    def _run(
        self, network: Network, x: Any, targ: Array, weight: Array | None, held_out: Any, batch: int, epochs: int | None
    ) -> None:
        plan = network.compiled(batch)
        if weight is not None:
            weight = (weight / weight.mean()).astype(plan.dtype)
        score = None if held_out is None else lambda: self._score_of(network.outputs(held_out[0]), *held_out[1:])
        watch = Watch(self, network, score, x.shape[0])
        done, until = self._epochs, self._epochs + (epochs or self.max_iter)
        options: dict[str, Any] = {"seed": self._seed, "done": done, "on_epoch": watch, "epochs": until}
        try:
            if self.shuffle:
                plan.fit(x, targ, sample_weight=weight, **options)
            else:
                plan.fit(in_order(x, targ, weight, batch), **options)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        except DivergedError:
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                f"preprocessed. It happened in iteration {self.n_iter_ + 1}; a smaller learning_rate_init may help."
            ) from None
        else:
            if epochs is None and not watch.converged and self.n_iter_ == self.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                    "converged yet.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
        finally:
            self._epochs = done + self.n_iter_
        watch.restore_best()

    # ---- prediction ----

    def _outputs(self, x: Any) -> Array:
        """The model's outputs (n,h) for rows that are checked first."""
        check_is_fitted(self)
        network: Network = self._network
        x = validate_data(self, x, accept_sparse="csr", dtype=network.dtype, order="C", reset=False)
        with settings.using_threads(self.threads):
            return network.outputs(x)


@contextmanager
def _undone_by_errors(estimator: BaseMLP) -> Iterator[None]:
    """An error, or Ctrl-C, leaves the attributes as they were."""
    before = dict(estimator.__dict__)
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise
