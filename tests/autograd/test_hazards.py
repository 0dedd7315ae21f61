"""The stories of updates, results, models and plans: see helpers/hazards.py."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.hazards import Hazards, backward_from_loss, forward, lesson, model_of

HAZARDS = Hazards()
hazard = HAZARDS.hazard


@pytest.fixture
def net(rng):
    return lesson(rng)


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


@hazard("result of 'lin'", "make its gradient wrong", "bp.tensor(t)")
def multiplied_a_result(net):
    return lambda: net.l1.__imul__(2)


@hazard("result of 'relu'", "on the tape")
def set_an_element_of_a_result(net):
    return lambda: net.l2.__setitem__((0, 0), 1)


@hazard("came from '[...]'", "may share the memory")
def ran_relu_in_place_on_rows_of_a_result(net):
    return lambda: bp.relu_(net.l1[0:2])


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


# ---- the stories ----


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("name", HAZARDS)
def test_the_story_is_told_and_nothing_is_written(rng, name, debug):
    HAZARDS.check(name, lesson(rng), debug)


def test_there_are_many():
    assert len(HAZARDS) >= 29
