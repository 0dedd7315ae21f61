"""The stories of what is done in place, and of gradients that moved: see helpers/hazards.py."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.hazards import Hazards, backward_from_loss, forward, forward_in_place, lesson, model_of

HAZARDS = Hazards()
hazard = HAZARDS.hazard


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


@hazard("relu_grad: out.g is None", "its buffer now holds inp.g")
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


# ---- the stories ----


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("name", HAZARDS)
def test_the_story_is_told_and_nothing_is_written(rng, name, debug):
    HAZARDS.check(name, lesson(rng), debug)


def test_there_are_many():
    assert len(HAZARDS) >= 26
