"""A use that the tape does not record: explain follows it, or says that it is left out, and what the whole slope is."""

import copy
import gc

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.autograd.origins import DEPTH

N, M, H = 4, 3, 2


class Numbers:
    def __init__(self, rng):
        self.x, self.w, self.f = (rng.standard_normal(shape) for shape in ((N, M), (M, H), (M, H)))
        self.targ = rng.standard_normal((N, H))

    def slope(self, program, at, of="x", h=1e-6):
        """d mse / d element, of a program on numpy arrays x, w, f."""
        found = []
        for sign in (1, -1):
            arrays = {"x": self.x.copy(), "w": self.w.copy(), "f": self.f.copy()}
            arrays[of][at] += sign * h
            found.append(((program(**arrays) - self.targ) ** 2).mean())
        return (found[0] - found[1]) / (2 * h)


@pytest.fixture
def numbers(rng):
    return Numbers(rng)


def words(e):
    return " ".join(str(e).split())


FOLLOWED = {  # on tensors, on arrays
    "a product": (lambda x, w, f: bp.lin(x, w) + x @ f, lambda x, w, f: x @ w + x @ f),
    "a layer": (lambda x, w, f: bp.lin(x, w) + bp.relu(x @ f), lambda x, w, f: x @ w + np.maximum(x @ f, 0)),
    "two steps, one gone": (lambda x, w, f: bp.lin(x, w) + ((x @ f) + 1.0).clone(), lambda x, w, f: x @ w + x @ f + 1),
    "beside itself": (lambda x, w, f: (x + x) @ w, lambda x, w, f: 2 * x @ w),
    "only off the tape": (lambda x, w, f: bp.lin(x + 1.0, w), lambda x, w, f: (x + 1) @ w),
    "in its own memory": (lambda x, w, f: bp.lin(x, w) + bp.as_tensor(x.data) @ f, lambda x, w, f: x @ w + x @ f),
    "through .data": (lambda x, w, f: bp.lin(x, w) + bp.lin(x.data, f), lambda x, w, f: x @ w + x @ f),
}


@pytest.mark.parametrize("case", FOLLOWED)
def test_what_wants_no_gradient_is_followed(numbers, case):
    on_tensors, on_arrays = FOLLOWED[case]
    x, w, f = bp.tensor(numbers.x, name="x"), bp.param(numbers.w, name="w"), bp.tensor(numbers.f, name="f")
    loss = bp.mse(on_tensors(x, w, f), numbers.targ)
    loss.backward()
    for at in np.ndindex(N, M):
        e = bp.explain(x, at=at)
        right = numbers.slope(on_arrays, at)
        assert e.total == pytest.approx(right, rel=1e-5, abs=1e-8)
        assert e.measured.slope == pytest.approx(right, rel=1e-5, abs=1e-8)
        assert not e.left_out
        assert sum(term.product for term in e.terms) == pytest.approx(right, rel=1e-5, abs=1e-8)
    wanted = bp.param(numbers.x, name="x")  # what it would hold, had it wanted a gradient
    if "data" not in case and "memory" not in case:
        bp.mse(on_tensors(wanted, w, f), numbers.targ).backward()
        np.testing.assert_allclose(bp.explain(x, at=(1, 2), loss=loss).total, wanted.g.data[1, 2])


LEFT_OUT = {  # before the forward pass, on tensors; what it is on arrays; which tensor; what is said of it
    "a copy": (lambda w: bp.tensor(w), lambda w: w, "it is a copy of w"),
    "a shallow copy": (copy.copy, lambda w: w, "it is a copy of w"),
    "a copy of what was computed": (lambda w: bp.tensor(bp.relu(w)), lambda w: np.maximum(w, 0), "'relu', then"),
    "the same memory": (lambda w: bp.as_tensor(w.data), lambda w: w, "it lies in the memory of w"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_constant_that_moves_with_a_parameter_is_named_and_the_program_measured(numbers, case):
    make, on_array, said = LEFT_OUT[case]
    w = bp.param(numbers.w, name="w")
    c = make(w)
    c.requires_g, c.name = False, "c"
    gc.collect()
    x = bp.param(numbers.x)
    loss = bp.mse(bp.lin(x, w) + bp.lin(x, c), numbers.targ)
    loss.backward()
    for at in np.ndindex(M, H):
        e = bp.explain(w, at=at)
        assert e.total == w.g.data[at]
        assert [constant.name for constant in e.left_out] == ["c"]
        assert said in words(e)
        whole = numbers.slope(lambda x, w, f: x @ w + x @ on_array(w), at, "w")
        kept = numbers.slope(lambda x, w, f: x @ w + x @ on_array(numbers.w), at, "w")
        assert e.measured.slope == pytest.approx(whole, rel=1e-5, abs=1e-8)
        assert e.held.slope == pytest.approx(kept, rel=1e-5, abs=1e-8)
        assert e.total == pytest.approx(kept, rel=1e-5, abs=1e-8)
        assert "nothing else" not in e.moves.replace("on this path nothing else", "")
    assert "c (3,2) moves with w, too" in words(bp.explain(loss))


def test_a_value_computed_before_the_gradient_was_wanted(numbers):
    w, x = bp.tensor(numbers.w, name="w"), bp.tensor(numbers.x)
    early = x @ w
    early.name = "early"
    w.requires_g = True
    loss = bp.mse(bp.lin(x, w) + early, numbers.targ)
    loss.backward()
    e = bp.explain(w, at=(0, 1))
    assert "early (4,2) moves with w, too: it was computed from w by '@', off the tape" in words(e)
    assert e.measured.slope == pytest.approx(numbers.slope(lambda x, w, f: 2 * x @ w, (0, 1), "w"), rel=1e-5)
    assert e.total == pytest.approx(e.measured.slope / 2)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda s: s.__isub__(1.0), "was overwritten since"),
        (lambda s: s.data.__setitem__(..., 5.0), "was overwritten since"),
    ],
    ids=["counted", "unseen"],
)
def test_what_was_overwritten_is_not_run_again(numbers, spoil, why):
    x, w, f = bp.tensor(numbers.x, name="x"), bp.param(numbers.w), bp.tensor(numbers.f)
    s = x @ f
    s.name = "s"
    spoil(s)
    loss = bp.mse(bp.lin(x, w) + s, numbers.targ)
    loss.backward()
    e = bp.explain(x, at=(1, 1))
    assert [constant.name for constant in e.left_out] == ["s"]
    assert why in e.left_out[0].problem
    assert "cannot be run again" in words(e)
    assert "s is kept as it is here, and what goes through it is missing from the slope as well" in words(e)
    assert "This is the share that is on the tape." in words(e)


