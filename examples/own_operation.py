"""An operation of your own, in Python alone: softplus(x) = log(1 + exp(x)), from two functions on numpy arrays.

python examples/own_operation.py
"""

import numpy as np

import pybackprop as bp

softplus = bp.define_op(
    "softplus",
    forward=lambda x: np.logaddexp(0, x),
    backward=lambda dout, x: dout / (1 + np.exp(-x)),  # the slope of softplus is the logistic function
    equation="out = log(1 + exp(inp))",
    gradients=["out.g / (1 + exp(-inp))"],
    elementwise=True,
)


def main():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 4)).astype(np.float32)
    targ = rng.standard_normal((6, 2)).astype(np.float32)
    w1, b1 = bp.param(rng.standard_normal((4, 3)), np.float32, name="w1"), bp.param(np.zeros(3), np.float32, name="b1")
    w2, b2 = bp.param(rng.standard_normal((3, 2)), np.float32, name="w2"), bp.param(np.zeros(2), np.float32, name="b2")

    # As a layer; a Model, the tape and gradcheck need nothing else.
    model = bp.Model([bp.Lin(w1, b1), bp.Activation(softplus), bp.Lin(w2, b2)], loss=bp.Mse())
    print(bp.gradcheck(model, x, targ))

    # In an expression. explain knows the operation from its two functions and its equation.
    with bp.ledger() as ledger:
        loss = bp.mse(softplus(bp.tensor(x, name="x") @ w1 + b1) @ w2 + b2, targ)
        loss.backward(keep=True)
    print(bp.explain(w1, at=(0, 0)))
    print(ledger)


if __name__ == "__main__":
    main()
