"""Descriptors: a network's layers as the C core's structs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybackprop.core import native
from pybackprop.nn.network import Stage


def describe_layers(stages: Sequence[Stage]) -> Any:
    """An array of bp_layer with sizes and activations; the pointers are not set yet."""
    layers = native.layers(len(stages))
    for layer, stage in zip(layers, stages, strict=True):
        layer.m, layer.h = stage.w.shape
        _describe_activation(layer, stage)
    return layers


def _describe_activation(layer: Any, stage: Stage) -> None:
    """Sets a layer's activation, and the activation's parameters, which have the same names in bp_layer."""
    op = stage.activation
    layer.activation = native.NO_ACTIVATION if op is None else native.ACTIVATIONS[str(op.activation)]
    for name, value in stage.params.items():
        setattr(layer, name, value)
