"""The kinds of the family `bits`; importing this package registers them."""

from pybackprop.selftest.cases import (
    copies,
    elementwise,
    expressions,
    gradients,
    models,
    plans,
    products,
    protocol,
)

__all__ = ["copies", "elementwise", "expressions", "gradients", "models", "plans", "products", "protocol"]
