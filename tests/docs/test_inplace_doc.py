"""Every block of code in docs/inplace.md runs, and says what the document says that it says."""

import re

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.compile_c import ROOT

TEXT = (ROOT / "docs" / "inplace.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", TEXT, re.DOTALL)


def words(text):
    return " ".join(text.split())


def test_each_block_says_what_follows_it():
    names, told = {}, 0
    for code, expected in BLOCKS:
        compiled = compile(code, "lesson.py", "exec")
        if not expected:
            exec(compiled, names)
            continue
        with pytest.raises((bp.GradientError, ValueError)) as caught:
            exec(compiled, names)
        assert words(str(caught.value)) == words(expected)
        told += 1
    assert told == TEXT.count("```text") >= 10


def test_the_lesson_in_place_has_the_bits_of_the_lesson():
    names = {}
    exec(BLOCKS[0][0], names)
    x, targ = names["x"], names["targ"]
    rng = np.random.default_rng(0)
    params = [bp.param(rng.normal(0, 0.2, p.shape), np.float32) for p in names["params"]]
    for _ in range(3):
        loss = bp.mse(bp.lin(bp.relu(bp.lin(x, *params[:2])), *params[2:]), targ)
        loss.backward()
        for p in params:
            p -= 0.5 * p.g
    assert float(loss) == names["loss"]
    for found, right in zip(names["params"], params, strict=True):
        assert_same_bits(found.data, right.data)
