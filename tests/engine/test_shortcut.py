"""When a Model is computed in one call, and when it must not be."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.twins import assert_same_gradients, assert_same_layers, data, is_short, layers_of, step, twins
from pybackprop import ops
from pybackprop.autograd import tape
from pybackprop.autograd.tape import Node
from pybackprop.engine import one_pass


def test_the_ordinary_loop_calls_no_operation_by_itself(pair, x, targ, monkeypatch):
    model, _ = pair
    sgd = bp.SGD(model, lr=0.1)
    step(model, x, targ)
    for name in ("lin", "relu", "mse"):
        monkeypatch.setattr(ops, name, None)
    monkeypatch.setattr(Node, "backward", None)
    monkeypatch.setattr(one_pass.PassWorkspace, "allocate", None)
    memory = model._shortcut.last.workspace.memory
    for _ in range(3):
        loss = step(model, x, targ)
        sgd.step()
        assert np.isfinite(float(loss))
    assert model._shortcut.last.workspace.memory is memory


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        bp.tensor,
        bp.as_tensor,
        lambda a: np.repeat(a, 2, 0)[: len(a) * 2][len(a) :],
        lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
    ],
    ids=["array", "tensor", "shared", "rows", "read-only"],
)
def test_data_that_c_can_read_as_it_is(pair, x, targ, make):
    model, twin = pair
    loss = step(model, make(x), make(targ))
    assert is_short(loss)
    assert_same_bits(loss.data, step(twin, make(x), make(targ)).data)
    assert_same_gradients(model, twin)


def test_targets_in_a_row_for_a_column(rng):
    model, twin = twins(rng, (4, 5, 1))
    x, targ = data(rng, h=1)
    assert is_short(step(model, x, targ[:, 0]))
    step(twin, x, targ[:, 0])
    assert_same_gradients(model, twin)
    assert_same_layers(model, twin)


def unaligned(a):
    memory = np.empty(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


ODD_DATA = {
    "list": lambda a: a.tolist(),
    "columns": lambda a: np.asfortranarray(a),
    "every second": lambda a: np.repeat(a, 2, 1)[:, ::2],
    "tensor of columns": lambda a: bp.as_tensor(np.asfortranarray(a)),
    "unaligned": unaligned,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "whole numbers": lambda a: a.astype(np.int64),
    "half": lambda a: a.astype(np.float16),
    "subclass": lambda a: a.view(type("Mine", (np.ndarray,), {})),
    "wants a gradient": bp.param,
    "a result": lambda a: bp.relu(bp.param(a)),
    "a result without": lambda a: without_gradient(bp.relu(bp.param(a))),
}


def without_gradient(t):
    t.requires_g = False
    return t


@pytest.mark.parametrize("odd", ODD_DATA)
@pytest.mark.parametrize("which", ["x", "targ"])
def test_other_data_takes_the_ordinary_way(pair, x, targ, odd, which):
    model, twin = pair
    given = {"x": x, "targ": targ}
    losses = [one(**{**given, which: ODD_DATA[odd](given[which])}) for one in (model, twin)]
    assert not is_short(losses[0])
    for one in (model, twin):
        one.backward()
    assert_same_bits(losses[0].data, losses[1].data)
    assert_same_gradients(model, twin)
    assert is_short(step(model, x, targ))


REFUSED = {
    "another width": lambda x, targ: (x[:, :3].copy(), targ),
    "a row": lambda x, targ: (x[0], targ[0]),
    "three axes": lambda x, targ: (x[None], targ),
    "fewer targets": lambda x, targ: (x, targ[:3]),
    "a row of targets": lambda x, targ: (x, targ[:, 0].copy()),
    "float64 targets": lambda x, targ: (x, bp.tensor(targ, np.float64)),
    "too large": lambda x, targ: (x.astype(np.float64) * 1e300, targ),
    "tensor of float64": lambda x, targ: (bp.tensor(x, np.float64), targ),
    "no samples": lambda x, targ: (x[:0], targ[:0]),
    "complex": lambda x, targ: (x * 1j, targ),
    "text": lambda x, targ: (x, targ.astype(str)),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_refused_is_refused_in_the_same_words(pair, x, targ, how):
    model, twin = pair
    messages = []
    for one in (model, twin):
        step(one, x, targ)
        with pytest.raises((ValueError, TypeError)) as error:
            one(*REFUSED[how](x, targ))
        with pytest.raises(bp.GradientError, match="no loss yet"):
            one.backward()
        messages.append((type(error.value), str(error.value)))
    assert messages[0] == messages[1]
    assert is_short(step(model, x, targ))


class Doubled(bp.Lin):
    def forward(self, inp):
        return super().forward(inp) + super().forward(inp)


def doubled(layer):
    return lambda inp: bp.lin(inp, layer.w, layer.b) + bp.lin(inp, layer.w, layer.b)


class Cut(bp.Mse):
    def forward(self, inp, targ):
        return bp.mse(inp, targ) + 1


def set_forward(model):
    model.forward = lambda inp: bp.lin(inp, model.layers[0].w) @ model.layers[2].w


EDITS = {
    "append": lambda model: model.layers.append(Doubled(np.eye(2, dtype="f"))),
    "insert a function": lambda model: model.layers.insert(1, bp.relu),
    "insert another Relu": lambda model: model.layers.insert(1, bp.Relu()),
    "a Relu first": lambda model: model.layers.insert(0, bp.Relu()),
    "another kind of layer": lambda model: model.layers.__setitem__(0, Doubled(model.layers[0].w)),
    "another class": lambda model: setattr(model.layers[0], "__class__", Doubled),
    "forward of one layer": lambda model: setattr(model.layers[0], "forward", doubled(model.layers[0])),
    "forward of one relu": lambda model: setattr(model.layers[1], "forward", lambda inp: inp + 1),
    "bwd of one layer": lambda model: setattr(model.layers[0], "bwd", None),
    "forward of the loss": lambda model: setattr(model.loss, "forward", lambda inp, targ: bp.mse(inp, targ) + 1),
    "forward of the model": set_forward,
    "another class of loss": lambda model: setattr(model.loss, "__class__", Cut),
    "another loss": lambda model: setattr(model, "loss", Cut()),
    "a function as loss": lambda model: setattr(model, "loss", bp.mse),
    "no layers": lambda model: setattr(model, "layers", [bp.Lin(np.ones((4, 2), "f")), lambda inp: inp]),
    "nested": lambda model: setattr(model, "layers", [bp.Model(model.layers)]),
    "a frozen weight": lambda model: setattr(model.layers[2].w, "requires_g", False),
    "a frozen bias": lambda model: setattr(model.layers[0].b, "requires_g", False),
    "an array as weight": lambda model: setattr(model.layers[0], "w", model.layers[0].w.data),
    "a weight in columns": lambda model: setattr(model.layers[0], "w", in_columns(model.layers[0].w)),
    "a result as weight": lambda model: setattr(model.layers[0], "w", model.layers[0].w + model.layers[0].w),
    "shared weights": lambda model: share_weights(model),
    "a shared layer": lambda model: model.layers.__setitem__(slice(0, 0), [square(4)] * 2),
}


def in_columns(w):
    made = bp.as_tensor(np.asfortranarray(w.data))
    made.requires_g = True
    return made


def square(size):
    return bp.Lin(np.random.default_rng(3).standard_normal((size, size)).astype("f"))


def share_weights(model):
    first = square(4)
    model.layers[:0] = [first, bp.Relu(), bp.Lin(first.w)]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_model_takes_the_ordinary_way(pair, x, targ, edit):
    model, twin = pair
    for one in (model, twin):
        step(one, x, targ)
        EDITS[edit](one)
    losses = [one(x, targ) for one in (model, twin)]
    assert not is_short(losses[0])
    for one in (model, twin):
        one.backward()
    assert_same_bits(losses[0].data, losses[1].data)
    assert_same_gradients(model, twin)


STILL = {
    "another layer": lambda model: model.layers.__setitem__(0, bp.Lin(np.ones((4, 5), "f"), np.ones(5, "f"))),
    "another parameter": lambda model: setattr(model.layers[0], "w", bp.param(np.ones((4, 5), "f"))),
    "no bias": lambda model: setattr(model.layers[2], "b", None),
    "one layer more": lambda model: model.layers.append(bp.Lin(np.ones((2, 2), "f"))),
    "a Relu more": lambda model: model.layers.append(bp.Relu()),
    "a Relu less": lambda model: model.layers.pop(1),
    "another list": lambda model: setattr(model, "layers", list(model.layers)),
    "another Mse": lambda model: setattr(model, "loss", bp.Mse()),
    "an attribute": lambda model: (setattr(model.layers[0], "note", 1), setattr(model.loss, "note", 1)),
    "no gradients": lambda model: [setattr(p, "g", None) for p in model.parameters()],
    "other gradients": lambda model: [setattr(p, "g", p.data) for p in model.parameters()],
    "other memory": lambda model: [p._become(p._array * 2) for p in model.parameters()],
    "thawed": lambda model: (frozen(model), setattr(model.layers[0].w, "requires_g", True)),
    "changed by hand": lambda model: model.layers[0].w.data.__imul__(2),
}


def frozen(model):
    model.layers[0].w.requires_g = False
    model(np.ones((2, 4), "f"), np.ones((2, 2), "f"))
    model.backward()


@pytest.mark.parametrize("edit", STILL)
def test_an_edited_model_that_is_still_a_chain(pair, x, targ, edit):
    model, twin = pair
    for one in (model, twin):
        step(one, x, targ)
        STILL[edit](one)
    losses = [step(one, x, targ) for one in (model, twin)]
    assert is_short(losses[0])
    assert_same_bits(losses[0].data, losses[1].data)
    assert_same_gradients(model, twin)
    assert_same_layers(model, twin)


MISFITS = {
    "inputs": lambda model: setattr(model.layers[2], "w", bp.param(np.ones((3, 2), "f"))),
    "bias": lambda model: setattr(model.layers[2], "b", bp.param(np.ones(3, "f"))),
    "dtype": lambda model: setattr(model.layers[2], "b", bp.param(np.ones(2))),
    "axes": lambda model: setattr(model.layers[0], "w", bp.param(np.ones((4, 5, 1), "f"))),
    "a number": lambda model: setattr(model.layers[0], "w", bp.param(1.0)),
    "nothing": lambda model: setattr(model.layers[0], "w", None),
    "no output": lambda model: model.layers.append(bp.Lin(np.ones((2, 0), "f"))),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_layers_that_do_not_fit_are_refused_in_the_same_words(pair, x, targ, misfit):
    messages = []
    for one in pair:
        step(one, x, targ)
        MISFITS[misfit](one)
        with pytest.raises((ValueError, TypeError, AttributeError)) as error:
            one(x, targ[:, :0].copy() if misfit == "no output" else targ)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_a_class_that_somebody_patched(pair, x, targ, monkeypatch):
    model, _ = pair
    before = step(model, x, targ)
    monkeypatch.setattr(bp.Relu, "forward", lambda self, inp: ops.relu(inp + 1))
    loss = step(model, x, targ)
    assert not is_short(loss)
    assert float(loss) != float(before)
    monkeypatch.undo()
    assert is_short(step(model, x, targ))


def test_off_the_tape(pair, x, targ):
    model, _ = pair
    step(model, x, targ)
    with tape.paused():
        assert model(x, targ)._node is None
    with pytest.raises(bp.GradientError, match="not on a tape"):
        model.backward()


def test_a_subclass_of_model_takes_it_unless_it_has_a_forward(rng, x, targ):
    class Mine(bp.Model):
        def __init__(self):
            super().__init__(layers_of(rng, (4, 5, 2), np.float32))

    assert is_short(Mine()(x, targ))
