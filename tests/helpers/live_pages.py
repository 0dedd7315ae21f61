"""For tests of the live page: a network, and a front end in place of a notebook's."""

import json

import numpy as np

import pybackprop as bp


class Front:
    """What widget.js does in a notebook: one view of a page."""

    def __init__(self, page, name="a"):
        self.page, self.name, self.count, self.heard = page, name, 0, []
        page.send = self.heard.append  # of several views, the latest hears all
        self.say(kind="ready")

    def say(self, **message):
        self.page._handle_custom_msg({**message, "view": self.name}, [])

    def write(self, *changes):
        """Changes, each (name, indices, value), as a JSON message; the sentence of the answer."""
        self.count += 1
        changes = [[name, list(at), written(value)] for name, at, value in changes]
        self.say(**json.loads(json.dumps({"kind": "write", "count": self.count, "changes": changes}, allow_nan=False)))
        answer = next(m for m in reversed(self.heard) if m["kind"] == "answer")
        assert answer["answered"] == self.count
        return answer["text"]

    def news(self):
        """The values that were sent to this view since the last call, name -> {flat index: value}."""
        found = [m for m in self.heard if m["kind"] == "values" and m["view"] == self.name]
        self.heard.clear()
        json.dumps(found, allow_nan=False)
        both = {}
        for message in found:
            for name, said in message["tensors"].items():
                both.setdefault(name, {}).update(zip(said["at"], said["values"], strict=True))
        return both


def written(value):
    """A number as linked.js writes it."""
    special = np.isnan(value) or np.isinf(value) or (value == 0 and np.signbit(value))
    return {"nan": "NaN", "inf": "Infinity", "-0.0": "-0"}[str(value)] if special else value


def network(dtype=np.float32, n=4, flat=False):
    rng = np.random.default_rng(3)
    x = bp.tensor(rng.normal(size=(n, 5)), dtype, name="x")
    w, b = (
        bp.param(rng.normal(size=(5, 1 if flat else 3)), dtype, name="w1"),
        bp.param(np.zeros(1 if flat else 3), dtype),
    )
    targ = bp.tensor(rng.normal(size=n if flat else (n, 3)), dtype, name="targ")
    loss = bp.mse(bp.lin(x, w, b), targ)
    loss.backward(keep=True)
    return x, w, b, targ, loss
