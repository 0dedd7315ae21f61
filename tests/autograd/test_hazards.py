"""Ways to spoil a gradient in place, each by what the learner did, and the story that is told instead of a number.

A hazard gets the lesson's network, does its harm, and returns the call that must refuse: with these words, and
with every gradient and parameter as it was.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits

HAZARDS = {}


def hazard(*words):
    def add(function):
        HAZARDS[function.__name__.replace("_", " ")] = function, words
        return function

    return add


@pytest.fixture
def net(rng):
    """The lesson's network, forward."""
    digits = bp.data.digits()
    found = SimpleNamespace(x=bp.tensor(digits.x_train[:6], name="x"))
    found.targ = bp.tensor(np.eye(10, dtype=np.float32)[digits.y_train[:6]], name="targ")
    for name, shape in {"w1": (64, 5), "b1": (5,), "w2": (5, 10), "b2": (10,)}.items():
        setattr(found, name, bp.param(rng.normal(0, 0.3, shape), np.float32, name=name))
    return forward(found)


def forward(net):
    net.l1 = bp.lin(net.x, net.w1, net.b1)
    net.l2 = bp.relu(net.l1)
    net.out = bp.lin(net.l2, net.w2, net.b2)
    net.loss = bp.mse(net.out, net.targ)
    return net


def forward_in_place(net):
    net.l1 = net.l2 = bp.relu_(bp.lin(net.x, net.w1, net.b1))
    net.out = bp.lin(net.l2, net.w2, net.b2)
    net.loss = bp.mse(net.out, net.targ)
    return net


def backward_from_loss(net):
    bp.mse_grad(net.out, net.targ)
    bp.lin_grad(net.l2, net.out, net.w2, net.b2)


def model_of(net, **options):
    layers = [bp.Lin(net.w1, net.b1), bp.Relu(), bp.Lin(net.w2, net.b2)]
    return bp.Model(layers, **options)


# ---- the order: something is updated before the last gradient that reads it ----


@hazard("'w2'", "by -=", "'lin'", "w2.T", "Update after backward")
def updated_w2_before_the_gradient_of_its_layer(net):
    bp.mse_grad(net.out, net.targ)
    net.w2 -= 0.1
    return lambda: bp.lin_grad(net.l2, net.out, net.w2, net.b2)


@hazard("'w2'", "by SGD.step", "Update after backward")
def stepped_before_the_second_loss_went_back(net):
    other = bp.mse(bp.lin(bp.relu(net.l1), net.w2), net.targ)
    net.loss.backward()
    bp.SGD([net.w1, net.b1, net.w2, net.b2], lr=0.1).step()
    return other.backward


@hazard("'x'", "by -=", "w1.g = x.T @ out.g", "backward")
def normalized_the_batch_after_forward(net):
    net.x -= net.x.mean()
    return net.loss.backward


@hazard("'x'", "by t[...] = value")
def put_the_next_batch_into_x(net):
    net.x[...] = bp.data.digits().x_train[6:12]
    return net.loss.backward


@hazard("lin_grad", "'x'", "by t[...] = value", "w1.g = x.T @ out.g")
def put_the_next_batch_into_x_and_went_back_by_hand(net):
    backward_from_loss(net)
    bp.relu_grad(net.l1, net.l2)
    net.x[...] = bp.data.digits().x_train[6:12]
    return lambda: bp.lin_grad(net.x, net.l1, net.w1, net.b1)


@hazard("'targ'", "by *=", "2 (out - targ) / size")
def smoothed_the_targets_after_the_loss(net):
    net.targ *= 0.9
    return net.loss.backward


@hazard("'w2'", "by zero_")
def zeroed_the_weights_in_place_of_their_gradient(net):
    net.w2.zero_()
    return net.loss.backward


@hazard("'x'", "by *=")
def scaled_some_rows_through_a_view(net):
    rows = net.x[0:2]
    rows *= 2
    return net.loss.backward


@hazard("'x'", "by t[...] = value")
def wrote_through_the_transpose(net):
    net.x.T[0] = 1
    return net.loss.backward


@hazard("'x'", "by matmul")
def multiplied_into_x(net):
    bp.matmul(np.ones((6, 64), "f"), np.eye(64, dtype="f"), out=net.x)
    return net.loss.backward


@hazard("'x'", "by matmul")
def multiplied_into_x_again_where_c_knows_it(net):
    a, b, net.x = bp.tensor(np.ones((6, 64), "f")), bp.tensor(np.eye(64, dtype="f")), bp.tensor(net.x, name="x")
    bp.matmul(a, b, out=net.x)
    forward(net)
    bp.matmul(a, b, out=net.x)
    return net.loss.backward


