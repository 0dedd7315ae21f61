"""The lesson's network in every form there is: each takes arrays and gives (loss, gradients by name)."""

import numpy as np

import pybackprop as bp

NAMES = ("w1", "b1", "w2", "b2")


def network(rng, n=13, m=7, h=5, o=3, dtype=np.float32):
    """(x, parameters, targ) as arrays."""
    shapes = [(m, h), (h,), (h, o), (o,)]
    parameters = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    return rng.standard_normal((n, m)).astype(dtype), parameters, rng.standard_normal((n, o)).astype(dtype)


def functions(x, parameters, targ):
    loss, gradients = every_gradient(x, parameters, targ)
    return loss, gradients[:4]


def every_gradient(x, parameters, targ):
    """By the lesson's functions, which leave the data's gradient too: those of w1, b1, w2, b2, x."""
    x = bp.tensor(x)
    w1, b1, w2, b2 = map(bp.tensor, parameters)
    l1 = bp.lin(x, w1, b1)
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, targ)
    bp.mse_grad(out, targ)
    bp.lin_grad(l2, out, w2, b2)
    bp.relu_grad(l1, l2)
    bp.lin_grad(x, l1, w1, b1)
    return float(loss), [t.g.data for t in (w1, b1, w2, b2, x)]


def functions_inplace(x, parameters, targ):
    x = bp.tensor(x)
    w1, b1, w2, b2 = map(bp.tensor, parameters)
    l2 = l1 = bp.relu_(bp.lin(x, w1, b1))
    out = bp.lin(l2, w2, b2)
    loss = float(bp.mse(out, targ))
    bp.mse_grad(out, targ, inplace=True)
    bp.lin_grad(l2, out, w2, b2)
    bp.relu_grad(l1, l2, inplace=True)
    bp.lin_grad(x, l1, w1, b1)
    return loss, [p.g.data for p in (w1, b1, w2, b2)]


def tape(x, parameters, targ):
    w1, b1, w2, b2 = map(bp.param, parameters)
    z = bp.mse(bp.relu(bp.tensor(x) @ w1 + b1) @ w2 + b2, targ)
    z.backward()
    return float(z), [p.g.data for p in (w1, b1, w2, b2)]


def tape_inplace(x, parameters, targ):
    w1, b1, w2, b2 = map(bp.param, parameters)
    z = bp.mse(bp.lin(bp.relu_(bp.lin(x, w1, b1)), w2, b2), targ)
    z.backward()
    return float(z), [p.g.data for p in (w1, b1, w2, b2)]


def layers(x, parameters, targ):
    """Each layer called and walked back by hand."""
    w1, b1, w2, b2 = map(bp.param, parameters)
    steps = [bp.Lin(w1, b1), bp.Relu(), bp.Lin(w2, b2)]
    out = bp.tensor(x)
    for step in steps:
        out = step(out)
    mse = bp.Mse()
    loss = float(mse(out, targ))
    for step in [mse, *steps[::-1]]:
        step.backward()
    return loss, [p.g.data for p in (w1, b1, w2, b2)]


def model(x, parameters, targ):
    w1, b1, w2, b2 = map(bp.param, parameters)
    network = bp.Model([bp.Lin(w1, b1), bp.Relu(), bp.Lin(w2, b2)], loss=bp.Mse())
    loss = network(x, targ)
    network.backward()
    return float(loss), [p.g.data for p in (w1, b1, w2, b2)]


def model_with_functions(x, parameters, targ):
    w1, b1, w2, b2 = map(bp.param, parameters)
    network = bp.Model([bp.Lin(w1, b1), bp.relu, bp.Lin(w2, b2)], loss=bp.mse)
    loss = network(x, targ)
    network.backward()
    return float(loss), [p.g.data for p in (w1, b1, w2, b2)]


def reference(x, parameters, targ):
    """The definition, step by step."""
    ref = bp.reference
    w1, b1, w2, b2 = parameters
    l1 = ref.linear_forward(x, w1, b1)
    l2 = ref.relu_forward(l1)
    out = ref.linear_forward(l2, w2, b2)
    dout = ref.mse_backward(out, targ)
    dl1 = ref.relu_backward(l1, ref.linear_backward_x(dout, w2))
    return float(ref.mse_forward(out, targ)), [
        ref.linear_backward_w(x, dl1),
        ref.linear_backward_b(dl1),
        ref.linear_backward_w(l2, dout),
        ref.linear_backward_b(dout),
    ]


FORMS = [functions, functions_inplace, tape, tape_inplace, layers, model, model_with_functions]
