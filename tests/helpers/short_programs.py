"""Random programs of the lesson's operations, right and wrong, and everything that can be seen of what they did."""

import random
from collections import Counter
from importlib import import_module

import numpy as np

import pybackprop as bp
from pybackprop.autograd import tape
from pybackprop.autograd.tensor import Tensor
from pybackprop.ops.short import nothing

SHORT = [
    (import_module(f"pybackprop.ops.{module}"), name)
    for module, names in {
        "linear": ("lin", "lin_grad"),
        "relu": ("relu", "relu_grad"),
        "mse": ("mse", "mse_grad"),
    }.items()
    for name in names
]
SIZES = (1, 2, 3)


class Taken(Counter):
    """How often each short call did what it was asked for; left: how often not."""

    def __init__(self):
        super().__init__()
        self.names = [name for _, name in SHORT]
        self.left = Counter()

    def counted(self, name, call):
        def counting(*operands):
            result = call(*operands)
            (self.left if result is None else self)[name] += 1
            return result

        return counting


def short_calls_taken(patch):
    taken = Taken()
    for module, name in SHORT:
        patch.setattr(module, f"_short_{name}", taken.counted(name, getattr(module, f"_short_{name}")))
    return taken


def without_short_calls(patch):
    for module, name in SHORT:
        patch.setattr(module, f"_short_{name}", nothing)


class Other(np.ndarray):
    """Another kind of array."""


class Mine(Tensor):
    """Another kind of tensor."""


def unaligned(array):
    moved = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def read_only(array):
    array.flags.writeable = False
    return array


def spoiled(array):
    tensor = bp.tensor(array)
    bp.mse_grad(tensor, array, inplace=True)
    return tensor


def off_tape(array):
    tensor = bp.lin(bp.tensor(array.reshape(-1, 1)), bp.param(np.ones((1, 1), array.dtype))).reshape(array.shape)
    tensor.requires_g = False
    return tensor


def in_a_plan(array):
    model = bp.Model([bp.Lin(np.atleast_2d(array))])
    bp.compile(model, batch=2)
    return model.layers[0].w


USUAL = [bp.tensor, bp.tensor, bp.param, np.array, bp.as_tensor, lambda a: bp.relu(bp.param(a)),
         lambda a: bp.relu(bp.tensor(a)), lambda a: bp.tensor(np.stack([a, a]))[1],
         lambda a: np.stack([a, a])[1]]  # fmt: skip
ODD = [np.ndarray.tolist, lambda a: a.astype(a.dtype.newbyteorder()), np.asfortranarray, unaligned, read_only, spoiled,
       lambda a: np.repeat(a, 2, axis=0)[::2], lambda a: bp.tensor(np.repeat(a, 2, axis=0))[::2], off_tape, in_a_plan,
       lambda a: a.view(Other), Mine, lambda a: Mine(a, requires_g=True), lambda a: a > 0, lambda a: a * 1j,
       lambda a: bp.tensor(a, np.float64), lambda a: a.astype(np.float32), lambda a: None, lambda a: 2.0, lambda a: "a",
       lambda a: a[:0], lambda a: bp.tensor(a[:0]), lambda a: a[None], lambda a: bp.as_tensor(read_only(a)),
       lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape), lambda a: np.ma.array(a),
       lambda a: memoryview(a), lambda a: np.frombuffer(memoryview(a.copy()), a.dtype).reshape(a.shape)]  # fmt: skip


