"""The lesson by hand: a network with one hidden layer, its gradients step by step, and an explanation of one of them.

python examples/lesson.py
"""

import numpy as np

import pybackprop as bp


def parameters(rng):
    """w1 (64,50), b1 (50), w2 (50,10), b2 (10), in float32."""
    shapes = {"w1": (64, 50), "b1": (50,), "w2": (50, 10), "b2": (10,)}
    return [bp.param(rng.normal(0, 0.2, shape), np.float32, name=name) for name, shape in shapes.items()]


def step(x, targ, w1, b1, w2, b2, lr):
    """One step of gradient descent; returns the loss before the update."""
    l1 = bp.lin(x, w1, b1)
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, targ)

    bp.mse_grad(out, targ)  # out.g = 2 (out - targ) / size
    bp.lin_grad(l2, out, w2, b2)  # l2.g = out.g @ w2.T   w2.g = l2.T @ out.g   b2.g = out.g.sum(0)
    bp.relu_grad(l1, l2)  # l1.g = (l1 > 0) * l2.g
    bp.lin_grad(x, l1, w1, b1)

    for p in (w1, b1, w2, b2):
        p -= lr * p.g
    return float(loss)


def main():
    digits = bp.data.digits()
    x = bp.tensor(digits.x_train[:200], name="x")
    targ = np.eye(10, dtype=np.float32)[digits.y_train[:200]]
    w1, b1, w2, b2 = parameters(np.random.default_rng(0))

    for number in range(101):
        loss = step(x, targ, w1, b1, w2, b2, lr=0.5)
        if number % 25 == 0:
            print(f"step {number:3}: loss {loss:.4f}")

    # One more pass, on four samples, to explain the gradient of a single weight.
    few = bp.tensor(digits.x_train[:4], name="x")
    loss = bp.mse(bp.lin(bp.relu(bp.lin(few, w1, b1)), w2, b2), targ[:4])
    loss.backward(keep=True)
    k, j = np.unravel_index(np.abs(w1.g.data).argmax(), w1.shape)
    print(bp.explain(w1, at=(int(k), int(j))))


if __name__ == "__main__":
    main()
