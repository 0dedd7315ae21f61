"""Lin from sizes, activations as layers, and what a network is."""

import copy
import pickle

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import ops
from pybackprop.core.checks import check_seed, is_whole, whole, width
from pybackprop.nn import network

W, B = np.ones((3, 2), np.float32), np.zeros(2, np.float32)


@pytest.fixture(scope="module")
def square():
    return bp.define_op(
        "square_as_a_layer",
        forward=lambda x, times=1.0: times * x * x,
        backward=lambda dout, x, times=1.0: 2 * times * x * dout,
        elementwise=True,
    )


# ---- Lin ----


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_lin_of_sizes_has_the_first_weights_of_mlp(dtype, seed):
    lin, first = bp.Lin(20, 5, seed=seed, dtype=dtype), bp.mlp([20, 5, 2], seed, dtype).layers[0]
    assert lin.w.data.tobytes() == first.w.data.tobytes()
    assert lin.w.dtype == lin.b.dtype == dtype
    assert not lin.b.data.any()
    assert lin.parameters() == [lin.w, lin.b]
    assert repr(lin) == "Lin(20, 5)"


def test_lin_of_sizes_without_a_bias_and_of_numpys_integers():
    lin = bp.Lin(np.int64(4), np.uint8(3), bias=False)
    assert lin.b is None
    assert len(lin.parameters()) == 1
    assert bp.Lin(4, 3).w.dtype == np.float32


def test_lin_of_sizes_trains():
    model = bp.Model([bp.Lin(3, 4, seed=1), bp.Relu(), bp.Lin(4, 2, seed=2)])
    plan = bp.compile(model, batch=3, optimizer=bp.SGD(model, lr=0.1))
    x, targ = np.eye(3, dtype=np.float32), np.ones((3, 2), np.float32)
    assert plan.step(x, targ) > plan.step(x, targ)


@pytest.mark.parametrize(
    ("args", "options", "error", "words"),
    [
        ((784,), {}, bp.ShapeError, r"found the size 784, expected two sizes.*Lin\(784, 50\); or two arrays"),
        ((W, 50), {}, bp.ShapeError, r"found an array of shape \(3, 2\) and the size 50, expected two sizes"),
        ((784, B), {}, bp.ShapeError, r"found the size 784 and an array of shape \(2,\)"),
        ((784.0, 50), {}, ValueError, "found a size of 784.0, expected a whole number from 1"),
        ((784, 0), {}, ValueError, "found a size of 0, expected a whole number from 1"),
        ((True, 50), {}, ValueError, "found a size of True"),
        ((3, 2), {"seed": -1}, ValueError, "seed: found -1"),
        ((3, 2), {"seed": 1.0}, ValueError, "seed: found 1.0"),
        ((3, 2), {"dtype": "int32"}, bp.DTypeError, "found int32, expected float32 or float64"),
        ((3, 2), {"bias": B}, TypeError, r"found bias of type ndarray, expected True or False; Lin\(w, b\) takes b"),
        ((W, B), {"seed": 0}, TypeError, "seed, bias and dtype go with sizes"),
        ((W,), {"bias": True}, TypeError, "seed, bias and dtype go with sizes"),
        ((W,), {"dtype": np.float64}, TypeError, "seed, bias and dtype go with sizes"),
        ((10**12, 10**12), {}, bp.ShapeError, "too large to be addressed"),
        ((W, np.zeros(3)), {}, bp.ShapeError, r"found w \(3, 2\) and b \(3,\), expected w \(inputs, outputs\)"),
    ],
)
def test_lin_refuses_with_the_remedy(args, options, error, words):
    with pytest.raises(error, match=words):
        bp.Lin(*args, **options)


# ---- activations ----


def test_relu_and_leaky_relu_are_activations():
    assert isinstance(bp.Relu(), bp.Activation)
    assert bp.Relu().op is ops.RELU
    assert (bp.LeakyRelu(0.2).op, bp.LeakyRelu(0.2).negative_slope) == (ops.LEAKY_RELU, 0.2)
    assert [
        repr(layer) for layer in (bp.Relu(), bp.LeakyRelu(), bp.Activation(ops.LEAKY_RELU, negative_slope=0.5))
    ] == [
        "Relu()",
        "LeakyRelu(0.01)",
        "Activation(leaky_relu, negative_slope=0.5)",
    ]


def test_an_activation_called_by_itself_goes_back_by_hand(square):
    inp = bp.tensor(np.array([[-1.0, 2.0]]))
    layer = bp.Activation(square, times=3.0)
    layer(inp)
    layer.out.g = np.array([[1.0, 10.0]])
    layer.backward()
    assert inp.g.data.tolist() == [[-6.0, 120.0]]


def test_an_operation_of_ones_own_in_a_model_by_layer_and_as_it_is(square):
    x, targ = np.ones((2, 3)), np.zeros((2, 1))
    models = [bp.Model([bp.Lin(3, 1, dtype=np.float64), layer]) for layer in (bp.Activation(square), square)]
    for model in models:
        assert bp.gradcheck(model, x, targ).ok
    assert float(models[0](x, targ)) == float(models[1](x, targ))