def test_an_operation_that_cannot_be_run_again_is_said(numbers):
    x, w = bp.tensor(numbers.x, name="x"), bp.param(numbers.w)
    loss = bp.mse(bp.lin(x, w) + x.exp() @ bp.tensor(numbers.f), numbers.targ)
    loss.backward()
    e = bp.explain(x, at=(1, 1))
    assert e.left_out[0].problem == "'.exp' cannot be run again here"
    assert "by '.exp', then '@', off the tape" in words(e)


def test_an_operand_that_is_gone_is_said(numbers):
    x, w = bp.tensor(numbers.x, name="x"), bp.param(numbers.w)
    loss = bp.mse(bp.lin(x, w) + x @ bp.tensor(numbers.f), numbers.targ)
    loss.backward()
    assert bp.explain(x, at=(1, 1)).left_out[0].problem == "an operand of it is gone"


def test_what_was_not_computed_from_it_is_not_named(numbers):
    x, w, f = bp.tensor(numbers.x), bp.param(numbers.w), bp.tensor(numbers.f)
    s = bp.relu(bp.tensor(numbers.x) @ f) + 1.0
    loss = bp.mse(bp.lin(x, w) + s, numbers.targ)
    loss.backward()
    for t in (x, w):
        e = bp.explain(t)
        assert not e.left_out
        assert len(e.paths) == 1


def test_nothing_is_kept_alive_and_no_chain_grows_without_end(numbers):
    x = bp.tensor(numbers.x)
    total = bp.tensor(np.zeros((N, M)))
    for _ in range(3 * DEPTH):
        total = total + x
    assert total._origin.depth <= DEPTH
    chain = 0
    origin = total._origin
    while origin is not None and origin.operands:
        origin, chain = origin.operands[0].origin, chain + 1
    assert chain <= DEPTH + 1
    ref = total._origin.operands[1].tensor
    del x
    gc.collect()
    assert ref() is None


def test_too_long_a_chain_is_said(numbers):
    x, w = bp.tensor(numbers.x, name="x"), bp.param(numbers.w)
    s = x
    for _ in range(DEPTH + 3):
        s = s + 1.0
    s.name = "s"
    loss = bp.mse(bp.lin(x, w) + bp.lin(s, w), numbers.targ)
    loss.backward()
    e = bp.explain(x, at=(0, 0))
    assert [constant.name for constant in e.left_out] == ["s"]
    assert f"Whether s (4,3) moves with x is not known: more than {DEPTH} operations in a row" in words(e)
    assert "nothing else" not in e.moves.replace("on this path nothing else", "")


def test_each_use_in_arithmetic_is_a_share_and_the_numbers_add_up(numbers):
    w, x = bp.param(numbers.w, name="w"), bp.tensor(numbers.x)
    loss = ((x @ w - x @ (w * w)) ** 2).mean()
    loss.backward()
    for at in np.ndindex(M, H):
        e = bp.explain(w, at=at)
        assert len(e.paths) == 3
        assert sum(path.share for path in e.paths) == pytest.approx(w.g.data[at])
        assert words(e).count("share ") >= 3
        assert "w is used 3 times. Each path gives a share, and w.g is their sum:" in words(e)
        assert "loss itself is what we ask about" not in words(e)
    e = bp.explain(loss._node.inputs[0], at=(0, 0), loss=loss)
    assert "∂loss/∂loss = 1: loss itself is what we ask about." in words(e)
    assert e.total == pytest.approx(1 / (N * H))


def test_no_message_ends_in_the_middle_of_a_sentence(numbers):
    w = bp.param(numbers.w, name="w")
    loss = ((bp.tensor(numbers.x) @ w - numbers.targ) ** 2).mean()
    for t in (loss, w):
        with pytest.raises(bp.GradientError, match=r"Call loss\.backward\(\)$"):
            bp.explain(t)


def test_without_a_loss_the_text_does_not_speak_of_one(numbers):
    w, x = bp.param(numbers.w, name="w"), bp.tensor(numbers.x)
    out = bp.lin(x, w)
    out.g = np.ones((N, H))
    bp.lin_grad(x, out, w)
    said = words(bp.explain(w, at=(1, 0)))
    assert "the loss/" not in said
    assert "out.g[i,0], which was set by hand" in said
    assert "look at the sum of out * out.g" in said