class Program:
    """A random program. Its pool holds the operands, in the order in which they were made."""

    def __init__(self, seed, dtype):
        self.random, self.numbers, self.dtype = random.Random(seed), np.random.default_rng(seed), dtype
        self.pool = []
        for shape in [(n, m) for n in SIZES for m in SIZES] + [(n,) for n in SIZES] * 2 + [()]:
            kinds = ODD if self.random.random() < 0.15 and shape else USUAL
            self.pool.append(self.random.choice(kinds)(self.numbers.standard_normal(shape).astype(dtype)))

    def any(self, *shape):
        """A member of the pool: of this shape, where None is any length, but sometimes of any other."""
        if self.random.random() < 0.03:
            return self.random.choice(self.pool)
        return self.random.choice([each for each in self.pool if fits(np.shape(each), shape)] or self.pool)

    def tensor(self, *shape):
        """As any, preferably a tensor."""
        found = [self.any(*shape) for _ in range(4)]
        return next((each for each in found if isinstance(each, Tensor)), found[0])

    def step(self):
        """Does something, and returns its result, if there is one for the pool."""
        n, m, h = (self.random.choice(SIZES) for _ in range(3))
        shape = self.random.choice([(n, m), (n, m), (n,), ()])
        b = self.any(h) if self.random.random() < 0.7 else None
        return self.random.choice(
            [
                lambda: bp.lin(self.any(n, m), self.any(m, h), b),
                lambda: bp.relu(self.any(*shape)),
                lambda: bp.mse(self.any(n, m), self.any(n, m)),
                lambda: bp.mse(self.any(n, 1), self.any(n)),
                lambda: bp.mse_grad(self.tensor(n, m), self.any(n, m), self.random.random() < 0.1),
                lambda: bp.mse_grad(self.tensor(n, m), self.any(n, m)),
                lambda: bp.relu_grad(self.tensor(*shape), self.tensor(*shape), self.random.random() < 0.2),
                lambda: bp.relu_grad(self.tensor(*shape), self.tensor(*shape)),
                lambda: bp.lin_grad(self.tensor(n, m), self.tensor(n, h), self.tensor(m, h), b),
                lambda: bp.lin_grad(self.tensor(n, m), self.tensor(n, h), self.tensor(m, h), b),
                lambda: setattr(self.tensor(n, m), "g", self.numbers.standard_normal((n, m)).astype(self.dtype)),
                lambda: setattr(self.tensor(n, m), "g", None),
                lambda: setattr(self.tensor(n, m), "requires_g", self.random.random() < 0.5),
                lambda: self.tensor(n, m).__setitem__(0, 1.5),
                lambda: bp.relu_(self.tensor(n, m)),
                lambda: self.tensor().backward(keep=self.random.random() < 0.5),
                lambda: self.tensor(n, m).g,
                lambda: self.tensor(n, m).alias(),
                self.paused,
            ]
        )()

    def paused(self):
        with tape.paused():
            return bp.relu(self.any(2, 3))


def fits(found, shape):
    return len(found) == len(shape) and all(b is None or a == b for a, b in zip(found, shape, strict=True))


def outcome(program, steps=40):
    """What each step did, and then everything about every tensor in the pool."""
    lines = []
    for _ in range(steps):
        try:
            result = program.step()
        except Exception as error:
            lines.append((type(error), str(error)))
            continue
        lines.append(type(result))
        if isinstance(result, Tensor):
            program.pool.append(result)
    names = {id(each): k for k, each in enumerate(program.pool)}
    return lines + [seen(each, names) for each in program.pool if isinstance(each, Tensor)]


def seen(tensor, names, inner=True):
    """Everything about a tensor."""
    version, place, g = tensor._version, tensor._g_place, tensor._g
    array = tensor._array
    return {
        "type": type(tensor),
        "values": (array.dtype, array.shape, array.strides, array.tobytes(), array.flags.writeable),
        "name": tensor.name,
        "requires_g": tensor.requires_g,
        "version": (type(version), version.count, version.by, len(version.log)),
        "place": place and (place.values, place.writes, place.through, place.gone),
        "pinned": tensor._pin is not None and tensor._pin() is not None,
        "matrix": tensor._matrix is None,
        "node": tensor._node and from_node(tensor._node, names),
        "origin": tensor._origin and from_origin(tensor._origin, names),
        "g": seen(g, names, False) if g is not None and inner else g is None,
    }


def from_node(node, names):
    def known(each):
        return names.get(id(each), type(each))

    return {
        "op": node.op.name,
        "inputs": (type(node.inputs), [known(each) for each in node.inputs]),
        "params": dict(node.params),
        "origins": [each and each.op.name for each in node.origins],
        "saved": [(known(each), each.shape, count) for each, count in node.saved],
        "checksums": node.checksums,
        "read": hasattr(node, "read"),
    }


def from_origin(origin, names):
    return {
        "op": origin.op and origin.op.name,
        "params": dict(origin.params),
        "count": origin.count,
        "depth": origin.depth,
        "operands": [
            (
                names.get(id(operand.tensor())),
                operand.count,
                operand.array is None or operand.array() is not None,
                operand.origin and from_origin(operand.origin, names),
            )
            for operand in origin.operands
        ],
    }
