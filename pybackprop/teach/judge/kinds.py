"""The questions about each operation: the right formulas, the texts about them, and the tensors' roles."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.formula.functions import sigmoid_of, softmax_of
from pybackprop.teach.judge.kind import At, Kind, Reading, Roles, Words, questions
from pybackprop.teach.judge.sums import Sum, number, plain, products
from pybackprop.teach.trace.notation import element as called
from pybackprop.teach.trace.notation import other_at
from pybackprop.teach.trace.use import Use

# ---- z = x @ w + b ----


def _w_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    return np.abs(roles["x"]).T @ np.abs(roles["dz"]), len(roles["dz"])


def _w_element(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    (k, j), x, dz = at, word["x"], word["dz"]
    moves = f"{word['w']}[{k},{j}] moves column {j} of {word['z']}, in every row i, by {x}[i,{k}] each"
    left, right = roles["x"][:, k], roles["dz"][:, j]
    return moves, products(left, lambda i: f"{x}[{i},{k}]", right, lambda i: f"{dz}[{i},{j}]")


def _x_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    return np.abs(roles["dz"]) @ np.abs(roles["w"]).T, roles["w"].shape[1]


def _x_element(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    (i, k), w, dz = at, word["w"], word["dz"]
    moves = f"{word['x']}[{i},{k}] moves row {i} of {word['z']}, in every column j, by {w}[{k},j] each"
    left, right = roles["dz"][i], roles["w"][k]
    return moves, products(left, lambda j: f"{dz}[{i},{j}]", right, lambda j: f"{w}[{k},{j}]")


def _b_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    return np.abs(roles["dz"]).sum(0), len(roles["dz"])


def _b_element(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    (j,), column = at, roles["dz"][:, at[0]]
    moves = f"{word['b']}[{j}] was broadcast: it moves column {j} of {word['z']}, in every row, by 1 each"
    return moves, plain(column, lambda i: f"{word['dz']}[{i},{j}]", float(column.sum()))


W = Kind(
    "w",
    "w",
    "x.T @ dz",
    "Move one element of {w} and watch which elements of {z} move with it, and by how much each.",
    "every row i of {z} adds its share {x}[i,k] * {dz}[i,j]; the sum over i is a row of {x}.T times a column of {dz}",
    _w_terms,
    _w_element,
)
X = Kind(
    "x",
    "x",
    "dz @ w.T",
    "Move one element of {x} and watch which elements of {z} move with it, and by how much each.",
    "every column j of {z} adds its share {dz}[i,j] * {w}[k,j]; the sum over j is a row of {dz} times a column "
    "of {w}.T",
    _x_terms,
    _x_element,
)
B = Kind(
    "b",
    "b",
    "dz.sum(0)",
    "{b} has one number for each column, and was broadcast over the rows. Which elements of {z} move with {b}[0]?",
    "{b}[j] moves column j of {z} by 1 in every row; the rows' shares are added",
    _b_terms,
    _b_element,
)


@questions(ops.LIN, ops.MATMUL, reading=Reading(("x", "w", "b"), "z", {"inp": "x", "out": "z"}, ahead=True))
def _linear(use: Use) -> Kind | None:
    return (X, W, B)[use.slot] if all(operand.ndim == 2 for operand in use.operands[:2]) else None


@questions(ops.CLONE, reading=Reading(("x",), "z", {"inp": "x", "out": "z"}, ahead=True))
def _clone(use: Use) -> Kind | None:
    return None


# ---- a = relu(z), and with a slope on the negative side ----


def _mask_element(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    z, da = float(roles["z"][at]), float(roles["da"][at])
    before, after, index = called(word["z"], at), called(word["a"], at), ",".join(map(str, at))
    slope = int(z > 0)
    if slope:
        moves = f"{before} is {z:.3g}, positive: {after} moves with it, by 1, and no other element of {word['a']} does"
    elif z < 0:
        moves = f"{before} is {z:.3g}, negative: {after} stays at 0 when it moves a little"
    else:
        moves = f"{before} is {z + 0.0:.3g}, not positive, and the slope of relu there is taken to be 0"
    words, numbers = f"{slope}*{word['da']}[{index}]", f"{slope}*{number(da)}"
    return moves, Sum([words], [numbers], 1, da if slope else 0.0)


def _mask_element_in_place(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    """Of a relu in place only the result is left to look at."""
    _, total = _mask_element(word, roles, at)
    after, is_open = called(word["a"], at), roles["a"][at] > 0
    reason = "so relu let it pass, with slope 1" if is_open else "so relu did not let it pass, and its slope is 0"
    return f"{after} is {float(roles['a'][at]) + 0.0:.3g}, {reason}", total


def _slope_element(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    z, da = float(roles["z"][at]), float(roles["da"][at])
    index = ",".join(map(str, at))
    slope = 1.0 if z > 0 else float(roles["negative_slope"])
    before, after = called(word["z"], at), called(word["a"], at)
    if z > 0 or z < 0:
        sign = "positive" if z > 0 else "negative"
        moves = f"{before} is {z:.3g}, {sign}: {after} moves with it, by {slope:g}, and no other element of "
        moves += f"{word['a']} does"
    else:
        moves = f"{before} is {z + 0.0:.3g}, not positive, and the slope of leaky_relu there is taken to be {slope:g}"
    return moves, Sum([f"{slope:g}*{word['da']}[{index}]"], [f"{slope:g}*{number(da)}"], 1, slope * da)


RELU = Kind(
    "relu",
    "z",
    "(z > 0) * da",
    "Which elements of {a} move with one element of {z}, and does that depend on {z}?",
    "each element passes on its own gradient where it was positive, hence * and not @",
    element=_mask_element,
)
LEAKY_RELU = Kind(
    "leaky_relu",
    "z",
    "(z > 0) * da + negative_slope * (z <= 0) * da",
    "Which elements of {a} move with one element of {z}, and by how much on either side of 0?",
    "each element moves its own {a}: by 1 where {z} is positive, by negative_slope elsewhere, hence * and not @",
    element=_slope_element,
)
_ACTIVATION = Reading(("z",), "a", {"x": "z", "inp": "z", "out": "a"})


@questions(ops.RELU, ops.RELU_, reading=replace(_ACTIVATION, behind="a"))
def _relu(use: Use) -> Kind | None:
    return replace(RELU, element=_mask_element_in_place) if use.op is ops.RELU_ else RELU


@questions(ops.LEAKY_RELU, reading=_ACTIVATION)
def _leaky_relu(use: Use) -> Kind | None:
    return LEAKY_RELU


# ---- loss = mse(out, targ) ----


def _difference_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    out, targ = roles["out"].reshape(right.shape), roles["targ"].reshape(right.shape)
    return (np.abs(out) + np.abs(targ)) * 2 / right.size, 1


def _difference_element(factor: int, role: str, word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    at_out, at_targ = (other_at(at, roles[name].ndim) for name in ("out", "targ"))
    out, targ, size = float(roles["out"][at_out]), float(roles["targ"][at_targ]), roles["out"].size
    pair = f"{called(word['out'], at_out)} - {called(word['targ'], at_targ)}"
    moves = (
        f"{called(word[role], at)} moves one difference, and through its square the loss; the loss is the mean of "
        f"{size} such squares"
    )
    numbers = f"{factor}*({out:.3g} - {number(targ)})/{size}"
    return moves, Sum([f"{factor}*({pair})/{size}"], [numbers], 1, factor * (out - targ) / size)


OUT = Kind(
    "mse",
    "out",
    "2 * (out - targ) / size",
    "Write the loss down for two numbers, ((out0 - targ0)**2 + (out1 - targ1)**2) / 2, and move out0.",
    "the 2 comes from the square, the 1/size from the mean over all numbers",
    _difference_terms,
    partial(_difference_element, 2, "out"),
)
TARG = Kind(
    "targ",
    "targ",
    "-2 * (out - targ) / size",
    "Write the loss down for two numbers, ((out0 - targ0)**2 + (out1 - targ1)**2) / 2, and move targ0.",
    "as for out; the minus comes from the minus before targ in the difference",
    _difference_terms,
    partial(_difference_element, -2, "targ"),
)


MSE_READING = Reading(("out", "targ"), "loss", {"inp": "out", "y": "targ"}, ("ij", "ij", ""), rows="out", behind="targ")


@questions(ops.MSE, reading=MSE_READING)
def _mse(use: Use) -> Kind | None:
    return mse_kind(use.slot, *use.operands)


def mse_kind(slot: int, out: Tensor, targ: Tensor) -> Kind:
    """If one of out and targ is (n,1) and the other (n), the right formula has the index that makes them fit."""
    kind = (OUT, TARG)[slot]
    if out.ndim == targ.ndim or kind.right is None:
        return kind
    mine, name = (out, "targ") if kind is OUT else (targ, "out")
    return replace(kind, right=kind.right.replace(name, f"{name}[:,None]" if mine.ndim == 2 else f"{name}[:,0]"))


# ---- loss = cross_entropy(out, targ) ----


def _share_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    return (softmax_of(roles["out"], -1) + 1) / len(right), 1


def _share_element(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    (i, j), n = at, len(roles["out"])
    p, targ = float(softmax_of(roles["out"], -1)[at]), roles["targ"]
    share = float(targ[i] == j) if targ.ndim == 1 else float(targ[at])
    moves = (
        f"{called(word['out'], at)} moves the loss of row {i} alone, by its share of the row's exp, {p:.3g}, less "
        f"its target, {share:g}; the loss is the mean of {n} rows"
    )
    words, numbers = f"(softmax({word['out']})[{i},{j}] - {share:g})/{n}", f"({p:.3g} - {share:g})/{n}"
    return moves, Sum([words], [numbers], 1, (p - share) / n)


SCORES = Kind(
    "cross_entropy",
    "out",
    "(softmax(out) - targ) / n",
    "Write the loss of one row down, log(exp(s0) + exp(s1)) - s0 if its class is 0, and move s0, then s1.",
    "the logarithm's derivative is the softmax, the row's own class takes 1 off, and the mean divides by the rows",
    _share_terms,
    _share_element,
)
ONE_HOT = "one_hot(targ, h)"  # labels as rows of zeros and a one
LABELLED = replace(SCORES, name="cross_entropy_labels", right=f"(softmax(out) - {ONE_HOT}) / n")


@questions(ops.CROSS_ENTROPY, reading=replace(MSE_READING, axes=()))
def _cross_entropy(use: Use) -> Kind | None:
    return SCORES if use.operands[1].ndim == 2 else LABELLED


# ---- loss = binary_cross_entropy_with_logits(out, targ) ----


def _answer_terms(roles: Roles, right: Array) -> tuple[Array, int]:
    return np.full(right.shape, 2 / right.size), 1


def _answer_element(word: Words, roles: Roles, at: At) -> tuple[str, Sum]:
    out, targ, size = roles["out"], roles["targ"].reshape(roles["out"].shape), roles["out"].size
    s, share, me = float(sigmoid_of(out)[at]), float(targ[at]), called(word["out"], at)
    moves = f"{me} moves the loss through its own term alone; the loss is the mean of {size} such terms"
    words = f"(sigmoid({me}) - {called(word['targ'], other_at(at, roles['targ'].ndim))})/{size}"
    return moves, Sum([words], [f"({s:.3g} - {share:g})/{size}"], 1, (s - share) / size)


ANSWERS = Kind(
    "binary_cross_entropy",
    "out",
    "(sigmoid(out) - targ) / size",
    "Write the loss of one element down, -log(s) if its target is 1, with s = 1 / (1 + exp(-out)), and move out.",
    "1/s from the logarithm and s (1 - s) from the sigmoid leave s - 1; the mean divides by all elements",
    _answer_terms,
    _answer_element,
)


@questions(ops.BINARY_CROSS_ENTROPY, reading=MSE_READING)
def _binary_cross_entropy(use: Use) -> Kind | None:
    out, targ = use.operands
    column = "targ[:,None]" if targ.ndim < out.ndim else "targ"
    return replace(ANSWERS, right=f"(sigmoid(out) - {column}) / size")


KINDS = (W, X, B, RELU, LEAKY_RELU, OUT, TARG, SCORES, LABELLED, ANSWERS)
RIGHT = {kind.name: kind.right for kind in KINDS if kind.right is not None}
