"""Flush-to-zero and rounding modes that another library sets: our bits stay, and so does what it set."""

import ctypes
import inspect

import numpy as np
import pytest

import pybackprop as bp
from helpers.compile_c import compilers
from helpers.plans import STRATEGIES
from helpers.products import POOL
from pybackprop import reference
from pybackprop.core.arithmetic import MULTIPLY

CHANGES = {"flush to zero": 0, "upwards": 1, "downwards": 2, "towards zero": 3}
SMALL = {np.float32: 1e-20, np.float64: 1e-155}  # products of such numbers are subnormal
LR, MU, SLOPE = 0.1, 0.7, 0.3  # none of them is a float32


@pytest.fixture(scope="module")
def environment(builds):
    """environment(), set_environment(value), changed_environment(how) of the thread that calls."""
    if not compilers():
        pytest.skip("no C compiler here")
    library = ctypes.CDLL(str(builds.library("environment")))
    for function in (library.environment, library.changed_environment):
        function.restype = ctypes.c_uint64
    library.set_environment.argtypes = [ctypes.c_uint64]
    library.set_environment.restype = None
    return library


def in_changed(environment, how, work):
    """What work() returns in a changed environment, which must still be there afterwards."""
    usual = environment.environment()
    changed = environment.changed_environment(how)
    assert changed != usual
    environment.set_environment(changed)
    try:
        found = work()
        assert environment.environment() == changed
    finally:
        environment.set_environment(usual)
    return found


def numbers(rng, *shape, dtype):
    """Half of them so small that their products are subnormal, or are so themselves."""
    tiny = rng.choice([1, SMALL[dtype], np.finfo(dtype).tiny / 64], shape)
    return (rng.standard_normal(shape) * tiny).astype(dtype)


def everything(net, x, targ):
    """The results and gradients of one pass over a model."""
    loss = net(x, targ)
    net.backward()
    return [loss.data.copy(), net(x).data.copy(), *(p.g.data.copy() for p in net.parameters())]


def model(rng, dtype, tiny, inplace=False):
    """A network and (x, targ); tiny: the activations are subnormal, so the gradients of later weights are too."""
    layers, small = [], SMALL[dtype] if tiny else 1
    for m, h in ((70, 90), (90, 33), (33, 5)):
        w, b = rng.standard_normal((m, h)) * (small if m == 70 else 1) / 10, rng.standard_normal(h) * small * small
        layers += [bp.Lin(*(bp.tensor(p.astype(dtype)) for p in (w, b)))]
        layers += [bp.Relu() if m == 70 else bp.LeakyRelu(SLOPE)]
    x, targ = rng.standard_normal((1100, 70)) * small, rng.standard_normal((1100, 5))
    return bp.Model(layers, inplace=inplace), x.astype(dtype), targ.astype(dtype)


def operations(rng, dtype):
    """matmul, lin, relu, leaky_relu, mse, alone and with their gradients."""
    a, b, c = (numbers(rng, *shape, dtype=dtype) for shape in ((700, 90), (90, 61), (700, 61)))
    bias = numbers(rng, 61, dtype=dtype)

    def work():
        x, w, v, targ = bp.param(a), bp.param(b), bp.param(bias), bp.tensor(c)
        out = bp.lin(x, w, v)
        hidden = bp.leaky_relu(bp.relu(out), SLOPE)
        loss = bp.mse(hidden, targ)
        loss.backward()
        products = [bp.matmul(a, b), bp.matmul(a.T, c), bp.matmul(c, b, transpose_b=True), bp.matmul(a[:7], b[:, :3])]
        return [out, hidden, loss, bp.mse(c[:, :9].copy(), a[:, :9].copy()), *products, x.g, w.g, v.g]

    return work


def arithmetic(rng, dtype):
    """What is typed by hand: + - * / and so on, with their gradients, and an update in place."""
    start = [numbers(rng, *shape, dtype=dtype) for shape in ((700, 9), (9,), (700, 1))]

    def work():
        x, row, column = (bp.param(array) for array in start)
        out = (x * row - column * LR) / (x * x + column + 1) + (row**3).sum() - (x.sqrt() * MU).clamp_min(SLOPE)
        loss = (out * out + x.mean(0) / 3 - x.sum(1, keepdims=True) + (2 - column) / (1 + row * row)).mean()
        loss.backward()
        found = [out, loss, bp.tensor(x.g), bp.tensor(row.g), bp.tensor(column.g)]
        for p in (x, row, column):
            p -= LR * p.g
            p *= MU
        return [*found, x, row, column]

    return work


