"""Which tensor a question is about: w[0, 0] or w[:, 1], written for the question alone, means elements of w."""

from __future__ import annotations

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.errors import GradientError
from pybackprop.teach.trace.gradients import same, walk_back
from pybackprop.teach.trace.graph import network_ending_in, networks_of
from pybackprop.teach.trace.notation import Index, element
from pybackprop.teach.trace.off_tape import takes_part
from pybackprop.teach.trace.parts import Part, is_rearranged, parts_of


def part_asked(t: Tensor, loss: Tensor | None) -> Part | None:
    """The elements that t shows, if it took no part in a forward pass and the tensor that they are from did.

    None for any other tensor, and for a result where a backward pass began, such as loss = out[0, 0].
    """
    if not is_rearranged(t) or t is loss or t._g is not None or _is_used(t, loss) or _began_at(t):
        return None
    return next((part for part in parts_of(t) if _is_used(part.whole, loss)), None)


def note_of(part: Part, at: Index, name: str) -> str:
    """What is said of an element that was asked for by way of a part. name: that of the whole tensor."""
    where = at[0] if len(at) == 1 else at
    return (
        f"what was given is a part of {name}, and the forward pass did not use the part itself. So this explains the "
        f"element {element(name, at)}, as bp.explain({name}, at={where}) does."
    )


def _is_used(t: Tensor, loss: Tensor | None) -> bool:
    """Whether it took part in a forward pass, other than that elements of it were looked at."""
    try:
        return any(not network.only_looks_at(t) for network in networks_of(t, loss, takes_part))
    except GradientError:
        return False


def _began_at(t: Tensor) -> bool:
    """Whether the parameters' .g are those of a backward pass that began at t."""
    network = network_ending_in(t)
    leaves = [leaf for leaf in network.leaves() if leaf._g is not None]
    if not leaves or not network.is_loss():
        return False
    try:
        walk = walk_back(network, t)
    except GradientError:  # the values behind it are gone
        return False
    return all(same(leaf._g._array, walk.of(leaf)) for leaf in leaves if leaf._g is not None)
