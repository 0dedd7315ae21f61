"""explain of + - * / ** .sum .mean .T [...]: the terms it shows add up to the gradient, and their words are true."""

import re

import numpy as np
import pytest

import pybackprop as bp
from helpers.typed import TYPED

IN_DOUBLE = [name for name in TYPED if name != "other precision"]


def params(rng, dtype=np.float64):
    start = rng.uniform(0.3, 1.5, (2, 6, 4)) * rng.choice([-1, 1], (2, 6, 4))
    return [bp.param(array, dtype, name=name) for array, name in zip(start, "xy", strict=True)]


@pytest.mark.parametrize("name", TYPED)
def test_the_terms_add_up_to_the_gradient_bit_for_bit(rng, name):
    x, y = params(rng)
    out = TYPED[name](x, y)
    loss = (out * out).sum()
    loss.backward()
    for param in (x, y):
        for at in ((0, 0), (1, 2), (5, 3)):
            text = " ".join(str(bp.explain(param, at=at)).split())
            total = re.search(r"Total: (\S+) ", text)[1]
            assert float(total) == float(param.g.data[at]), text
            assert "bit for bit" in text, text
            slope, gradient = map(float, re.search(r"/ 2h = .* = (\S+) gradient (\S+)", text).groups())
            if name in IN_DOUBLE:
                assert abs(slope - gradient) <= 1e-5 * max(1, abs(gradient)), text


@pytest.mark.parametrize("name", IN_DOUBLE)
def test_the_whole_chain_is_written_without_gaps(rng, name):
    x, y = params(rng)
    out = TYPED[name](x, y)
    loss = (out * out).sum()
    loss.backward()
    text = str(bp.explain(loss))
    assert "∂" in text
    assert not re.search(r"\b(None|nan|inf)\b", text)


def test_the_words_for_the_lessons_loss(rng):
    out, targ = bp.param(rng.standard_normal((3, 2)), name="out"), bp.tensor(rng.standard_normal((3, 2)), name="targ")
    loss = ((out - targ) ** 2).mean()
    loss.backward(keep=True)
    text = str(bp.explain(out, at=(1, 0)))
    assert "out[1,0] moves l1[1,0], and nothing else" in text
    assert "l1 = out - targ" in text
    assert "l1[1,0] changes by 1 per unit change of out[1,0]" in text
    assert "out.g = l1.g" in text


def test_the_words_for_a_broadcast_factor(rng):
    x, s = bp.tensor(rng.standard_normal((3, 2)), name="x"), bp.param([2.0, 3.0], np.float64, name="s")
    loss = (x * s).sum()
    loss.backward()
    text = str(bp.explain(s, at=(1,)))
    assert "s[1] moves 3 elements, all those that it was broadcast to, and nothing else" in " ".join(text.split())
    assert ", ".join(f"{v:.6g}" for v in x.data[:, 1]) in " ".join(text.split())
    assert "s.g = (l1.g * x) summed to (2)" in text


def test_a_kink_that_a_parameter_says(rng):
    x = bp.param([0.25, 1.0, -1.0], name="x")
    loss = (x.clamp_min(0.25) * [1.0, 2.0, 3.0]).sum()
    loss.backward()
    assert x.g.tolist() == [0, 2, 0]
    assert "0.25" in str(bp.explain(x, at=(0,)))
    assert "moves nothing in l1: the factor is 0" in str(bp.explain(x, at=(2,)))
