"""An explained network as a scene for the page."""

from __future__ import annotations

from typing import Any

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.errors import GradientError
from pybackprop.engine.model import Model
from pybackprop.nn.layers import Lin, Mse, Relu
from pybackprop.teach.page.scene import Scene, scene_of
from pybackprop.teach.trace.gradients import Walk, largest
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index
from pybackprop.teach.trace.operation import Operation

PRODUCTS, RELUS = (ops.LIN, ops.MATMUL), (ops.RELU, ops.RELU_)


def scene_of_walk(walk: Walk, tensor: Tensor, at: Index) -> Scene:
    """The network with one element selected; for the loss, the first parameter's element with the largest gradient.

    Only the first rows of large data are used, see scene_of. Raises GradientError for steps that the page does not
    support.
    """
    network = walk.network
    if network.operations[-1].op is not ops.MSE:
        raise GradientError("explain: the page needs a loss at the end, such as mse(out, targ)")
    if tensor is network.root:
        tensor = next(leaf for leaf in network.leaves() if leaf.requires_g)
        at = largest(walk.of(tensor))
    targ = network.operations[-1].inputs[1]
    scene = scene_of(Model(_layers(network), loss=Mse()), network.operations[0].inputs[0], targ)
    name = network.name(tensor)
    if name in scene.tensors and all(i < size for i, size in zip(at, scene.tensors[name][0].shape, strict=True)):
        return scene.choose(name, at)
    return scene  # the element's row is not among the first rows


def leaves_of_walk(walk: Walk, scene: Scene) -> dict[str, Tensor]:
    """The tensors whose numbers are the scene's data, parameters and targets, by their names in it."""
    network = walk.network
    tensors = [network.operations[0].inputs[0], *(t for op in network for t in op.inputs[1:])]
    return dict(zip(scene.leaves(), tensors, strict=True))


def _layers(network: Network) -> list[Any]:
    """Lin and Relu; x @ w followed by + b is one Lin."""
    layers: list[Any] = []
    aliases = {id(t): _alias(t) for op in network for t in op.inputs[1:]}
    before: Operation | None = None
    for op in network.operations[:-1]:
        if before is not None and op.inputs[0] is not before.output:
            raise GradientError("explain: the page shows a chain of operations, but this network branches")
        if op.op in PRODUCTS:
            layers.append(Lin(*(aliases[id(t)] for t in op.inputs[1:])))
        elif before is not None and _is_bias(op, before):
            layers[-1] = Lin(aliases[id(before.inputs[1])], aliases[id(op.inputs[1])])
        elif op.op in RELUS:
            layers.append(Relu())
        else:
            raise GradientError(f"explain: the page supports lin, relu and mse, but this network has '{op.name}'")
        before = op
    return layers


def _alias(parameter: Tensor) -> Tensor:
    """An alias, because a layer sets requires_g on its parameters and the learner's frozen ones must stay frozen."""
    alias = parameter.alias()
    alias.name = parameter.name
    return alias


def _is_bias(op: Operation, before: Operation) -> bool:
    return op.op is ops.ADD and before.op is ops.MATMUL and len(op.inputs) == 2 and op.inputs[1].ndim == 1
