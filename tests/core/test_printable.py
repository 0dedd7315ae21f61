"""Control characters in names, files and arguments never reach a terminal."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.processes import run_command
from pybackprop.core.printable import printable

NASTY = "w\x1b[2J\x07\x9b\r\n\u202e"
CONTROL = [chr(k) for k in (*range(32), *range(127, 160), 0x2028, 0x202E, 0xFEFF)]


@pytest.mark.parametrize("character", CONTROL, ids=lambda c: f"{ord(c):02x}")
def test_every_control_character_is_escaped(character):
    shown = printable(f"a{character}b")
    assert shown.isprintable()
    assert shown.encode("ascii").decode("unicode_escape") == f"a{character}b"


def test_what_can_be_printed_is_left_alone():
    for text in ("w1", "Σ ∂ é", "a b", "back\\slash", ""):
        assert printable(text) is text
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize("how", ["tensor", "param", "as_tensor", "attribute", "copy"])
def test_a_tensor_s_name(how):
    w = {
        "tensor": lambda: bp.tensor(np.ones(2), name=NASTY),
        "param": lambda: bp.param(np.ones(2), name=NASTY),
        "as_tensor": lambda: bp.as_tensor(np.ones(2), name=NASTY),
    }.get(how, lambda: bp.tensor(np.ones(2)))()
    w.name = NASTY
    assert w.name.isprintable()
    assert printable(w.name) == w.name


def test_what_is_shown_of_a_tensor_with_such_a_name():
    w = bp.param(np.ones((2, 2)), name=NASTY)
    loss = bp.mse(bp.lin(np.ones((3, 2)), w), np.zeros((3, 2)))
    loss.backward()
    shown = [repr(w), str(bp.explain(w)), str(bp.explain(loss)), str(bp.judge(w, "x.T @ dz")), bp.explain(w).latex()]
    with pytest.raises(bp.ShapeError) as error:
        bp.lin(np.ones((3, 2)), w, bp.tensor(np.ones(3), name=NASTY))
    with pytest.raises(bp.GradientError) as other:
        bp.relu_(w)
    for text in (*shown, str(error.value), str(other.value)):
        assert printable(text, keep="\n") == text


def test_an_operation_with_such_a_name_is_refused():
    with pytest.raises(ValueError, match="expected printable characters"):
        bp.define_op(NASTY, lambda x: x, lambda dout, x: dout)


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--data", "x\x1b[2J.csv", "nothing\x1b[2J.npz"],
        ["train", "--data", "nothing\x1b[2J.csv"],
        ["explain", "--element", "w1\x1b[2J"],
        ["judge", "x.T @ dz\x1b[2J"],
        ["judge\x1b[2J"],
        ["judge", "--of", "\x1b[2J", "x"],
    ],
    ids=lambda arguments: arguments[0].strip("\x1b[2J"),
)
def test_the_command_line(arguments):
    done = run_command(*arguments)
    assert done.returncode
    assert "\x1b" not in done.stdout + done.stderr
