"""Inputs, outputs and gradients in one buffer, in every arrangement: right, or refused before anything is written.

Each case lays the operands of a function into one piece of memory and compares with the reference, computed from
copies. What is refused leaves the whole buffer as it was.
"""

from itertools import product

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits

S = 4  # all matrices are (S,S), so that any may lie on any other
BUFFER = (3 * S, 3 * S)
LINES = slice(0, S)
# where a matrix lies in the buffer
PLACES = {
    "whole rows": lambda m: m.reshape(-1)[: S * S].reshape(S, S),
    "the rows after": lambda m: m.reshape(-1)[S * S : 2 * S * S].reshape(S, S),
    "a row further": lambda m: m.reshape(-1)[S : S + S * S].reshape(S, S),
    "a number further": lambda m: m.reshape(-1)[1 : 1 + S * S].reshape(S, S),
    "transposed": lambda m: m.reshape(-1)[: S * S].reshape(S, S).T,
    "rows reversed": lambda m: m.reshape(-1)[: S * S].reshape(S, S)[::-1],
    "columns reversed": lambda m: m.reshape(-1)[: S * S].reshape(S, S)[:, ::-1],
    "every other number": lambda m: m.reshape(-1)[: 2 * S * S : 2].reshape(S, S),
    "a corner": lambda m: m[LINES, LINES],
    "one row for all": lambda m: np.lib.stride_tricks.as_strided(m, (S, S), (0, m.itemsize)),
    "one column for all": lambda m: np.lib.stride_tricks.as_strided(m, (S, S), (m.itemsize, 0)),
}
PAIRS = list(product(PLACES, repeat=2))
ids = [f"{a} | {b}" for a, b in PAIRS]


@pytest.fixture
def memory(rng, dtype):
    return rng.standard_normal(BUFFER).astype(dtype)


def as_array(array):
    return array


@pytest.fixture(params=[as_array, bp.as_tensor], ids=["array", "tensor"])
def made(request):
    return request.param


def check(call, memory, right, where):
    """Whether it was computed; then right is where it should be, and nothing else has changed."""
    before = memory.copy()
    try:
        call()
    except (ValueError, bp.GradientError):
        assert_same_bits(memory, before)
        return False
    assert_same_bits(where(memory), right)
    where(before)[...] = right
    assert_same_bits(memory, before)
    return True


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ids)
def test_lin_into_what_it_reads(memory, made, dtype, first, second):
    source, target = PLACES[first], PLACES[second]
    other = np.arange(S * S, dtype=dtype).reshape(S, S)
    overlap, usable = np.shares_memory(source(memory), target(memory)), target(memory).flags.c_contiguous
    for arrange in (lambda a: (a, other), lambda a: (other, a), lambda a: (a, a)):
        x, w = (np.array(value) for value in arrange(source(memory)))
        right = bp.reference.linear_forward(x, w)
        call = lambda: bp.lin(*map(made, arrange(source(memory))), out=made(target(memory)))  # noqa: E731, B023
        assert check(call, memory, right, target) == (usable and not overlap)


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ids)
def test_relu_into_what_it_reads(memory, made, first, second):
    source, target = PLACES[first], PLACES[second]
    overlap, usable = np.shares_memory(source(memory), target(memory)), target(memory).flags.c_contiguous
    right = bp.reference.relu_forward(np.array(source(memory)))
    call = lambda: bp.relu(made(source(memory)), out=made(target(memory)))  # noqa: E731
    assert check(call, memory, right, target) == (usable and not overlap)


@pytest.mark.parametrize("place", PLACES)
def test_relu_in_place(memory, made, place):
    where = PLACES[place]
    right = bp.reference.relu_forward(np.array(where(memory)))
    assert check(lambda: bp.relu_(made(where(memory))), memory, right, where) == ("for all" not in place)


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ids)
def test_mse_grad_in_place_of_an_output_beside_its_targets(memory, made, first, second):
    source, goal = PLACES[first], PLACES[second]
    out, targ = bp.as_tensor(source(memory)), made(goal(memory))
    right = bp.reference.mse_backward(np.array(source(memory)), np.array(goal(memory)))
    overlap = np.shares_memory(source(memory), goal(memory))
    computed = check(lambda: bp.mse_grad(out, targ, inplace=True), memory, right, source)
    assert computed == (source(memory).flags.c_contiguous and not overlap)
    assert (out.g is not None) == computed


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=ids)
def test_relu_grad_in_place_where_the_gradient_lies_beside_the_input(memory, first, second):
    """out.g shares the memory of out, in which the input may lie."""
    at_out, at_inp = PLACES[first], PLACES[second]
    out, inp = bp.as_tensor(at_out(memory)), bp.as_tensor(at_inp(memory))
    try:
        bp.mse_grad(out, np.zeros((S, S), memory.dtype), inplace=True)
    except ValueError:
        assert not at_out(memory).flags.c_contiguous
        return
    right = bp.reference.relu_backward(np.array(at_inp(memory)), np.array(at_out(memory)))
    overlap = np.shares_memory(at_out(memory), at_inp(memory))
    computed = check(lambda: bp.relu_grad(inp, out, inplace=True), memory, right, at_out)
    assert computed == (not overlap)
    assert (inp.g is not None) == computed == (out.g is None)


