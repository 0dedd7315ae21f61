"""Model: a sequence of layers with a loss at the end; and `mlp`, which makes one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.autograd import messages, tape
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import as_array, converted, float_type
from pybackprop.core.checks import width
from pybackprop.core.errors import GradientError
from pybackprop.core.sparse import dense, is_sparse
from pybackprop.core.tracebacks import shorten
from pybackprop.engine.shortcut import Shortcut, shortcut
from pybackprop.engine.summary import Summary, counted, summary_of
from pybackprop.nn import handwritten
from pybackprop.nn.initial import he_uniform, parameter_stream, zero_bias
from pybackprop.nn.layers import Activation, Lin, Mse, Relu
from pybackprop.nn.module import Module, as_operand, parameters_in, tensors_in
from pybackprop.nn.network import CHAIN, Network, is_unchanged, network_of

__all__ = ["Model", "mlp"]


def _check_callable(what: str, layer: Any) -> None:
    """Raises TypeError for what is no layer or loss: a name, or a class in place of one of its objects."""
    if isinstance(layer, type):
        raise TypeError(f"Model: {what} is the class {layer.__name__}; make an object of it, {layer.__name__}(...)")
    if not callable(layer):
        raise TypeError(f"Model: {what} is {layer!r}, a {type(layer).__name__}, which cannot be called")


class Model:
    """`loss = model(x, targ)`, then `model.backward()`: the lesson's Model.

    layers   Lin, Relu, your own Modules, functions such as bp.relu, other Models, or objects as in the lesson
             with `__call__(inp)` and `backward()`
    loss     called with (output, targ); Mse() unless another is given
    inplace  activations and gradients share memory: relu overwrites its input, and gradients overwrite
             activations that are no longer needed. The bits are the same; but the out of a Lin before a Relu holds
             relu's result, any out is readable only before backward, and a second backward needs another forward.
             Outputs of your own layers are kept: a Relu overwrites its input only directly after a Lin

    A parameter used twice gets the sum over its uses; the data gets no gradient unless it has requires_g.
    """

    last_call: tuple[str, ...] = ("_result", "_shortcut")
    layers: list[Any]
    loss: Any
    inplace: bool = False
    _shortcut: Shortcut | None = None

    def __new__(cls, *_: Any, **__: Any) -> Model:
        model = super().__new__(cls)
        messages.models[id(model)] = model
        return model

    def __init__(self, layers: Iterable[Any], loss: Any = None, inplace: bool = False) -> None:
        self.inplace = bool(inplace)
        if not isinstance(layers, Iterable):
            raise TypeError(f"Model: found {type(layers).__name__}, expected a list of layers, [{layers!r}, ...]")
        self.layers = list(layers)
        self.loss = Mse() if loss is None else loss
        self._result: Tensor | None = None
        for k, layer in enumerate(self.layers):
            _check_callable(f"layers[{k}]", layer)
        _check_callable("loss", self.loss)

    def __call__(self, x: Any, targ: Any = None) -> Tensor:
        """The loss for x (n,m) and targ, as a 0-d tensor; without targ the output (n,h).

        Arrays of the other floating-point type than the parameters' are converted at each call, layer by layer then;
        tensors of the other type are refused: DTypeError.
        """
        try:
            fast = self._shortcut
            if fast is not None and fast.again is not None:
                again = fast.again(fast, self, self.layers, self.loss, self.inplace, x, targ)
                if again is not None:
                    self._result = again
                    return again
            if fast is None or not fast.fits(self):
                fast = self._shortcut = None if has_own_forward(self) else shortcut(self)
            if fast is not None:
                loss = fast.forward(self, x, targ)
                if loss is not None:
                    self._result = loss
                    return loss
            self._forget()
            out = self.forward(x)
            if targ is None:
                return out
            self._result = _run(self.loss, out, _as_data("targ", targ, out))
            return self._result
        except Exception as error:
            shorten(error)
            raise

    def forward(self, x: Any) -> Tensor:
        """The output (n,h) for x (n,m), on the tape."""
        out = _as_data("x", x, self.layers)
        before: Any = None
        for layer in self.layers:
            over = self.inplace and type(before) is Lin and _works_in_place(layer)
            out = _run_in_place(layer, out) if over else _run(layer, out)
            before = layer
        return out

    def predict(self, x: Any) -> Tensor:
        """The output (n,h) for x (n,m), keeping nothing for a backward and not disturbing a pending one."""
        try:
            with tape.paused():
                return self.forward(x)
        except Exception as error:
            shorten(error)
            raise

    def backward(self, keep: bool = False, accumulate: bool = False) -> None:
        """Fills the `.g` of every parameter with the gradient of the last loss.

        It overwrites; accumulate=True adds. keep=True leaves the `.g` of every layer's `out` readable.
        Raises GradientError if no loss was computed, or a parameter was changed since.
        """
        try:
            fast = self._shortcut
            if fast is not None and fast.backward is not None and fast.backward(self._result, keep, accumulate):
                return
            if self._result is None:
                raise GradientError("Model.backward: there is no loss yet; call model(x, targ) first")
            self._result.backward(keep, accumulate)
        except Exception as error:
            shorten(error)
            raise

    if TYPE_CHECKING:

        def memory(self, batch: int, optimizer: Any = None) -> Any:
            """A bp.Ledger; defined above this package, see pybackprop/__init__.py."""

    def parameters(self) -> list[Tensor]:
        """The tensors to train, each once, in the order of the layers."""
        return parameters_in(self)

    def double(self) -> Model:
        """A copy whose tensors are float64."""
        twin = copy.deepcopy(self)
        for tensor in tensors_in(twin):
            tensor._become(tensor._array.astype(native.FLOAT64))
        return twin

    def summary(self) -> Summary:
        """The layers with the shapes of their outputs and parameters, and how many numbers these hold. Runs nothing."""
        return summary_of(self.layers, self.loss)

    def _forget(self) -> None:
        """Frees the last pass before the next one needs the memory."""
        self._result = None
        if self._shortcut is not None:
            self._shortcut.last = None
        for part in [*self.layers, self.loss]:
            if isinstance(part, Module):
                part.forget()
            elif isinstance(part, Model):
                part._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_result": None, "_shortcut": None}

    def __repr__(self) -> str:
        count = sum(tensor.size for tensor in tensors_in([self.layers, self.loss]))
        return f"Model([{', '.join(map(repr, self.layers))}], loss={self.loss!r}, {counted(count)})"


_FORWARD = Model.forward


def has_own_forward(model: Model) -> bool:
    """Whether a Model, or its class, computes otherwise than this class did when it was defined."""
    return type(model).forward is not _FORWARD or "forward" in vars(model)


def _as_data(name: str, value: Any, beside: Any) -> Tensor:
    """value as a tensor of the dtype of those beside it; a Tensor is left as it is."""
    if not isinstance(value, (Tensor, np.ndarray)) and (hasattr(value, "dtype") or hasattr(value, "__array__")):
        value = dense(f"Model: {name}", value) if is_sparse(value) else as_array(value, what=f"Model: {name}")
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not isinstance(value, np.ma.MaskedArray):
        like = next((tensor.dtype for tensor in tensors_in(beside)), None)
        if like is not None and value.dtype != like:
            value = converted(value, like, f"Model: {name}")
    return as_operand(value, beside)


def _run(layer: Any, *args: Tensor) -> Tensor:
    if handwritten.is_by_hand(layer):
        return handwritten.run(layer, args)
    if isinstance(layer, Module) and tape.is_recording():
        return layer(*args)
    if isinstance(layer, (Module, Model)):
        return layer.forward(*args)
    return layer(*args)  # type: ignore[no-any-return]


def _run_in_place(layer: Activation, out: Tensor) -> Tensor:
    """The layer's output, written over its input."""
    result: Tensor = layer.inplace(out, **layer.params)  # type: ignore[misc]
    if tape.is_recording():
        layer.args, layer.out = (out,), result
    return result


