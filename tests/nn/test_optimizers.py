"""SGD, Adam and AdamW: PyTorch's values, their options, what they refuse, and their count of steps."""

import copy
import pickle

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.optimizers import KINDS
from pybackprop.core import short_calls
from pybackprop.nn.optim import OPTIMIZERS, optimizer_of

ULPS = 16  # of the parameter's largest value, after 100 steps: PyTorch rounds in other places


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def with_gradients(rng, count=3, dtype="f"):
    shapes = [(k + 2, 3)[k % 2 :] for k in range(count)]  # weights and biases
    parameters = [bp.param(rng.standard_normal(shape).astype(dtype)) for shape in shapes]
    renew(rng, parameters)
    return parameters


def renew(rng, parameters):
    for p in parameters:
        p.g = rng.standard_normal(p.shape).astype(p.dtype)


def twins_of(parameters):
    """The same parameters and gradients once more."""
    copies = [bp.param(p.data.copy()) for p in parameters]
    for mine, theirs in zip(copies, parameters, strict=True):
        mine.g = theirs.g.data.copy()
    return copies


def torch_optimizer(optimizer, tensors):
    torch = pytest.importorskip("torch")
    options = optimizer.options()
    groups = [{"params": [t for t in tensors if t.ndim == 2]}, {"params": [t for t in tensors if t.ndim == 1]}]
    if not options.pop("decay_biases"):
        groups[1]["weight_decay"] = 0.0
    return getattr(torch.optim, optimizer.name)(groups, **options)


def test_a_hundred_steps_are_pytorchs(rng, dtype, make):
    torch = pytest.importorskip("torch")
    parameters = with_gradients(rng, dtype=dtype)
    optimizer = make(parameters)
    tensors = [torch.tensor(p.data.copy(), requires_grad=True) for p in parameters]
    other = torch_optimizer(optimizer, tensors)
    for step in range(100):
        renew(rng, parameters)
        optimizer.lr = 0.01 * (1 + step % 3)
        for group in other.param_groups:
            group["lr"] = optimizer.lr
        for p, tensor in zip(parameters, tensors, strict=True):
            tensor.grad = torch.tensor(p.g.data.copy())
        optimizer.step()
        other.step()
    for p, tensor in zip(parameters, tensors, strict=True):
        right = tensor.detach().numpy()
        np.testing.assert_allclose(p.data, right, rtol=0, atol=ULPS * np.finfo(dtype).eps * np.abs(right).max())
    assert optimizer.steps == 100


@pytest.mark.parametrize("short", [False, True])
def test_a_short_call_counts_and_computes_the_same(rng, make, short, monkeypatch):
    monkeypatch.setattr(short_calls, "on", short and short_calls.on)
    parameters, twins = (with_gradients(np.random.default_rng(1)) for _ in range(2))
    optimizer, other = make(parameters), make(twins)
    for _ in range(8):
        renew(np.random.default_rng(2), parameters)
        renew(np.random.default_rng(2), twins)
        optimizer.step()
        other._bound = None  # always by the long way
        other.step()
    assert optimizer.steps == other.steps == 8
    if short and short_calls.on:
        assert optimizer._bound.short is not None
    for p, q in zip(parameters, twins, strict=True):
        assert_same_bits(p.data, q.data)


def test_both_dtypes_are_one_step(rng):
    single, double = with_gradients(rng, 1), with_gradients(rng, 1, "d")
    others = twins_of(single), twins_of(double)
    bp.Adam([*single, *double]).step()
    for mine, twin in zip((single, double), others, strict=True):
        alone = bp.Adam(twin)
        alone.step()
        assert alone.steps == 1
        assert_same_bits(mine[0].data, twin[0].data)