# ---- gradients that lie in what is read ----

READ = {
    "itself": lambda g: g,
    "its transpose": lambda g: g.T,
    "its rows reversed": lambda g: g[::-1],
    "shared through its array": lambda g: bp.as_tensor(g.data),
    "shared through part of its array": lambda g: bp.as_tensor(g.data[::-1].T),
    "an array": lambda g: g.data,
    "a copy": lambda g: bp.tensor(g),
}


@pytest.mark.parametrize("size", [S, 64], ids=["small", "placed on a line"])
@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("role", ["inp", "w", "b's"])
def test_lin_grad_whose_operand_is_a_gradient_that_it_writes(dtype, rng, role, read, size):
    numbers = [rng.standard_normal((size, size)).astype(dtype) for _ in range(4)]
    inp, w, out = (bp.tensor(n) for n in numbers[:3])
    b = bp.tensor(np.zeros(size), dtype)
    out.g = numbers[3]
    owner = {"inp": w, "w": inp, "b's": w}[role]
    owner.g = numbers[3] * 2
    operand = READ[read](owner.g)
    args = {"inp": (operand, out, w, b), "w": (inp, out, operand, b), "b's": (operand, out, w, None)}[role]
    x, weights = (np.array(value) for value in (args[0], args[2]))
    before = owner.g.data.copy()
    if read != "a copy":
        with pytest.raises(ValueError, match=r"lin_grad: the \.g of .* would be written over an operand"):
            bp.lin_grad(*args)
        assert_same_bits(owner.g.data, before)
        assert b.g is None
        return
    bp.lin_grad(*args)
    if role == "w":
        assert_same_bits(inp.g.data, bp.reference.linear_backward_x(numbers[3], weights))
    else:
        assert_same_bits(w.g.data, bp.reference.linear_backward_w(x, numbers[3]))


def test_mse_grad_whose_output_is_the_gradient_of_its_targets(dtype):
    targ = bp.param(np.ones((S, S), dtype))
    targ.g = np.full((S, S), 3, dtype)
    with pytest.raises(ValueError, match=r"mse_grad: the \.g of"):
        bp.mse_grad(targ.g, targ)
    assert (targ.g.data == 3).all()
    assert targ.g.g is None


def test_mse_grad_against_its_own_earlier_gradient(dtype, rng):
    """Element by element in one place: right."""
    out = bp.tensor(rng.standard_normal((S, S)).astype(dtype))
    for read in (lambda g: g, lambda g: g[::-1], lambda g: g.T, lambda g: bp.as_tensor(g.data)):
        out.g = rng.standard_normal((S, S)).astype(dtype)
        targ = read(out.g)
        right = bp.reference.mse_backward(out, np.array(targ))
        bp.mse_grad(out, targ)
        assert_same_bits(out.g.data, right)


@pytest.mark.parametrize("read", [lambda g: g, lambda g: g.T], ids=["itself", "its transpose"])
def test_a_walk_that_would_overwrite_a_gradient_that_it_still_reads(dtype, rng, read):
    x, w = rng.standard_normal((6, S)).astype(dtype), bp.param(rng.standard_normal((S, S)).astype(dtype), name="w")
    bp.mse(bp.lin(x, w), np.zeros((6, S), dtype)).backward()
    before = w.g.data.copy()
    out = bp.lin(x, w)
    loss = bp.mse(bp.lin(out, read(w.g)), np.zeros((6, S), dtype))
    with pytest.raises(bp.GradientError, match=r"computed from the \.g of the tensor 'w'"):
        loss.backward()
    assert_same_bits(w.g.data, before)
    fixed = bp.tensor(w.g)
    bp.mse(bp.lin(out, fixed), np.zeros((6, S), dtype)).backward()
    dout = bp.reference.mse_backward(bp.reference.linear_forward(out, fixed), np.zeros((6, S), dtype))
    assert_same_bits(w.g.data, bp.reference.linear_backward_w(x, bp.reference.linear_backward_x(dout, fixed)))


def test_one_tensor_as_several_operands(dtype, rng):
    """Read twice, written once: the sum of its paths."""
    a = bp.tensor(rng.standard_normal((S, S)).astype(dtype))
    out = bp.lin(a, a)
    out.g = rng.standard_normal((S, S)).astype(dtype)
    bp.lin_grad(a, out, a)
    first = bp.reference.linear_backward_x(out.g, a)
    assert_same_bits(a.g.data, bp.reference.linear_backward_w(a, out.g, add_to=first))
