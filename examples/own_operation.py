"""Your own operation in pure Python: softplus(x) = log(1 + exp(x)), from two functions on numpy arrays.

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
    x = bp.tensor(rng.standard_normal((4, 3)), np.float32, name="x")
    targ = rng.standard_normal((4, 1)).astype(np.float32)
    shapes = {"w1": (3, 2), "b1": (2,), "w2": (2, 1), "b2": (1,)}
    w1, b1, w2, b2 = (bp.param(rng.standard_normal(s), np.float32, name=name) for name, s in shapes.items())

    # As a layer: Model and gradcheck work with it as it is.
    model = bp.Model([bp.Lin(w1, b1), softplus, bp.Lin(w2, b2)], loss=bp.Mse())
    print(bp.gradcheck(model, x, targ))

    # In an expression: it is recorded on the tape and in the ledger.
    with bp.ledger() as ledger:
        l1 = bp.lin(x, w1, b1)
        l1.name = "l1"
        loss = bp.mse(bp.lin(softplus(l1), w2, b2), targ)
        loss.backward(keep=True)
    print(ledger)

    # The explanation of its input's gradient comes from the two functions and the equation.
    print(bp.explain(l1, at=(0, 1)))


if __name__ == "__main__":
    main()
