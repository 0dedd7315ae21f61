"""The kinds of the family `bits`; importing this package registers them."""

from pybackprop.selftest.cases import (
    arithmetic,
    classes,
    copies,
    elementwise,
    expressions,
    gradients,
    models,
    optimizers,
    plans,
    products,
    protocol,
)

__all__ = [
    "arithmetic",
    "classes",
    "copies",
    "elementwise",
    "expressions",
    "gradients",
    "models",
    "optimizers",
    "plans",
    "products",
    "protocol",
]