CHANGES = {
    "momentum": ("sgd", 0.5),
    "nesterov": ("momentum", True),
    "weight_decay": ("momentum", 0.1),
    "lr": ("adam", 0.1),
    "betas": ("adam", (0.5, 0.6)),
    "eps": ("adamw", 0.1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_option_counts_from_the_next_step_on(rng, name):
    kind, value = CHANGES[name]
    parameters = with_gradients(rng)
    twins = twins_of(parameters)
    optimizer, other = KINDS[kind](parameters), KINDS[kind](twins)
    for one in (optimizer, other):
        for _ in range(4):
            renew(np.random.default_rng(3), one.parameters)
            one.step()
    setattr(optimizer, name, value)
    renewed = copy.copy(other)  # made again with that option, it goes on from the same state
    again = optimizer_of(other.name, twins, {**other.options(), name: value})
    again._kept, again.steps = renewed._kept, renewed.steps
    for one in (optimizer, again):
        renew(np.random.default_rng(4), one.parameters)
        one.step()
    for p, q in zip(parameters, twins, strict=True):
        assert_same_bits(p.data, q.data)
    assert getattr(optimizer, name) == value


def test_options_make_another_like_it(rng, make):
    optimizer = make(with_gradients(rng))
    assert optimizer_of(optimizer.name, None, optimizer.options()).options() == optimizer.options()
    assert type(optimizer) is OPTIMIZERS[optimizer.name]
    assert repr(optimizer).startswith(f"{optimizer.name}(lr={optimizer.lr}")


@pytest.mark.parametrize("way", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_goes_on_by_itself(rng, make, way):
    optimizer = make(with_gradients(rng))
    optimizer.step()
    twin = way(optimizer)
    assert twin.options() == optimizer.options()
    assert twin.steps == 1
    for one in (twin, optimizer):
        renew(np.random.default_rng(5), one.parameters)
        one.step()
    twin.weight_decay = 0.5
    assert optimizer.weight_decay != 0.5
    assert twin.steps == optimizer.steps == 2
    for p, q in zip(optimizer.parameters, twin.parameters, strict=True):
        assert_same_bits(p.data, q.data)


REFUSED = [
    (lambda p: bp.SGD(p, lr=-1), "SGD: found lr=-1"),
    (lambda p: bp.SGD(p, lr=0.1, weight_decay=-1), "SGD: found weight_decay=-1, expected a finite number"),
    (lambda p: bp.SGD(p, lr=0.1, nesterov=True), "nesterov=True is a kind of momentum"),
    (lambda p: bp.SGD(p, lr=0.1, momentum=0.9, nesterov=1), "nesterov=1, expected True or False"),
    (lambda p: bp.Adam(p, lr=float("nan")), "Adam: found lr=nan"),
    (lambda p: bp.Adam(p, betas=(0.9, 1)), r"Adam: found betas\[1\]=1, expected a number from 0 to below 1"),
    (lambda p: bp.Adam(p, betas=0.9), "Adam: found betas=0.9, expected two numbers"),
    (lambda p: bp.Adam(p, eps=-1e-8), "Adam: found eps=-1e-08"),
    (lambda p: bp.AdamW(p, weight_decay="a"), "AdamW: found weight_decay='a'"),
    (lambda p: bp.AdamW([*p, *p]), "AdamW: parameters 0 and 3 are one tensor"),
    (lambda p: setattr(bp.Adam(p), "eps", True), "Adam: found eps=True"),
    (lambda p: bp.Adam().step(), "Adam.step: no parameters"),
]


@pytest.mark.parametrize(("make_it", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused(rng, make_it, words):
    with pytest.raises(ValueError, match=words):
        make_it(with_gradients(rng))


def test_betas_that_are_refused_change_nothing(rng):
    adam = bp.Adam(with_gradients(rng))
    with pytest.raises(ValueError, match="betas"):
        adam.betas = (0.5, 2)
    assert adam.betas == (0.9, 0.999)


def test_adam_counts_steps_for_all_of_its_parameters(rng):
    first, second, third = with_gradients(rng)
    adam = bp.Adam()
    adam.step([first, second])
    before = [p.data.copy() for p in (first, second, third)]
    for p in (first, second):
        p.g = p.data * 2
    for parameters, words in (
        ([first, second, third], "was not among the parameters of its 1 steps"),
        ([first], "which its 1 steps so far have updated, would be left out"),
    ):
        with pytest.raises(ValueError, match=words):
            adam.step(parameters)
    for p, data in zip((first, second, third), before, strict=True):
        assert_same_bits(p.data, data)
    adam.step([second, first])  # the order does not matter
    assert adam.steps == 2


def test_moments_are_the_means(rng):
    (p,) = with_gradients(rng, 1, "d")
    adam = bp.Adam([p])
    assert not any(moment.data.any() for moment in adam.moments(p))
    adam.step()
    m, v = adam.moments(p)
    np.testing.assert_allclose(m.data, 0.1 * p.g.data, rtol=1e-15)
    np.testing.assert_allclose(v.data, 0.001 * p.g.data**2, rtol=1e-15)


def test_the_first_step_is_as_long_as_the_learning_rate(rng):
    (p,) = with_gradients(rng, 1, "d")
    before = p.data.copy()
    bp.Adam([p], lr=0.1).step()
    g = p.g.data
    np.testing.assert_allclose(before - p.data, 0.1 * g / (np.abs(g) + 1e-8), rtol=1e-12)


@pytest.mark.parametrize("kind", [bp.SGD, bp.Adam, bp.AdamW])
def test_decay_biases_says_whose_decay_it_is(rng, dtype, kind):
    """As two optimizers would: one with decay for the weights, one without for the biases."""
    parameters = with_gradients(rng, count=4, dtype=dtype)
    copies = twins_of(parameters)
    one = kind(parameters, lr=0.1, weight_decay=0.5, decay_biases=False)
    two = [kind(copies[::2], lr=0.1, weight_decay=0.5), kind(copies[1::2], lr=0.1, weight_decay=0.0)]
    for _ in range(3):
        one.step()
        for optimizer in two:
            optimizer.step()
    for mine, right in zip(parameters, copies, strict=True):
        assert_same_bits(mine.data, right.data)
    assert one.decay_biases is False
    assert "decay_biases=False" in repr(one)
    with pytest.raises(AttributeError):
        one.decay_biases = True
    with pytest.raises(ValueError, match=f"{kind.__name__}: found decay_biases=1, expected True or False"):
        kind(parameters, lr=0.1, decay_biases=1)