def _works_in_place(layer: Any) -> bool:
    return isinstance(layer, Activation) and layer.inplace is not None and is_unchanged(layer, Activation)


def network_of_model(model: Any) -> Network:
    """The chain that a Model is. Raises TypeError, naming the layer, if it is not a chain; see network_of."""
    if not isinstance(model, Model):
        raise TypeError(f"compile: found {type(model).__name__}, expected a bp.Model")
    network = network_of(model.layers, model.loss)
    if has_own_forward(model):
        raise TypeError(f"compile: {type(model).__name__} has a forward of its own; {CHAIN}")
    return network


def mlp(sizes: Sequence[int], seed: int = 0, dtype: Any = np.float32, inplace: bool = False) -> Model:
    """A Model of len(sizes) - 1 Lin layers with Relu between them: mlp([784, 50, 10]).

    Weights are He-uniform, in [-b, b) with b = sqrt(6 / inputs), biases 0; they come from a frozen random
    stream in exact arithmetic, so a seed gives the same bits on every machine. Parameters are named w1, b1,
    w2, ... inplace: as for Model.
    Raises ValueError for fewer than two sizes, or one below 1, or a seed outside 0 .. 2**64 - 1.
    Source: He et al., "Delving Deep into Rectifiers" (arXiv:1502.01852), equation 10.
    """
    if not np.ndim(sizes) == 1 or len(sizes) < 2:
        raise ValueError(f"mlp: found sizes {sizes}, expected a list of at least two: inputs and outputs")
    widths = [width("mlp", size) for size in sizes]
    real, state = float_type(dtype), parameter_stream(seed)
    layers: list[Any] = []
    for k, (m, h) in enumerate(pairwise(widths), 1):
        w, b = he_uniform("mlp", m, h, real, state), zero_bias(h, real)
        w.name, b.name = f"w{k}", f"b{k}"
        layers += [Lin(w, b), Relu()]
    return Model(layers[:-1], inplace=inplace)