def references(rng, dtype):
    """Every function that defines an operation."""
    arrays = {"x": (70, 9), "w": (9, 6), "b": (6,), "dout": (70, 6), "a": (70, 9), "inp": (70, 9), "p": (70, 6),
              "dp": (70, 6), "v": (70, 6), "out": (70, 6), "targ": (70, 6)}  # fmt: skip
    given = {name: numbers(rng, *shape, dtype=dtype) for name, shape in arrays.items()}
    given |= {"lr": LR, "mu": MU, "negative_slope": SLOPE, "low": LR, "operation": MULTIPLY, "exponent": 3, "axis": 0}
    given |= {"m": given["v"], "t": 3, "weight_decay": LR, "factor": LR, "loss": "mse", "weight": np.arange(70.0)}
    functions = [f for name, f in inspect.getmembers(reference, inspect.isfunction)
                 if not name.startswith("_") and f.__module__ == reference.__name__]  # fmt: skip

    def call(function):
        names = [name for name, p in inspect.signature(function).parameters.items() if p.default is p.empty]
        arguments = {name: given[name] for name in names}
        if "x" in names and "dout" in names and not function.__name__.startswith("linear"):
            arguments["dout"] = given["a"]
        if function.__name__.startswith(("cross_entropy", "nll")):
            arguments["targ"] = np.arange(70) % 6
        if function.__name__.startswith("binary"):
            arguments["targ"] = np.clip(abs(given["targ"]), 0, 1)
        if function.__name__ == "adam_update":
            arguments["v"] = abs(given["v"])
        if function.__name__ == "arithmetic":
            arguments["b"] = given["x"]
        if function.__name__ == "matmul":
            arguments["b"] = given["w"]
        return function(**arguments)

    def work():
        found = [call(function) for function in functions]
        return [part for one in found for part in (one if isinstance(one, tuple) else (one,))]

    return work


def passes(rng, dtype):
    made = [model(rng, dtype, tiny, inplace) for tiny in (False, True) for inplace in (False, True)]
    return lambda: [part for one in made for part in everything(*one)]


def plan_of(strategy):
    def steps(net, x, targ):
        sgd = bp.SGD(net, lr=LR, momentum=MU)
        plan = bp.compile(net, batch=600, optimizer=sgd, strategy=strategy)

        def work():
            loss = plan.grads(x[:600], targ[:600])
            found = [loss, plan.predict(x), *(p.g.data.copy() for p in net.parameters())]
            found += [plan.step(x[:600], targ[:600]) for _ in range(2)]
            plan.fit(x, targ, epochs=1, batch=600)
            return [*found, *(p.data.copy() for p in net.parameters())]

        return work

    def make(rng, dtype):
        plain, tiny = (steps(*model(rng, dtype, tiny)) for tiny in (False, True))
        return lambda: plain() + tiny()

    return make


def sums_over_paths(rng, dtype):
    """Gradients of tensors that are used several times, and of several losses, added up by the tape."""
    a, b, c = (numbers(rng, *shape, dtype=dtype) for shape in ((70, 9), (9, 9), (70, 9)))

    def work():
        x, w = bp.param(a), bp.param(b)
        out = bp.lin(bp.relu(bp.lin(x, w)), w)
        bp.mse(out, c).backward()
        found = [x.g.data.copy(), w.g.data.copy()]
        for _ in range(2):
            bp.mse(bp.relu(x), c).backward(accumulate=True)
        return [*found, x.g]

    return work


def updates(rng, dtype):
    start, gradient = numbers(rng, 70, 9, dtype=dtype), numbers(rng, 70, 9, dtype=dtype)

    def work():
        found = []
        for momentum in (0, MU):
            p = bp.param(start.copy())
            sgd = bp.SGD([p], lr=LR, momentum=momentum)
            for _ in range(3):
                p.g = bp.tensor(gradient)
                sgd.step()
            found.append(p.data)
        return found

    return work


WORK = {
    "operations": operations,
    "arithmetic": arithmetic,
    "references": references,
    "Model": passes,
    "SGD": updates,
    "paths": sums_over_paths,
} | {strategy: plan_of(strategy) for strategy in STRATEGIES}


def bits(results):
    return [np.asarray(r.data if isinstance(r, bp.Tensor) else r).tobytes() for r in results]


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("threads", [1, 3] if POOL else [1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("what", WORK)
def test_the_bits_and_the_environment_stay(environment, what, dtype, threads, how):
    expected = bits(WORK[what](np.random.default_rng(0), dtype)())
    bp.set_threads(threads)
    work = WORK[what](np.random.default_rng(0), dtype)
    assert bits(in_changed(environment, CHANGES[how], work)) == expected


@pytest.mark.parametrize("how", CHANGES)
def test_the_change_reaches_numpy(environment, how):
    """So the tests above see one."""
    a = np.float32([1e-20, 1 / 3, -1 / 3])
    b = np.float32([1e-20, 1 / 3, 1 / 3])
    assert in_changed(environment, CHANGES[how], lambda: (a * b).tobytes()) != (a * b).tobytes()


@pytest.mark.parametrize("how", CHANGES)
def test_random_numbers_stay(environment, how):
    def work():
        return bits(bp.mlp((50, 40, 3), seed=3).parameters())

    assert in_changed(environment, CHANGES[how], work) == work()


@pytest.mark.parametrize("threads", [1, 3] if POOL else [1])
def test_torch_that_flushes_denormals_changes_nothing(threads):
    torch = pytest.importorskip("torch")
    work = operations(np.random.default_rng(0), np.float32)
    expected = bits(work())
    bp.set_threads(threads)
    if not torch.set_flush_denormal(True):
        pytest.skip("torch cannot flush denormals here")
    try:
        found = bits(work())
    finally:
        torch.set_flush_denormal(False)
    assert found == expected
