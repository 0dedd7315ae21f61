"""Arithmetic that people type in a lesson."""

import numpy as np

# What a learner types, of x (6,4) and y (6,4), both away from 0: the gradient of its sum of squares is asked for.
TYPED = {
    "a difference": lambda x, y: x - y,
    "a product": lambda x, y: x * y,
    "a quotient": lambda x, y: x / y,
    "a square": lambda x, y: x * x + y**2,
    "numbers first": lambda x, y: (2 - x) * (3 / y) + 1.5 * x,
    "numbers last": lambda x, y: (x - 2) / 3 + y * 0.5,
    "minus": lambda x, y: -x + y.pow(3),
    "a negative power": lambda x, y: x**-2 + y**-1,
    "a root": lambda x, y: (x * x).sqrt() + (y * y) ** 0.5,
    "sums": lambda x, y: x.sum(0) + y.sum(1, keepdims=True),
    "the lesson's sums": lambda x, y: x.sum(dim=0) * y.sum(dim=-1, keepdim=True),
    "means": lambda x, y: x.mean(0) + y.mean(-1, keepdims=True) * x.mean(),
    "centred": lambda x, y: (x - x.mean(0)) / ((y - y.mean(0)) ** 2).mean(0).sqrt(),
    "transposes": lambda x, y: x.T @ y + y.t() @ x,
    "a vector": lambda x, y: x @ y[0] + y @ x.mean(0),
    "vectors": lambda x, y: (x[1] @ y[2]) * (y @ x[0]),
    "shapes": lambda x, y: x.reshape(4, 6) @ y.view(-1, 4) + x.flatten()[:16].reshape((4, 4)),
    "axes of length 1": lambda x, y: (x.unsqueeze(1) * y.unsqueeze(0)).sum(2) + x[:, :1].squeeze(),
    "rows and columns": lambda x, y: x[1:4, ::2] * y[None, 2, 0:2] + x[-1, 3],
    "rows twice": lambda x, y: x[[0, 2, 0, 0]] * y[np.array([1, 1, 5, 2])],
    "where positive": lambda x, y: x[x > 0].sum() * y,
    "clamped": lambda x, y: x.clamp_min(0.0) + y.clamp_min(-0.3) + x.clamp_min(0.4),
    "a copy": lambda x, y: x.clone() * y,
    "other precision": lambda x, y: (x.float() * y.float()).double() + x.double(),
    "numpy's words": lambda x, y: np.sum(x, axis=0) * np.mean(y, axis=1, keepdims=True) + np.square(np.transpose(x).T),
    "numpy's shapes": lambda x, y: np.reshape(x, (4, 6)) @ np.expand_dims(np.squeeze(y), 0)[0] - np.sqrt(y[0] * y[0]),
    "the same tensor everywhere": lambda x, y: x * x.T.T - x / (x * x + 1) + x.sum() * y,
}
