"""pybackprop: f = mse(relu(x @ w + b)), forward and backward, from the foundations."""
from pybackprop.functional import *
