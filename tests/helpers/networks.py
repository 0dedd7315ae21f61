"""The lesson's network in every form there is, after forward and backward, its tensors by the lesson's names."""

import numpy as np

import pybackprop as bp
from pybackprop.core import native

NAMES = ("w1", "b1", "w2", "b2")


def numbers(dtype, n=6, m=4, h=5, o=3, rng=0):
    """x, targ, w1, b1, w2, b2; some pre-activations are positive, some not. rng: a generator or its seed."""
    rng = np.random.default_rng(rng)
    shapes = {"x": (n, m), "targ": (n, o), "w1": (m, h), "b1": (h,), "w2": (h, o), "b2": (o,)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def tensors_of(arrays):
    return {name: (bp.tensor if name in ("x", "targ") else bp.param)(array) for name, array in arrays.items()}


def by_hand(arrays):
    t = tensors_of(arrays)
    t["l1"] = bp.lin(t["x"], t["w1"], t["b1"])
    t["l2"] = bp.relu(t["l1"])
    t["out"] = bp.lin(t["l2"], t["w2"], t["b2"])
    t["loss"] = bp.mse(t["out"], t["targ"])
    bp.mse_grad(t["out"], t["targ"])
    bp.lin_grad(t["l2"], t["out"], t["w2"], t["b2"])
    bp.relu_grad(t["l1"], t["l2"])
    bp.lin_grad(t["x"], t["l1"], t["w1"], t["b1"])
    return t


def tape(arrays, **options):
    t = tensors_of(arrays)
    t["l1"] = bp.lin(t["x"], t["w1"], t["b1"])
    t["l2"] = bp.relu(t["l1"])
    t["out"] = bp.lin(t["l2"], t["w2"], t["b2"])
    t["loss"] = bp.mse(t["out"], t["targ"])
    t["loss"].backward(**options)
    return t


def tape_kept(arrays):
    return tape(arrays, keep=True)


def expression(arrays):
    t = tensors_of(arrays)
    t["loss"] = bp.mse(bp.relu(t["x"] @ t["w1"] + t["b1"]) @ t["w2"] + t["b2"], t["targ"])
    t["loss"].backward()
    return t


def layers(arrays):
    t = tensors_of(arrays)
    model = bp.Model([bp.Lin(t["w1"], t["b1"]), bp.Relu(), bp.Lin(t["w2"], t["b2"])])
    t["loss"] = model(t["x"], t["targ"])
    model.backward()
    t["model"] = model
    return t


def layers_looked_at(arrays):
    t = layers(arrays)
    for name, layer in zip(("l1", "l2", "out"), t["model"].layers, strict=True):
        t[name] = layer.out
    return t


def in_place(arrays):
    t = tensors_of(arrays)
    t["l2"] = bp.relu_(bp.lin(t["x"], t["w1"], t["b1"]))
    t["out"] = bp.lin(t["l2"], t["w2"], t["b2"])
    t["loss"] = bp.mse(t["out"], t["targ"])
    t["loss"].backward()
    return t


def by_hand_in_place(arrays):
    t = tensors_of(arrays)
    t["l1"] = t["l2"] = bp.relu_(bp.lin(t["x"], t["w1"], t["b1"]))
    t["out"] = bp.lin(t["l2"], t["w2"], t["b2"])
    t["loss"] = bp.mse(t["out"], t["targ"])
    bp.mse_grad(t["out"], t["targ"], inplace=True)
    bp.lin_grad(t["l2"], t["out"], t["w2"], t["b2"])
    bp.relu_grad(t["l1"], t["l2"], inplace=True)
    bp.lin_grad(t["x"], t["l1"], t["w1"], t["b1"])
    return t


def each_layer(arrays):
    """Each layer called and walked back by hand."""
    t = tensors_of(arrays)
    steps = [bp.Lin(t["w1"], t["b1"]), bp.Relu(), bp.Lin(t["w2"], t["b2"])]
    t["l1"] = steps[0](t["x"])
    t["l2"] = steps[1](t["l1"])
    t["out"] = steps[2](t["l2"])
    mse = bp.Mse()
    t["loss"] = mse(t["out"], t["targ"])
    for step in [mse, *steps[::-1]]:
        step.backward()
    return t


def layers_with_functions(arrays):
    """A Model with functions among its layers, and one for its loss."""
    t = tensors_of(arrays)
    model = bp.Model([bp.Lin(t["w1"], t["b1"]), bp.relu, bp.Lin(t["w2"], t["b2"])], loss=bp.mse)
    t["loss"] = model(t["x"], t["targ"])
    model.backward()
    t["model"] = model
    return t


NETWORKS = [by_hand, tape, tape_kept, expression, layers, layers_looked_at, in_place]
FORMS = [*NETWORKS, by_hand_in_place, each_layer, layers_with_functions]


def right_loss(arrays):
    """The loss by csrc/reference.c."""
    a, r = arrays, bp.reference
    l2 = r.relu_forward(r.linear_forward(a["x"], a["w1"], a["b1"]))
    return r.mse_forward(r.linear_forward(l2, a["w2"], a["b2"]), a["targ"])


def right_gradients(arrays):
    """Every tensor's gradient by csrc/ops/reference.c."""
    a, r = arrays, bp.reference
    l1 = r.linear_forward(a["x"], a["w1"], a["b1"])
    l2 = r.relu_forward(l1)
    out = r.linear_forward(l2, a["w2"], a["b2"])
    g = {"out": r.mse_backward(out, a["targ"])}
    g["targ"] = -g["out"]
    g["l2"], g["w2"] = r.linear_backward_x(g["out"], a["w2"]), r.linear_backward_w(l2, g["out"])
    g["b2"], g["l1"] = r.linear_backward_b(g["out"]), r.relu_backward(l1, g["l2"])
    g["x"], g["w1"] = r.linear_backward_x(g["l1"], a["w1"]), r.linear_backward_w(a["x"], g["l1"])
    g["b1"] = r.linear_backward_b(g["l1"])
    return g


def order_of(n, batch, seed, epoch):
    """The rows of each step of an epoch of fit, counted from 1."""
    order = native.indices(n)
    native.permute(order, n, seed, epoch)
    return [native.as_index(order)[start : start + batch].copy() for start in range(0, n, batch)]
