"""Descriptors: a network's layers as the C core's structs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybackprop.core import native
from pybackprop.nn.network import Stage


def describe_layers(stages: Sequence[Stage]) -> Any:
    """An array of bp_layer with sizes and activations; where the arrays lie is not known yet."""
    layers = native.layers(len(stages))
    for layer, stage in zip(layers, stages, strict=True):
        layer.m, layer.h = stage.w.shape
    return layers


def place_activation(layer: Any, stage: Stage, a: Any) -> None:
    """Tells C where the result of a layer's activation lies, if it has one."""
    layer.a = native.NULL if stage.activation is None else a