def test_copies_of_a_layer_keep_its_operation(square):
    for layer in (bp.Activation(square, times=2.0), bp.LeakyRelu(0.3), bp.Relu(), bp.Activation(ops.RELU)):
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert twin.op is layer.op
            assert twin.params == layer.params


def test_an_activation_refuses_what_is_no_operation_or_no_argument_of_it():
    with pytest.raises(TypeError, match=r"found tanh, expected an operation, such as those of bp.define_op"):
        bp.Activation(np.tanh)
    with pytest.raises(TypeError, match=r"found slope=0.2, but leaky_relu takes negative_slope"):
        bp.Activation(ops.LEAKY_RELU, slope=0.2)
    for wrong in (0, -1, np.inf, np.nan, "0.1", None):
        with pytest.raises(ValueError, match=r"leaky_relu: found negative_slope=.*above 0"):
            bp.LeakyRelu(wrong)


# ---- the network that layers are ----


def test_a_network_is_lin_and_an_activation_each():
    layers = [bp.Lin(3, 4), bp.LeakyRelu(0.2), bp.Lin(4, 2, bias=False), bp.Activation(ops.LEAKY_RELU), bp.Lin(2, 1)]
    found = network.network_of(layers, bp.Mse())
    assert found.widths == [3, 4, 2, 1]
    assert [stage.activation for stage in found.stages] == [ops.LEAKY_RELU, ops.LEAKY_RELU, None]
    assert [stage.params for stage in found.stages] == [{"negative_slope": 0.2}, {"negative_slope": 0.01}, {}]
    assert found.parameters() == [p for layer in layers for p in layer.parameters()]
    assert str(found) == "3→4→2→1, float32"


def test_a_network_of_sizes_is_that_of_mlp_and_allocates_nothing():
    found, right = network.of_sizes([3, 4, 2]), network.network_of(bp.mlp([3, 4, 2]).layers, bp.Mse())
    assert [(s.w.shape, s.b.shape, s.activation, s.inplace) for s in found.stages] == [
        (s.w.shape, s.b.shape, s.activation, s.inplace) for s in right.stages
    ]
    assert found.parameter_bytes == right.parameter_bytes
    assert network.of_sizes([2**30, 2**30, 2]).parameter_bytes > 2**60


def test_compile_refuses_an_operation_that_the_c_core_does_not_know_and_names_the_layer(square):
    model = bp.Model([bp.Lin(3, 4), bp.Activation(square), bp.Lin(4, 1)])
    words = r"compile: layers\[1\], Activation\(square_as_a_layer\), is unknown to the C core; train it with Model"
    with pytest.raises(TypeError, match=words):
        bp.compile(model, batch=2)
    with pytest.raises(TypeError, match=r"memory: layers\[1\], Activation\(square_as_a_layer\)"):
        model.memory(2)


def test_a_slope_that_the_dtype_rounds_to_zero_is_refused_by_all():
    model = bp.Model([bp.Lin(3, 4), bp.LeakyRelu(1e-60), bp.Lin(4, 1)])
    x, targ = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
    for run in (lambda: model(x, targ), lambda: bp.compile(model, batch=2)):
        with pytest.raises(ValueError, match=r"leaky_relu: found negative_slope=1e-60"):
            run()
    assert float(model.double()(x.astype(float), targ.astype(float))) >= 0


def test_a_slope_that_is_changed_is_noticed():
    x, targ = np.array([[-1.0, 2.0, -3.0]]), np.ones((1, 1))
    lin, leaky = bp.Lin(3, 1, dtype=np.float64), bp.LeakyRelu(0.5)
    lin.w.data[...] = 1.0
    model = bp.Model([lin, leaky])
    plan = bp.compile(model, batch=1)
    assert (float(model(x, targ)), plan.grads(x, targ)) == (4.0, 4.0)
    leaky.params["negative_slope"] = 1.0
    assert float(model(x, targ)) == 9.0
    with pytest.raises(RuntimeError, match=r"edited after compile: layers\[1\] is not the LeakyRelu that it was"):
        plan.grads(x, targ)


# ---- whole numbers ----


def test_whole_numbers():
    assert [is_whole(value) for value in (1, np.int8(3), 0, -1, True, 1.0, "1", None)] == [True, True] + [False] * 6
    assert [is_whole(value, 0, 2) for value in (0, 2, 3)] == [True, True, False]
    assert type(whole("n", np.int64(3))) is type(width("n", np.int64(3))) is type(check_seed(np.uint64(3))) is int
    with pytest.raises(ValueError, match=r"n: found 0, expected a whole number from 1$"):
        whole("n", 0)
    with pytest.raises(ValueError, match=r"n: found 9, expected a whole number from 1 to 8$"):
        whole("n", 9, 1, 8)
    with pytest.raises(
        ValueError, match=r"seed: found 18446744073709551616, expected a whole number from 0 to 2\*\*64 - 1"
    ):
        check_seed(2**64)
