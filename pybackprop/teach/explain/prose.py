"""Words: what to say about one path, by the rule that it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pybackprop.autograd.tensor import Tensor
from pybackprop.teach.explain.paths import Index, Path
from pybackprop.teach.trace.graph import Network, Operation


@dataclass(frozen=True)
class Words:
    """letter: of the index that is summed over ("" where there is one term). The others name things as formulas do.

    moves, why, by  which values move, why those, and by how much
    moved, local, upstream, sum  with this element's own indices, the summed one as a letter
    matmul          the whole gradient: x.T @ l1.g
    everything      from this element to all of them, a paragraph a piece; formulas begin with two spaces
    """

    through: str
    letter: str
    moves: str
    why: str
    by: str
    moved: str
    local: str
    upstream: str
    matmul: str
    everything: tuple[str, ...]


def element(name: str, at: Index) -> str:
    """w1[3,7]; a single number is called by its name alone."""
    return f"{name}[{','.join(map(str, at))}]" if at else name


def other_at(at: Index, ndim: int) -> Index:
    """The index in the target of an element of the output, or the other way round, where one is (n) and one (n,1)."""
    return (*at, *(0,) * ndim)[:ndim]


def as_shaped(name: str, tensor: Tensor, wanted: Tensor) -> str:
    """A name, with an index that gives it the shape of wanted where one is (n) and one (n,1)."""
    if tensor.ndim == wanted.ndim:
        return name
    return f"{name}[:,None]" if tensor.ndim < wanted.ndim else f"{name}[:,0]"


def difference(op: Operation, slot: int, network: Network) -> str:
    """out - targ, or targ - out for the target's gradient (slot 1), in the shape of the one whose gradient it is."""
    mine, other = op.inputs[slot], op.inputs[1 - slot]
    return f"{network.name(mine)} - {as_shaped(network.name(other), other, mine)}"


def upto(letter: str, count: int) -> str:
    return f"{letter} = 0" if count == 1 else f"{letter} = 0 .. {count - 1}"


def shape(array: Tensor) -> str:
    """(4,3), and (8) for a vector."""
    return f"({','.join(map(str, array.shape))})"


def words_of(path: Path, network: Network, is_only: bool = True) -> Words:
    """What to say about a path. is_only: whether there is no other, on which something else moves."""
    words = BY_RULE[path.rule](path, network)
    if is_only:
        return words
    return replace(words, moves=words.moves.replace(", and nothing else", ", and on this path nothing else"))


def _weight(path: Path, network: Network) -> Words:
    x, w, *bias = path.operation.inputs
    z = path.operation.output
    X, W, Z = map(network.name, (x, w, z))
    k, j = path.at
    me, plus = element(W, path.at), f" + {element(network.name(bias[0]), (j,))}" if bias else ""
    return Words(
        Z,
        "i",
        f"{me} moves column {j} of {Z}, every row: {Z}[i,{j}] for {upto('i', len(path))}, and nothing else.",
        f"{Z}[i,{j}] = … + {X}[i,{k}] {me} + …{plus}: column {j}, because {me} is in the sum of {Z}[i,j] only for "
        f"j = {j}; every row, because each row of {X} meets the same {W}.",
        f"Its factor there is {X}[i,{k}]: so much does {Z}[i,{j}] move for each 1 that {me} moves.",
        f"{Z}[i,{j}]",
        f"{X}[i,{k}]",
        f"{Z}.g[i,{j}]",
        f"{X}.T @ {Z}.g",
        (
            f"The sum runs down column {k} of {X} and column {j} of {Z}.g, side by side. For any element:",
            f"  {W}.g[k,j] = Σ_i {X}[i,k] {Z}.g[i,j]",
            "A matrix product pairs a row of the first with a column of the second: the index summed over is the inner "
            f"one, last in the first and first in the second. Here it is i. In {Z}.g[i,j] it comes first, as it "
            f"should, but in {X}[i,k] it comes first too, and should be last. So {X} is the one to transpose:",
            f"  {W}.g = {X}.T @ {Z}.g        ({x.shape[1]},{x.shape[0]}) @ {shape(z)} -> {shape(w)}",
            f"Row {k} of {X}.T times column {j} of {Z}.g is this element; all rows times all columns are all elements. "
            f"({Z}.g @ {X}.T would add along a row of {Z}: but {me} moves a column.)",
        ),
    )


def _input(path: Path, network: Network) -> Words:
    x, w = path.operation.inputs[:2]
    z = path.operation.output
    X, W, Z = map(network.name, (x, w, z))
    i, k = path.at
    me = element(X, path.at)
    return Words(
        Z,
        "j",
        f"{me} moves row {i} of {Z}, every column: {Z}[{i},j] for {upto('j', len(path))}, and nothing else.",
        f"{Z}[{i},j] = … + {me} {W}[{k},j] + …: row {i}, because a row of {Z} is computed from the same row of {X} and "
        f"no other; every column, because each column of {W} meets that row.",
        f"Its factor there is {W}[{k},j]: so much does {Z}[{i},j] move for each 1 that {me} moves.",
        f"{Z}[{i},j]",
        f"{W}[{k},j]",
        f"{Z}.g[{i},j]",
        f"{Z}.g @ {W}.T",
        (
            f"The sum runs along row {i} of {Z}.g and row {k} of {W}, side by side. For any element:",
            f"  {X}.g[i,k] = Σ_j {Z}.g[i,j] {W}[k,j]",
            "A matrix product pairs a row of the first with a column of the second: the index summed over is the inner "
            f"one, last in the first and first in the second. Here it is j. In {Z}.g[i,j] it comes last, as it should, "
            f"but in {W}[k,j] it comes last too, and should be first. So {W} is the one to transpose:",
            f"  {X}.g = {Z}.g @ {W}.T        {shape(z)} @ ({w.shape[1]},{w.shape[0]}) -> {shape(x)}",
            f"Row {i} of {Z}.g times column {k} of {W}.T is this element; all rows times all columns are all elements.",
        ),
    )


