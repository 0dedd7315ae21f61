"""A tour through one training step in place: after each operation, which values are still needed, and by what.

The numbers are computed by the library; which values can be freed follows from what each operation reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor, param
from pybackprop.core.arrays import Array

TITLE = "When can each value be freed? One step of 2 samples, 2 inputs, 2 hidden, 1 output, in place."
TIMES = "\N{MULTIPLICATION SIGN}"
X, TARG = [[1, 2], [-1, 0.5]], [[1], [0]]
PARAMETERS: dict[str, list[Any]] = {"w1": [[1, -1], [0.5, 2]], "b1": [0.5, -1], "w2": [[2], [-0.5]], "b2": [0.25]}
GIVEN = "x", "targ", "w1", "b1", "w2", "b2"


@dataclass(frozen=True)
class Act:
    """One operation of the step: what it reads and writes. over: whose buffer it writes into; empty: a new one."""

    code: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    over: str = ""
    words: str = ""


ACTS = (
    Act(
        "l1 = lin(x, w1, b1)",
        ("x", "w1", "b1"),
        ("l1",),
        words="l1[i,j] is the sum over k of x[i,k] w1[k,j], plus b1[j]. It gets its own buffer: 2 rows, 2 columns.",
    ),
    Act(
        "l2 = relu_(l1)",
        ("l1",),
        ("l2",),
        "l1",
        "relu may run in place: its backward needs only where its input was positive, and the output is positive in\n"
        "exactly the same places. So l2 takes l1's buffer, and l1 is not needed again.",
    ),
    Act(
        "out = lin(l2, w2, b2)",
        ("l2", "w2", "b2"),
        ("out",),
        words="l2 must stay: w2.g = l2.T @ out.g, and out.g is still to come.",
    ),
    Act(
        "loss = mse(out, targ)",
        ("out", "targ"),
        ("loss",),
        words="The forward pass is over. The backward pass still needs x, l2, out and targ.",
    ),
    Act(
        "mse_grad(out, targ, inplace=True)",
        ("out", "targ"),
        ("out.g",),
        "out",
        "out.g[i] = 2 (out[i] - targ[i]) / size reads only out[i] and targ[i], and writes in the place of out[i].\n"
        "lin_grad, which comes next, reads l2, w2 and out.g, but not out. So this was the last use of out, and out.g\n"
        "can have its buffer.",
    ),
    Act(
        "lin_grad(l2, out, w2, b2)",
        ("l2", "w2", "out.g"),
        ("l2.g", "w2.g", "b2.g"),
        words="w2.g = l2.T @ out.g is what l2 was kept for. l2.g = out.g @ w2.T is as large as l2. It does not fit\n"
        "into out.g's buffer, which has one column, not two, and l2's own buffer will be read once more: for its\n"
        "signs.",
    ),
    Act(
        "relu_grad(l1, l2, inplace=True)",
        ("l2", "l2.g"),
        ("l1.g",),
        "l2.g",
        "l1.g[i,j] is l2.g[i,j] where l1[i,j] was positive, and 0 elsewhere: each element reads only its own place.\n"
        "l1's numbers were overwritten long ago, but l2 still shows where they were positive.",
    ),
    Act(
        "lin_grad(x, l1, w1, b1)",
        ("x", "l1.g"),
        ("w1.g", "b1.g"),
        words="This is why x must stay from the first operation to the last: w1.g = x.T @ l1.g, and l1.g is known\n"
        "only now. What was used first is needed last. (w1 is not read: the gradient of the data is not required.)",
    ),
)


@dataclass
class Moment:
    """After one operation: the buffers with the values in them, and the bytes in place and out of place."""

    number: int
    code: str
    words: str
    numbers: dict[str, list[Any]]
    buffers: list[dict[str, Any]]
    nbytes: int
    nbytes_out_of_place: int
    remarks: list[str] = field(default_factory=list)


def moments() -> Iterator[Moment]:
    """The state after each operation, in order."""
    values = _values()
    buffers: dict[str, str] = {}  # the buffer that each computed value is in
    computed: list[str] = []
    for number, act in enumerate(ACTS, 1):
        for name in act.writes:
            buffers[name] = buffers[act.over] if act.over else name
            computed.append(name)
        shown = [name for name in act.writes if not name.startswith("loss")]
        yield Moment(
            number,
            act.code,
            act.words,
            {name: values[name].tolist() for name in shown or act.writes},
            _buffers(number, computed, buffers, values),
            sum(values[name].nbytes for name in computed if buffers[name] == name and name not in GRADIENTS),
            sum(values[name].nbytes for name in computed if name not in GRADIENTS),
            _remarks(act, values),
        )


GRADIENTS = tuple(f"{name}.g" for name in PARAMETERS)


def _values() -> dict[str, Array]:
    """Every value by its name, copied before the in-place step overwrites it."""
    x, targ = np.array(X, np.float32), np.array(TARG, np.float32)
    w1, b1, w2, b2 = (param(value, np.float32, name=name) for name, value in PARAMETERS.items())
    for p in (w1, b1, w2, b2):
        p.requires_g = False  # by hand: nothing is recorded
    values: dict[str, Array] = {"x": x, "targ": targ}

    def keep(**tensors: Tensor | None) -> None:
        values.update({name.replace("_g", ".g"): t.data.copy() for name, t in tensors.items() if t is not None})

    keep(w1=w1, b1=b1, w2=w2, b2=b2)
    l1 = ops.lin(x, w1, b1)
    keep(l1=l1)
    l2 = ops.relu_(l1)
    keep(l2=l2)
    out = ops.lin(l2, w2, b2)
    keep(out=out, loss=ops.mse(out, targ))
    ops.mse_grad(out, targ, inplace=True)
    keep(out_g=out.g)
    ops.lin_grad(l2, out, w2, b2)
    keep(l2_g=l2.g, w2_g=w2.g, b2_g=b2.g)
    ops.relu_grad(l1, l2, inplace=True)
    keep(l1_g=l1.g)
    ops.lin_grad(x, l1, w1, b1)
    keep(w1_g=w1.g, b1_g=b1.g)
    return values


def _buffers(
    number: int, computed: list[str], buffers: dict[str, str], values: dict[str, Array]
) -> list[dict[str, Any]]:
    """Each buffer, the value in it now, and the operations that will still read that value."""
    rows = []
    for owner in [*GIVEN, *dict.fromkeys(buffers[name] for name in computed)]:
        inside = owner if owner in GIVEN else [name for name in computed if buffers[name] == owner][-1]
        later = [act.code for act in ACTS[number:] if inside in act.reads]
        rows.append(
            {
                "buffer": owner,
                "holds": inside,
                "shape": list(values[inside].shape),
                "bytes": values[owner].nbytes,
                "needed_by": later,
                "why": _why(inside, later),
            }
        )
    return rows


def _why(name: str, later: list[str]) -> str:
    if later:
        return f"needed by {', '.join(later)}"
    if name in GRADIENTS or name == "loss":
        return "a result"
    return "kept: it will be updated" if name in PARAMETERS else "not needed any more: can be freed"


def _remarks(act: Act, v: dict[str, Array]) -> list[str]:
    """What the numbers show."""
    if act.writes == ("l2",):
        before, after = (v[name] > 0 for name in ("l1", "l2"))
        return [f"l1 > 0: {before.tolist()}", f"l2 > 0: {after.tolist()}{': the same' * bool((before == after).all())}"]
    if act.writes == ("out.g",):
        one = f"2 ({v['out'][0, 0]:g} - {v['targ'][0, 0]:g}) / {v['out'].size} = {v['out.g'][0, 0]:g}"
        return [f"out.g[0,0] = {one}: it needs only out[0,0] and targ[0,0]"]
    if act.writes[0] == "w1.g":
        terms = " + ".join(f"({v['x'][i, 0]:g})({v['l1.g'][i, 0]:g})" for i in range(len(v["x"])))
        return [f"w1.g[0,0] = {terms} = {v['w1.g'][0, 0]:g}: this needs column 0 of x, in every row"]
    return []


def to_dict() -> dict[str, Any]:
    """The tour as plain data: title and moments, each with the fields of Moment."""
    return {"title": TITLE, "moments": [vars(moment) for moment in moments()]}


def text() -> str:
    """The whole tour as text."""
    parts = [TITLE, f"x = {_numbers(np.array(X).tolist())}   targ = {_numbers(np.array(TARG).tolist())}"]
    parts.append("   ".join(f"{name} = {_numbers(np.array(value).tolist())}" for name, value in PARAMETERS.items()))
    states = list(moments())
    parts += [_described(moment) for moment in states]
    most, most_out = (max(getattr(m, name) for m in states) for name in ("nbytes", "nbytes_out_of_place"))
    parts.append(
        f"Besides data, parameters and their gradients, the step takes {most} bytes in place, and {most_out} if every\n"
        "value has its own buffer. The gradients are the same, bit for bit. These buffers grow in\n"
        "proportion to the rows; the parameters do not. So a step's memory is mostly activations, and that is where\n"
        "it can be saved."
    )
    return "\n\n".join(parts)


def _described(moment: Moment) -> str:
    lines = [f"{moment.number}. {moment.code}", *(f"   {line}" for line in moment.words.splitlines())]
    lines += [f"     {name} = {_numbers(value)}" for name, value in moment.numbers.items()]
    lines += [f"     {remark}" for remark in moment.remarks]
    lines.append(f"   alive: {moment.nbytes} bytes (out of place {moment.nbytes_out_of_place})")
    for buffer in moment.buffers:
        if buffer["buffer"] in ("b1", "b2", "w1", "w2"):
            continue
        where = buffer["holds"]
        if buffer["buffer"] != buffer["holds"]:
            where += f" (in {buffer['buffer']}'s buffer)"
        shape = TIMES.join(map(str, buffer["shape"])) or "1"
        lines.append(f"     {where:<26}{shape:<5} {buffer['bytes']:>3} bytes   {buffer['why']}".rstrip())
    return "\n".join(lines)


def _numbers(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_numbers, value)) + "]"
    return f"{value:g}"
