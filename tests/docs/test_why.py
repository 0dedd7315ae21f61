"""What docs/why.md claims beside the outputs it quotes: its own code is run, and its claims are computed by numpy."""

import contextlib
import io
import re

import numpy as np
import pytest

import pybackprop as bp
from helpers.compile_c import ROOT

TEXT = (ROOT / "docs" / "why.md").read_text("utf-8")
CODE = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.S)


def test_its_code_prints_what_it_says():
    assert CODE
    for code, output in CODE:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, {})
        assert said.getvalue() == output


def test_the_wrong_answer_adds_what_it_is_said_to_add():
    assert "over `z[0,0]`, `z[0,1]` and `z[0,2]`. Of these, `w[0,0]` moves only the\nfirst" in TEXT
    x, targ, w = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 10]]), np.arange(9.0).reshape(3, 3), np.eye(3)
    nudge = np.zeros((3, 3))
    nudge[0, 0] = 1e-6
    moved = np.argwhere(x @ (w + nudge) != x @ w)
    assert moved.tolist() == [[0, 0], [1, 0], [2, 0]]
    dz = 2 * (x @ w - targ) / 9
    assert (dz @ x.T)[0, 0] == pytest.approx(sum(dz[0, j] * x[0, j] for j in range(3)))
    assert f"{(dz @ x.T)[0, 0]:.6f}" in TEXT
    assert f"{(x.T @ dz)[0, 0]:.6f}" in TEXT


def test_dz_times_x_turned_is_right_where_samples_are_columns():
    rng = np.random.default_rng(0)
    w, x, dz = rng.standard_normal((2, 3)), rng.standard_normal((3, 5)), rng.standard_normal((2, 5))
    right = np.zeros((2, 3))
    for j, k in np.ndindex(2, 3):
        moved = np.zeros((2, 3))
        moved[j, k] = 1
        right[j, k] = (moved @ x * dz).sum()
    np.testing.assert_allclose(dz @ x.T, right)
    assert w.shape == right.shape
    with pytest.raises(ValueError, match="mismatch"):
        rng.standard_normal((5, 2)) @ rng.standard_normal((5, 3)).T @ np.ones(4)


def test_its_sizes():
    n, m, h = 50000, 784, 50
    assert f"{n * h * n * m:,} numbers, {n * h * n * m * 4 // 10**12} TB" in TEXT
    assert f"{n * m * h * 4 / 1e9:.2f} GB" in TEXT


def test_the_five_lines_at_its_beginning_are_the_gradients():
    rng = np.random.default_rng(1)
    x, w, b, targ = (rng.standard_normal(shape) for shape in ((4, 3), (3, 2), (2,), (4, 2)))
    x, w, b = bp.param(x), bp.param(w), bp.param(b)
    hidden = bp.lin(x, w, b)
    out = bp.relu(hidden)
    loss = bp.mse(out, targ)
    loss.backward(keep=True)
    names = {"out": out.data, "targ": targ, "size": out.size, "inp": hidden.data, "out_g": out.g.data, "np": np}
    lines = re.search(r"```\n(out\.g = .*?)```", TEXT, re.S)[1].splitlines()
    formulas = [line.partition("=")[2].partition("#")[0].strip().replace("out.g", "out_g") for line in lines]
    assert len(formulas) == 5
    np.testing.assert_allclose(eval(formulas[0], {}, names), out.g.data)
    np.testing.assert_allclose(eval(formulas[1], {}, names), hidden.g.data)
    names |= {"out_g": hidden.g.data, "inp": x.data, "w": w.data}
    for formula, t in zip(formulas[2:], (x, w, b), strict=True):
        np.testing.assert_allclose(eval(formula, {}, names), t.g.data)


def test_the_question_of_the_transpose_leads_to_the_page():
    (section,) = re.findall(r"^## Why is it `w\.g = x\.T @ out\.g`.*?(?=^## )", TEXT, re.M | re.S)
    assert "[the page of explanations](explanations.md)" in section
