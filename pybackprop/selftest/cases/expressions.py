"""Expressions on the tape: random graphs in which tensors are used several times, and the lesson's functions by hand.

The definition here is a small tape of its own: the operations of reference.c for forward and backward. The gradients
of a tensor's several uses are added in the order of a depth-first walk back from the loss, last operand first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, param, tensor
from pybackprop.core.arrays import Array
from pybackprop.ops import leaky_relu, lin, lin_grad, mse, reference, relu
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import SLOPES, WEIGHTS, Network
from pybackprop.selftest.draw import Draw

Add = Array | None  # what a gradient is added to


class Node:
    """A value of the definition, the tensor that should equal it, and how its gradient reaches its operands.

    grads  for each operand: (dout, what to add to) -> its gradient
    """

    value: Array
    found: Tensor
    operands: tuple[Node, ...]
    grads: tuple[Callable[[Array, Add], Array], ...]

    def __init__(
        self, value: Array, found: Tensor, operands: tuple[Node, ...] = (), *grads: Callable[[Array, Add], Array]
    ) -> None:
        self.value, self.found, self.operands, self.grads = value, found, operands, grads
        self.g: Array | None = None


def _plus(gradient: Array, add: Add) -> Array:
    return gradient if add is None else add + gradient


def _product(x: Node, w: Node, b: Node | None, draw: Draw) -> Node:
    """lin, or the operators that it stands for."""
    value = reference.linear_forward(x.value, w.value, None if b is None else b.value)
    operands = (x, w) if b is None else (x, w, b)
    grads: tuple[Callable[[Array, Add], Array], ...] = (
        lambda dout, add: reference.linear_backward_x(dout, w.value, add),
        lambda dout, add: reference.linear_backward_w(x.value, dout, add),
        lambda dout, add: reference.linear_backward_b(dout, add),
    )
    if b is None and draw.maybe(0.5):
        return Node(value, x.found @ w.found, operands, *grads)
    return Node(value, lin(x.found, w.found, None if b is None else b.found), operands, *grads)


def _active(x: Node, draw: Draw) -> Node:
    if draw.maybe(0.25):
        slope = draw.one_of(SLOPES)
        return Node(
            reference.leaky_relu_forward(x.value, slope),
            leaky_relu(x.found, negative_slope=slope),
            (x,),
            lambda dout, add: _plus(reference.leaky_relu_backward(x.value, dout, slope), add),
        )
    return Node(
        reference.relu_forward(x.value),
        relu(x.found),
        (x,),
        lambda dout, add: _plus(reference.relu_backward(x.value, dout), add),
    )


def _sum(a: Node, b: Node) -> Node:
    with np.errstate(all="ignore"):
        value = a.value + b.value
    return Node(value, a.found + b.found, (a, b), _plus, _plus)


def _loss(out: Node, targ: Array) -> Node:
    value = reference.mse_forward(out.value, targ)
    one = reference.mse_backward(out.value, targ)
    return Node(value, mse(out.found, targ), (out,), lambda dout, add: _plus(one, add))


@kind("tape", 12)
def tape_case(case: Case) -> None:
    """A random graph of square layers, so that any two values can be added and any weight used again."""
    draw = case.draw
    dtype, n, width = draw.dtype(), draw.rows(1), draw.size(1)
    leaves = [_leaf(draw, "x", (n, width), dtype, draw.maybe(0.4))]
    weights = [_leaf(draw, f"w{k}", (width, width), dtype, True) for k in range(draw.between(1, 2))]
    biases = [_leaf(draw, f"b{k}", (width,), dtype, draw.maybe(0.8)) for k in range(draw.between(0, 2))]
    values, forms = [_product(leaves[0], weights[0], draw.one_of([None, *biases]), draw)], []
    for _ in range(draw.between(0, 5)):
        forms.append(draw.one_of(("product", "activation", "sum")))
        one = draw.one_of(values)
        if forms[-1] == "product":
            values.append(_product(one, draw.one_of(weights), draw.one_of([None, *biases]), draw))
        else:
            values.append(_active(one, draw) if forms[-1] == "activation" else _sum(one, draw.one_of(values)))
    draw.note("graph", forms)
    loss = _loss(values[-1], draw.array("targ", (n, width), dtype))
    keep = draw.note("keep", draw.maybe(0.3))
    _passes(case, loss, [*leaves, *weights, *biases], values, keep)


def _leaf(draw: Draw, name: str, shape: tuple[int, ...], dtype: Any, wanted: bool) -> Node:
    value = draw.array(name, shape, dtype, WEIGHTS)
    return Node(value, param(value) if wanted else tensor(value))


def _passes(case: Case, loss: Node, leaves: list[Node], values: list[Node], keep: bool) -> None:
    """Backward, and at times again, overwriting or accumulating."""
    check, draw = case.check, case.draw
    check.same("the tape's loss", loss.found.data, loss.value)
    check.same("the last result", values[-1].found.data, values[-1].value)
    for again in range(2 if draw.maybe(0.3) else 1):
        accumulate = bool(again) and draw.note("accumulate", draw.maybe(0.6))
        loss.found.backward(keep=keep, accumulate=accumulate)
        with np.errstate(all="ignore"):
            reached = _walk_back(loss, accumulate)
        for leaf in leaves:
            if leaf.found.requires_g and id(leaf) in reached:
                check.same(f"{_name(leaf, leaves)}.g, pass {again}", leaf.found.g.data, leaf.g)
        for value in values if keep else ():
            if id(value) in reached and value.found.requires_g:
                check.same(f"a kept .g, pass {again}", value.found.g.data, value.g)


def _name(leaf: Node, leaves: list[Node]) -> str:
    return f"leaf {leaves.index(leaf)} {leaf.value.shape}"


def _order(root: Node) -> list[Node]:
    """Each node before those that it was computed from."""
    order: list[Node] = []

    def visit(node: Node) -> None:
        if node in order:
            return
        for operand in reversed(node.operands):
            visit(operand)
        order.append(node)

    visit(root)
    return order[::-1]


def _walk_back(root: Node, accumulate: bool) -> set[int]:
    """Sets the gradient of every node below root; their ids."""
    order = _order(root)
    for node in order:
        if node.operands or not accumulate:
            node.g = None
    root.g = np.ones((), root.value.dtype)
    for node in order:
        for operand, grad in zip(node.operands, node.grads, strict=False):
            assert node.g is not None
            operand.g = grad(node.g, operand.g)
    return {id(node) for node in order}


@kind("by hand", 6)
def by_hand_case(case: Case) -> None:
    """The lesson's network, every backward step called by hand, with and without sharing memory."""
    draw, check = case.draw, case.check
    network = Network(draw)
    over = draw.note("inplace", draw.maybe(0.5))
    _, x, targ = network.data(draw, draw.rows(1))
    definition = network.definition
    expected = definition.loss(x, targ)
    dx = definition.backward()
    inp = value = tensor(x)
    steps = []
    for layer, activation in zip(definition.layers, network.activations, strict=True):
        parameters = param(layer.w), None if layer.b is None else param(layer.b)
        z = active = lin(value, *parameters)
        if activation is not None:
            active = ((over and activation.inplace) or activation.op)(z, **activation.params)
        steps.append((value, z, active, parameters, activation))
        value = active
    check.same("the loss by hand", network.loss.op(value, targ).data, expected)
    network.loss.op.grad(value, targ)  # type: ignore[misc]
    for before, z, active, parameters, activation in reversed(steps):
        if activation is not None:
            shares = {"inplace": True} if over and activation.inplace is not None else {}
            activation.op.grad(z, active, **activation.params, **shares)  # type: ignore[misc]
        lin_grad(before, z, *parameters)
    check.same("x.g by hand", inp.g.data, dx)
    found = [p for step in steps for p in step[3] if p is not None]
    for k, (p, g) in enumerate(zip(found, definition.flat_gradients(), strict=True)):
        check.same(f"by hand: .g of parameter {k}", p.g.data, g)