@hazard("result of 'lin'", "a lie", "bp.tensor(t)")
def added_to_a_result(net):
    return lambda: net.l1.__iadd__(1)


@hazard("result of 'relu'", "on the tape")
def set_an_element_of_a_result(net):
    return lambda: net.l2.__setitem__((0, 0), 1)


@hazard("came from '[...]'", "may share the memory")
def ran_relu_in_place_on_rows_of_a_result(net):
    return lambda: bp.relu_(net.l1[0:2])


# ---- relu_ ----


@hazard("(6, 5)", "by relu_", "Use relu, which keeps its input")
def ran_relu_in_place_on_what_a_product_still_reads(net):
    other = bp.mse(bp.lin(net.l1, net.w2), net.targ)
    bp.relu_(net.l1)
    return other.backward


@hazard("'x'", "by relu_", "Use relu")
def ran_relu_in_place_on_the_data(net):
    bp.relu_(net.x)
    return net.loss.backward


@hazard("'w1'", "is a parameter")
def ran_relu_in_place_on_a_parameter(net):
    return lambda: bp.relu_(net.w1)


@hazard("lin_grad", "relu_ has overwritten", "relu_grad(out, out)")
def forgot_relu_grad_after_relu_in_place(net):
    backward_from_loss(forward_in_place(net))
    return lambda: bp.lin_grad(net.x, net.l1, net.w1, net.b1)


@hazard("lin_grad", "relu_grad(out, out)")
def forgot_relu_grad_in_the_second_step_only(net):
    backward_from_loss(forward_in_place(net))
    bp.relu_grad(net.l1, net.l2, inplace=True)
    bp.lin_grad(net.x, net.l1, net.w1, net.b1)
    backward_from_loss(net)
    return lambda: bp.lin_grad(net.x, net.l1, net.w1, net.b1)


@hazard("relu_grad", "by mse_grad(inplace=True)", "(inp > 0)", "Use inplace=False")
def asked_the_gradient_for_the_signs_of_the_values(net):
    out = bp.relu_(bp.lin(net.x, net.w1, net.b1))
    bp.mse_grad(out, np.zeros((6, 5), "f"), inplace=True)
    return lambda: bp.relu_grad(out, out)


@hazard("relu_grad: inp", "its own gradient", "inplace=False")
def asked_the_gradient_for_the_signs_of_values_off_the_tape(net):
    out = bp.relu_(bp.lin(net.x, net.w1.data))
    bp.mse_grad(out, np.zeros((6, 5), "f"), inplace=True)
    return lambda: bp.relu_grad(out, out)


@hazard("relu_", "its own gradient")
def ran_relu_in_place_on_a_gradient(net):
    bp.mse_grad(net.out, net.targ, inplace=True)
    return lambda: bp.relu_(net.out)


# ---- mse_grad(inplace=True) ----


@hazard("mse: out", "its own gradient", "its values are gone", "inplace=False")
def computed_the_loss_after_its_gradient_in_place(net):
    bp.mse_grad(net.out, net.targ, inplace=True)
    return lambda: bp.mse(net.out, net.targ)


@hazard("mse_grad: out", "its own gradient")
def took_the_gradient_in_place_twice(net):
    bp.mse_grad(net.out, net.targ, inplace=True)
    return lambda: bp.mse_grad(net.out, net.targ, inplace=True)


@hazard("by mse_grad(inplace=True)", "'mse'", "Use inplace=False")
def went_back_over_the_tape_after_a_gradient_in_place(net):
    bp.mse_grad(net.out, net.targ, inplace=True)
    return net.loss.backward


@hazard("lin: x", "its own gradient")
def went_on_forward_from_an_output_that_is_a_gradient(net):
    bp.mse_grad(net.out, net.targ, inplace=True)
    return lambda: bp.lin(net.out, np.ones((10, 2), "f"))


@hazard("-: the left operand is", "its own gradient")
def printed_the_error_after_a_gradient_in_place(net):
    bp.mse_grad(net.out, net.targ, inplace=True)
    return lambda: net.out - net.targ


@hazard("matmul: a", "its own gradient")
def multiplied_an_output_that_is_a_gradient(net):
    small = bp.tensor(net.out)
    into, eye = bp.tensor(np.zeros((6, 10), "f")), bp.tensor(np.eye(10, dtype="f"))
    bp.matmul(small, eye, out=into)
    bp.mse_grad(small, net.targ, inplace=True)
    return lambda: bp.matmul(small, eye, out=into)


