"""Trains on the built-in digits with a compiled plan, stops when the validation loss no longer improves, and saves.

python examples/train_digits.py [FILE.npz]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import pybackprop as bp


def train(digits, epochs=100, patience=5):
    """The trained model and the history of its epochs; because of patience, its parameters are the best epoch's."""
    one_hot = np.eye(10, dtype=np.float32)
    model = bp.mlp([64, 50, 10], seed=0)
    plan = bp.compile(model, batch=8, optimizer=bp.SGD(model, lr=0.05, momentum=0.9))
    history = plan.fit(
        digits.x_train,
        one_hot[digits.y_train],
        epochs=epochs,
        seed=0,
        validation=(digits.x_valid, one_hot[digits.y_valid]),
        patience=patience,
        schedule=lambda epoch: 0.05 if epoch <= 15 else 0.02,
    )
    return model, history


def accuracy(model, digits):
    """The share of the validation digits that the model recognizes."""
    return float(np.mean(model.predict(digits.x_valid).argmax(1) == digits.y_valid))


def main(path):
    digits = bp.data.digits()
    model, history = train(digits)
    for epoch in history[::5]:
        print(f"epoch {epoch.epoch:2}: loss {epoch.loss:.4f}, validation {epoch.validation:.4f}")
    print(f"stopped after {len(history)} epochs; {accuracy(model, digits):.1%} of the validation digits are right")

    bp.save(model, path)
    again = bp.load(path)
    assert (again.predict(digits.x_valid).data == model.predict(digits.x_valid).data).all()
    print(f"saved to {path.name}, loaded again: the same outputs, bit for bit")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder, "digits.npz"))
