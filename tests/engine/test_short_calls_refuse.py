"""What a short call of a plan does not do: it leaves that to the usual way, with its conversions and errors."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.short_calls import Counted, F, compiled, samples, state
from pybackprop.core import observer, short_calls

pytestmark = pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off")


@pytest.fixture
def plan(short_plan):
    return short_plan


def unaligned(array):
    buffer = np.zeros(array.nbytes + 1, np.uint8)[1:]
    moved = buffer.view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


class Other(np.ndarray):
    pass


KINDS = {
    "list": np.ndarray.tolist,
    "float64": lambda a: a.astype(np.float64),
    "big-endian": lambda a: a.astype(">f4"),
    "by columns": np.asfortranarray,
    "unaligned": unaligned,
    "every second": lambda a: np.repeat(a, 2, axis=0)[::2],
    "subclass": lambda a: a.view(Other),
    "a tensor's view": lambda a: bp.as_tensor(np.repeat(a, 2, axis=0))[::2].data,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", [0, 1])
def test_data_that_needs_conversion_gives_the_same(plan, longer, kind, which):
    usual, data = longer(), list(samples())
    usual.step(*data)
    expected = usual.step(*data)
    data[which] = KINDS[kind](data[which])
    assert plan.step(*data) == expected
    assert plan.usual.count == 1


def refused(plan, error, words, x, t):
    """Whether a step and gradients are refused, with nothing written."""
    before = [array.copy() for array in state(plan)]
    counts = [p._version.count for p in plan.arena.parameters], plan.arena.written.count
    for call in (plan.step, plan.grads):
        with pytest.raises(error, match=words):
            call(x, t)
    for array, copy in zip(state(plan), before, strict=True):
        assert_same_bits(array, copy)
    assert counts == ([p._version.count for p in plan.arena.parameters], plan.arena.written.count)


BAD_DATA = {
    "other features": (lambda x, t: (x[:, :2].copy(), t), bp.ShapeError, "expected 3 features"),
    "other outputs": (lambda x, t: (x, t[:, :1].copy()), bp.ShapeError, "found out"),
    "other rows": (lambda x, t: (x, t[:3]), bp.ShapeError, "found out"),
    "too many rows": (lambda x, t: samples(5), bp.ShapeError, "at most 4, as compiled"),
    "no axis": (lambda x, t: (x[0], t[0]), bp.ShapeError, "one row is"),
    "three axes": (lambda x, t: (x[None], t[None]), bp.ShapeError, "expected rows of 3 features"),
    "float64 tensor": (lambda x, t: (bp.tensor(x, np.float64), t), bp.DTypeError, "parameters are float32"),
    "complex": (lambda x, t: (x + 1j, t), bp.DTypeError, "complex"),
    "None": (lambda x, t: (None, t), bp.DTypeError, "real numbers"),
    "result": (lambda x, t: (bp.lin(x, bp.param(np.eye(3, dtype=F))), t), bp.GradientError, "a result of"),
    "target": (lambda x, t: (x, bp.param(t)), bp.GradientError, "targ has requires_g"),
    "target result": (lambda x, t: (x, bp.lin(t, bp.param(np.eye(2, dtype=F)))), bp.GradientError, "a result of"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_does_not_fit_is_refused(plan, name):
    make, error, words = BAD_DATA[name]
    refused(plan, error, words, *make(*samples()))


def test_no_rows_are_refused(plan):
    with pytest.raises(bp.ShapeError):
        plan.grads(*samples(0))


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
def test_data_whose_shape_is_set_between_steps_is_refused(plan):
    x, t = samples()
    plan.step(x, t)
    x.shape = 3, 4
    refused(plan, bp.ShapeError, "expected 3 features", x, t)
    x.shape = 4, 3
    t.shape = 2, 4
    refused(plan, bp.ShapeError, "found out", x, t)
    t.shape = 4, 2
    plan.step(x, t)
    tensor = bp.as_tensor(x)
    plan.step(tensor, t)
    tensor.data.shape = 3, 4
    refused(plan, bp.ShapeError, "expected 3 features", tensor, t)


def test_data_that_was_moved_between_steps_is_read_where_it_is(plan, longer):
    usual, (x, t) = longer(), samples()
    usual.step(x, t)
    moving = samples(seed=5)[0]
    plan.step(moving, t)
    usual.step(moving.copy(), t)
    moving.resize((4000, 3), refcheck=False)
    assert moving.shape == (4000, 3)
    refused(plan, bp.ShapeError, r"\(4000, 2\)", moving, t)
    moving.resize((4, 3), refcheck=False)
    assert plan.step(moving, t) == usual.step(samples(seed=5)[0], t)


def test_the_datas_gradient_is_computed_where_it_is_wanted(plan):
    x, t = bp.tensor(samples()[0]), samples()[1]
    plan.step(x, t)
    assert plan.usual.count == 0
    x.requires_g = True
    plan.step(x, t)
    assert x.g is not None
    assert plan.usual.count == 1


def test_a_frozen_parameter_as_data_is_refused():
    model = bp.Model([bp.Lin(np.ones((3, 4), F)), bp.Lin(np.ones((4, 3), F)), bp.Lin(np.ones((3, 2), F))])
    frozen = model.layers[1].w
    frozen.requires_g = False
    plan = bp.compile(model, batch=4, optimizer=bp.SGD(lr=0.1))
    plan.step(*samples())
    with pytest.raises(bp.GradientError, match="x is a parameter"):
        plan.step(frozen, samples()[1])


def put_layer(plan):
    plan.model.layers[0] = bp.Lin(np.ones((3, 5), F))


def add_layer(plan):
    plan.model.layers.append(bp.Relu())


def new_list(plan):
    plan.model.layers = plan.model.layers[:-1]


def put_loss(plan):
    plan.model.loss = bp.Mse()


def put_weight(plan):
    plan.model.layers[0].w = bp.param(np.ones((3, 5), F))


def drop_bias(plan):
    plan.model.layers[0].b = None


def delete_bias(plan):
    del plan.model.layers[0].b


def freeze(plan):
    plan.model.layers[2].w.requires_g = False


def compile_again(plan):
    bp.compile(plan.model, batch=4)


def convert(plan):
    w = plan.model.layers[0].w
    w._become(w.data.astype(np.float64))


EDITS = [put_layer, add_layer, new_list, put_loss, put_weight, drop_bias, freeze, compile_again, convert]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_model_is_refused(plan, edit):
    before = plan.arena.values.copy()
    edit(plan)
    for call in (plan.step, plan.grads):
        with pytest.raises(RuntimeError, match="edited after compile"):
            call(*samples())
    assert_same_bits(plan.arena.values, before)


def test_an_attribute_that_is_gone_is_the_error_that_it_was(plan):
    delete_bias(plan)
    with pytest.raises(AttributeError, match="b"):
        plan.step(*samples())


def test_an_equal_list_of_the_same_layers_is_no_edit(plan):
    plan.model.layers = list(plan.model.layers)
    plan.step(*samples())
    assert plan.usual.count == 0


@pytest.mark.parametrize("how", [lambda layer: layer.params.update(negative_slope=0.5),
                                 lambda layer: setattr(layer, "params", {"negative_slope": 0.5})])  # fmt: skip
def test_an_edited_slope_is_refused(how):
    layers = [bp.Lin(np.ones((3, 5), F)), bp.LeakyRelu(0.25), bp.Lin(np.ones((5, 2), F))]
    plan = bp.compile(bp.Model(layers), batch=4, optimizer=bp.SGD(lr=0.01))
    plan.step(*samples())
    counted = Counted(plan)
    plan.step(*samples())
    layers[1].params = {"negative_slope": 0.25}
    plan.step(*samples())
    assert counted.count == 0
    how(layers[1])
    with pytest.raises(RuntimeError, match="edited after compile"):
        plan.step(*samples())


def test_a_dropped_gradient_is_attached_again(plan, longer):
    usual, data = longer(), samples()
    usual.step(*data)
    for each in (plan, usual):
        each.model.layers[0].w.g = None
        each.grads(*data, accumulate=True)
    for one, other in zip(state(plan), state(usual), strict=True):
        assert_same_bits(one, other)
    assert plan.usual.count == 1
    plan.step(*data)
    assert plan.usual.count == 1


def test_the_optimizer_of_each_step_is_the_one_that_is_there_then(plan, longer):
    usual, data = longer(), samples()
    usual.step(*data)
    for each in (plan, usual):
        each.optimizer = bp.SGD(lr=0.5, momentum=0.5)
    assert [plan.step(*data) for _ in range(2)] == [usual.step(*data) for _ in range(2)]
    plan.optimizer = None
    with pytest.raises(ValueError, match="compiled without an optimizer"):
        plan.step(*data)


def test_a_step_makes_a_pending_backward_stale(plan):
    x, t = samples()
    model = plan.model
    loss = model(x, t)
    plan.step(x, t)
    assert plan.usual.count == 0
    with pytest.raises(bp.GradientError, match=r"plan\.step"):
        loss.backward()


def test_debug_and_ledgers_see_every_step(plan):
    with bp.debug():
        plan.step(*samples())
        plan.grads(*samples())
    assert plan.usual.count == 2
    assert any("test_short_calls" in where for _, _, where in plan.arena.parameters[0]._version.log)


class Watching:
    """An observer that lists the operations of plans."""

    def __init__(self):
        self.operations = []

    def ran_plan(self, operation, plan):
        self.operations.append(operation)

    def allocated(self, array):
        pass


def test_an_observer_sees_every_step(plan, monkeypatch):
    watching = Watching()
    monkeypatch.setattr(observer, "active", watching)
    plan.step(*samples())
    plan.grads(*samples())
    assert watching.operations == ["plan.step", "plan.grads"]


def test_large_steps_keep_to_the_usual_way_which_lets_other_threads_run():
    plan = compiled((300, 200, 10), 64)
    plan.step(*samples(64, 300, 10))
    assert plan._short_step is None