# ---- gradients that moved, or are of another time ----


@hazard("lin_grad: out.g is None", "relu_grad(inplace=True) wrote inp.g over it")
def read_the_gradient_that_relu_grad_took(net):
    backward_from_loss(net)
    bp.relu_grad(net.l1, net.l2, inplace=True)
    return lambda: bp.lin_grad(net.x, net.l2, net.w1, net.b1)


@hazard("relu_grad: out.g is None", "the buffer is inp.g now")
def ran_relu_grad_in_place_twice(net):
    backward_from_loss(net)
    bp.relu_grad(net.l1, net.l2, inplace=True)
    return lambda: bp.relu_grad(net.l1, net.l2, inplace=True)


@hazard("lin_grad: out.g is None", "backward(keep=True)")
def read_an_intermediate_gradient_after_a_backward_without_keep(net):
    backward_from_loss(net)
    net.loss.backward()
    return lambda: bp.lin_grad(net.l2, net.out, net.w2, net.b2)


@hazard("lin_grad: out.g is stale", "by lin(out=)", "mse_grad")
def reused_an_output_and_forgot_mse_grad(net):
    backward_from_loss(net)
    bp.lin(net.l2, net.w2, net.b2, out=net.out)
    return lambda: bp.lin_grad(net.l2, net.out, net.w2, net.b2)


@hazard("relu_grad: out.g is stale", "by relu(out=)")
def reused_activations_and_forgot_a_gradient(net):
    backward_from_loss(net)
    bp.relu(net.l1, out=net.l2)
    return lambda: bp.relu_grad(net.l1, net.l2)


@hazard("lin_grad: out.g is None")
def reused_an_output_that_was_a_gradient_and_forgot_mse_grad(net):
    bp.mse_grad(net.out, net.targ, inplace=True)
    bp.lin(net.l2, net.w2, net.b2, out=net.out)
    return lambda: bp.lin_grad(net.l2, net.out, net.w2, net.b2)


@hazard("'lin'", "by relu(out=)", "the old values")
def reused_activations_that_an_earlier_loss_needs(net):
    bp.relu(bp.lin(net.x, net.w1), out=net.l2)
    return net.loss.backward


@hazard("'mse'", "by lin(out=)")
def reused_an_output_that_an_earlier_loss_needs(net):
    bp.lin(net.l2, net.w2, out=net.out)
    return net.loss.backward


@hazard("'relu'", "by lin(out=)")
def wrote_a_layer_over_what_relu_reads(net):
    bp.lin(net.x, net.w1, out=net.l1)
    return net.loss.backward


@hazard("by backward", "'lin'")
def used_a_gradient_on_the_tape_and_went_back_again(net):
    net.loss.backward()
    penalty = bp.mse(bp.lin(bp.param(net.x), net.w1.g) @ net.w2, net.targ)
    forward(net).loss.backward()
    return penalty.backward


@hazard("by backward", "'lin'")
def used_a_gradient_on_the_tape_and_the_model_went_back_again(net):
    model = model_of(net)
    model(net.x, net.targ)
    model.backward()
    penalty = bp.mse(bp.lin(bp.param(net.x), net.w1.g) @ net.w2, net.targ)
    model.backward()
    return penalty.backward


@hazard("by t.g = value", "'lin'")
def assigned_a_gradient_that_the_tape_read(net):
    net.loss.backward()
    penalty = bp.mse(bp.lin(bp.param(net.x), net.w1.g) @ net.w2, net.targ)
    net.w1.g = np.zeros((64, 5), "f")
    return penalty.backward


# ---- out= ----


@hazard("relu: out overlaps x")
def gave_relu_its_own_input_as_out(net):
    return lambda: bp.relu(net.x, out=net.x)


@hazard("lin: out overlaps x")
def gave_lin_part_of_its_input_as_out(net):
    return lambda: bp.lin(net.x, np.ones((64, 64), "f"), out=net.x.data)


@hazard("lin: out overlaps w")
def gave_lin_its_weights_as_out(net):
    w = np.ones((6, 6), "f")
    return lambda: bp.lin(np.ones((6, 6), "f"), w, out=w)


@hazard("lin: out is the tensor 'w2'", "a parameter")
def gave_a_parameter_as_out(net):
    return lambda: bp.lin(np.ones((5, 3), "f"), np.ones((3, 10), "f"), out=net.w2)