def _bias(path: Path, network: Network) -> Words:
    z, b = path.operation.output, path.operation.inputs[path.slot]
    B, Z = network.name(b), network.name(z)
    (j,) = path.at
    me, rows = element(B, path.at), f"all {len(path)} rows" if len(path) != 1 else "the only row"
    return Words(
        Z,
        "i",
        f"{me} moves column {j} of {Z}, every row: {Z}[i,{j}] for {upto('i', len(path))}, and nothing else.",
        f"{Z}[i,{j}] = … + {me}: there is one {me} for {rows}. It was broadcast, that is, added to every row of "
        f"column {j}.",
        f"Nothing multiplies it: {Z}[i,{j}] moves by 1 for each 1 that {me} moves.",
        f"{Z}[i,{j}]",
        "1",
        f"{Z}.g[i,{j}]",
        f"{Z}.g.sum(0)",
        (
            f"The factors are all 1, so the sum is that of column {j} of {Z}.g, over the rows. For any element:",
            f"  {B}.g[j] = Σ_i {Z}.g[i,j]",
            f"What was broadcast over the rows is summed over the rows, axis 0, and {B}.g gets the shape of {B}:",
            f"  {B}.g = {Z}.g.sum(0)        {shape(z)} -> {shape(b)}",
        ),
    )


def _relu(path: Path, network: Network) -> Words:
    x, z = path.operation.inputs[0], path.operation.output
    X, Z = network.name(x), network.name(z)
    me, there = element(X, path.at), element(Z, path.at)
    value = float(x._array[path.at])
    on = bool(path.local[0])
    shared = f" ({Z} was written over {X}, in place.)" if path.operation.kind == "relu_" else ""
    return Words(
        Z,
        "",
        f"{me} moves {there}, and nothing else."
        if on
        else f"{me} moves nothing: it is {value:.6g}, not above 0, and there relu is flat.",
        f"relu looks at each element by itself: {there} = max({me}, 0).{shared}",
        f"{me} is above 0, where relu passes it on: by 1 for each 1."
        if on
        else f"{there} stays 0 when {me} moves a little: by 0 for each 1.",
        there,
        f"({me} > 0)",
        element(f"{Z}.g", path.at),
        f"({X} > 0) * {Z}.g",
        (
            "There is one term and no sum, so there is nothing for a matrix product to add up: each element is "
            "multiplied by its own factor, 1 or 0. Hence * and not @:",
            f"  {X}.g = ({X} > 0) * {Z}.g        {shape(x)} * {shape(z)} -> {shape(x)}",
        ),
    )


def _mse(path: Path, network: Network) -> Words:
    out, targ = path.operation.inputs
    O, T, L = map(network.name, (out, targ, path.operation.output))  # noqa: E741
    is_targ = path.rule == "targ"
    mine, name = (targ, T) if is_targ else (out, O)
    me, size = element(name, path.at), out.size
    whole = f"2 * ({difference(path.operation, path.slot, network)}) / {size}"
    pair = f"({element(O, other_at(path.at, out.ndim))} - {element(T, other_at(path.at, targ.ndim))})"
    here = f"2 {pair} / {size}"
    return Words(
        L,
        "",
        f"{me} moves {L} directly, and nothing else.",
        f"{L} = (… + {pair}² + …) / {size}, the mean over {size} element{'s' if size > 1 else ''}.",
        f"The square's slope is 2 times the difference{', with a minus for the target' if is_targ else ''}; the mean "
        f"divides by {size}.",
        L,
        ("-" if is_targ else "") + here,
        f"∂{L}/∂{L}",
        whole,
        (
            f"There is one term and no sum: each element of {O} has its own square in {L}.",
            f"  {name}.g = {whole}        {shape(mine)}",
            f"The last factor, ∂{L}/∂{L} = 1, is where every backward begins.",
        ),
    )


def _same(path: Path, network: Network) -> Words:
    x, z = path.operation.inputs[path.slot], path.operation.output
    X, Z = network.name(x), network.name(z)
    there = element(Z, path.at)
    return Words(
        Z,
        "",
        f"{element(X, path.at)} moves {there}, and nothing else.",
        f"'{path.operation.kind}' works on each element by itself.",
        "It moves by 1 for each 1.",
        there,
        "1",
        element(f"{Z}.g", path.at),
        f"{Z}.g",
        (f"  {X}.g = {Z}.g        {shape(x)}",),
    )


def _broadcast(path: Path, network: Network) -> Words:
    x, z = path.operation.inputs[path.slot], path.operation.output
    X, Z = network.name(x), network.name(z)
    me = element(X, path.at)
    return Words(
        Z,
        "…",
        f"{me} moves {len(path)} elements of {Z}: all those that it was broadcast to.",
        f"{X} {shape(x)} was stretched to {shape(z)}: copies of {me} were added in each of these places.",
        "Each moves by 1 for each 1.",
        f"{Z}[…]",
        "1",
        f"{Z}.g[…]",
        f"{Z}.g summed to {shape(x)}",
        (
            "What was broadcast along an axis is summed along that axis:",
            f"  {X}.g = {Z}.g summed to {shape(x)}        {shape(z)} -> {shape(x)}",
        ),
    )


BY_RULE: dict[str, Callable[[Path, Network], Words]] = {
    "w": _weight,
    "x": _input,
    "b": _bias,
    "relu": _relu,
    "mse": _mse,
    "targ": _mse,
    "same": _same,
    "broadcast": _broadcast,
}