@hazard("came from '[...]'", "memory of its own")
def gave_rows_of_a_result_as_out(net):
    return lambda: bp.lin(net.x, net.w1, out=net.l1[0:6])


# ---- models and plans ----


@hazard("layers[2].w", "by +=", "'lin'")
def changed_a_layer_between_a_models_forward_and_backward(net):
    net.w2.name = None
    model = net.kept = model_of(net)
    model(net.x, net.targ)
    net.w2 += 1
    return model.backward


@hazard("gradients took their place", "forward again", "inplace=False")
def went_back_twice_in_place(net):
    model = net.kept = model_of(net, inplace=True)
    model(net.x, net.targ)
    model.backward()
    return model.backward


@hazard("gradients took their place", "before backward")
def looked_at_an_activation_after_a_backward_in_place(net):
    model = net.kept = model_of(net, inplace=True)
    model(net.x, net.targ)
    model.backward()
    return lambda: model.layers[1].out


@hazard("'x'", "by *=")
def changed_x_between_forward_and_backward_in_place(net):
    model = net.kept = model_of(net, inplace=True)
    model(net.x, net.targ)
    net.x *= 2
    return model.backward


@hazard("by compile", "Compile before forward")
def compiled_between_forward_and_backward(net):
    model = net.kept = model_of(net)
    model(net.x, net.targ)
    bp.compile(model, batch=6)
    return model.backward


@hazard("'w2'", "by plan.step", "before the plan's step")
def let_a_plan_step_between_forward_and_backward(net):
    model = net.kept = model_of(net)
    plan = bp.compile(model, batch=6, optimizer=bp.SGD(model, lr=0.1))
    model(net.x, net.targ)
    plan.step(net.x, net.targ)
    return model.backward


@pytest.mark.parametrize("how", ["step", "grads"])
def test_a_plan_writes_over_a_gradient_that_the_tape_read(net, how):
    model = model_of(net)
    plan = bp.compile(model, batch=6, optimizer=bp.SGD(model, lr=0.1))
    plan.grads(net.x, net.targ)
    penalty, other = (bp.mse(bp.lin(bp.param(net.x), w), net.out[:, :5].data) for w in (net.w1.g, net.w1))
    getattr(plan, how)(net.x, net.targ)
    with pytest.raises(bp.GradientError, match="by a step of the plan"):
        penalty.backward()
    if how == "grads":
        other.backward()


# ---- more ways, each refused before anything is written ----


@hazard("overlaps targ")
def took_the_gradient_in_place_of_targets_that_are_the_output(net):
    return lambda: bp.mse_grad(net.out, net.out.data, inplace=True)


@hazard("out is one of the operands")
def called_lin_grad_with_its_input_as_its_output(net):
    backward_from_loss(net)
    return lambda: bp.lin_grad(net.out, net.out, np.ones((10, 10), "f"))


@hazard("not contiguous", "inplace=False")
def took_the_gradient_in_place_of_every_other_column(net):
    return lambda: bp.mse_grad(bp.as_tensor(net.x.data[:, ::2]), np.ones((6, 32), "f"), inplace=True)


@hazard("several elements", "use relu")
def ran_relu_in_place_on_a_row_that_stands_for_many(net):
    return lambda: bp.relu_(np.lib.stride_tricks.as_strided(net.x.data, (3, 64), (0, 4)))


def state(net):
    tensors = [value for value in vars(net).values() if isinstance(value, bp.Tensor)]
    return [(t, t.data.copy(), None if t.g is None else (t.g, t.g.data.copy())) for t in tensors]


def assert_unchanged(before):
    for t, data, g in before:
        assert_same_bits(t.data, data)
        assert (t.g is None) == (g is None)
        if g is not None:
            assert t.g is g[0]
            assert_same_bits(t.g.data, g[1])


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("name", HAZARDS)
def test_the_story_is_told_and_nothing_is_written(net, name, debug):
    if debug and "place" in name and "gradients took their place" in HAZARDS[name][1]:
        pytest.skip("the layers are called one by one, so nothing was lost: see test_debug.py")
    do, words = HAZARDS[name]
    with bp.debug(debug):
        refuses = do(net)
        before = state(net)
        with pytest.raises((bp.GradientError, ValueError)) as caught:
            refuses()
    for word in words:
        assert word in str(caught.value), caught.value
    if debug and "was overwritten after" in str(caught.value):
        assert re.search(r"by .* at test_hazards\.py:\d+", str(caught.value)), caught.value
    assert_unchanged(before)


def test_there_are_many():
    assert len(HAZARDS) >= 40
