"""Layers and models: parameters, sharing, nesting, prediction, copies, and what is refused."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.twins import ScaleByHand


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 4)).astype(np.float32)


@pytest.fixture
def targ(rng):
    return rng.standard_normal((6, 2)).astype(np.float32)


@pytest.fixture
def model():
    return bp.mlp([4, 5, 2], seed=3)


def gradients(model):
    return [p.g.data.copy() for p in model.parameters()]


def test_mlp_names_and_bounds():
    model = bp.mlp([784, 50, 10], seed=0)
    assert [p.name for p in model.parameters()] == ["w1", "b1", "w2", "b2"]
    assert [p.shape for p in model.parameters()] == [(784, 50), (50,), (50, 10), (10,)]
    w1, b1, *_ = model.parameters()
    bound = np.sqrt(6 / 784)
    assert abs(w1.data).max() <= bound
    assert abs(w1.data).max() > 0.99 * bound
    np.testing.assert_allclose(w1.data.var(), 2 / 784, rtol=0.05)
    assert not b1.data.any()
    assert repr(model) == "Model([Lin(784, 50), Relu(), Lin(50, 10)], loss=Mse(), 39,760 parameters)"


def test_a_seed_gives_the_same_bits_everywhere(dtype):
    from pybackprop.train.checkpoint import digest

    found = digest({p.name: p.data for p in bp.mlp([64, 50, 10], seed=7, dtype=dtype).parameters()})
    assert found == DIGESTS[np.dtype(dtype).name]
    again = bp.mlp([64, 50, 10], seed=7, dtype=dtype).parameters()[0]
    other = bp.mlp([64, 50, 10], seed=8, dtype=dtype).parameters()[0]
    assert (again.data != other.data).any()


DIGESTS = {
    "float32": "f1ee1f294e1afa3671d07c14dd08854324fa28edf600b00c351c26fb255dd1bb",
    "float64": "d90adb5899f571234b576141a951ca058581d77bcbebcb380503fd5059516d84",
}


@pytest.mark.parametrize("sizes", [3, [], [3], [3, 0], [3, -1, 2], [3, 2.5], [True, 2], ["3", 2]])
def test_mlp_refuses_sizes(sizes):
    with pytest.raises(ValueError, match="mlp"):
        bp.mlp(sizes)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "a", None, True])
def test_mlp_refuses_seeds(seed):
    with pytest.raises(ValueError, match="seed"):
        bp.mlp([2, 1], seed=seed)


def test_mlp_refuses_sizes_whose_product_overflows():
    with pytest.raises(bp.ShapeError, match="too large"):
        bp.mlp([2**40, 2**40])


def test_backward_before_forward(model):
    with pytest.raises(bp.GradientError, match=r"call model\(x, targ\) first"):
        model.backward()
    with pytest.raises(bp.GradientError, match="call the layer first"):
        bp.Relu().backward()
    layer = bp.Relu()
    layer(np.ones(3, np.float32))
    with pytest.raises(bp.GradientError, match="no gradient to pass on"):
        layer.backward()


def test_backward_after_an_update_is_refused(model, x, targ):
    model(x, targ)
    model.backward()
    bp.SGD(model, lr=0.1).step()
    with pytest.raises(bp.GradientError, match="forward again"):
        model.backward()


def test_without_targets_the_output_comes_back(model, x, targ):
    assert_same_bits(model(x).data, model.predict(x).data)
    assert_same_bits(model(x, targ).data, bp.mse(model.predict(x), targ).data)
    model(x)
    with pytest.raises(bp.GradientError, match="no loss yet"):
        model.backward()


def test_predict_disturbs_no_backward(model, x, targ):
    model(x, targ)
    model.backward()
    expected = gradients(model)
    model(x, targ)
    out = model.predict(x[:3])
    model.backward()
    for found, right in zip(gradients(model), expected, strict=True):
        assert_same_bits(found, right)
    with pytest.raises(bp.GradientError, match="not on a tape"):
        bp.mse(out, targ[:3]).backward()


def test_keep_leaves_every_layers_gradient(model, x, targ):
    model(x, targ)
    model.backward(keep=True)
    for layer in model.layers:
        assert layer.out.g.shape == layer.out.shape
    model.backward()
    assert model.layers[0].out.g is None


def test_accumulate(model, x, targ):
    model(x, targ)
    model.backward()
    once = gradients(model)
    model.backward(accumulate=True)
    for found, g in zip(gradients(model), once, strict=True):
        np.testing.assert_allclose(found, 2 * g, rtol=1e-5)


def test_gradients_keep_their_buffers(model, x, targ):
    model(x, targ)
    model.backward()
    buffers = [p.g for p in model.parameters()]
    model(x, targ)
    model.backward()
    assert all(p.g is buffer for p, buffer in zip(model.parameters(), buffers, strict=True))


def test_the_data_gets_a_gradient_only_if_it_wants_one(model, x, targ):
    data = bp.tensor(x)
    model(data, targ)
    model.backward()
    assert data.g is None
    data.requires_g = True
    model(data, targ)
    model.backward()
    assert data.g.shape == data.shape


def test_a_shared_layer_gets_the_sum_of_its_uses(rng):
    w, b = bp.param(rng.standard_normal((3, 3))), bp.param(rng.standard_normal(3))
    layer = bp.Lin(w, b)
    model = bp.Model([layer, bp.Relu(), layer, bp.Lin(w)])
    assert [id(p) for p in model.parameters()] == [id(w), id(b)]
    assert bp.gradcheck(model, rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))


def test_a_layer_by_hand_may_be_used_twice_and_beside_ours(rng):
    scale = ScaleByHand(rng.standard_normal(3))
    model = bp.Model(
        [bp.Lin(rng.standard_normal((3, 3))), scale, bp.Relu(), scale, bp.Lin(rng.standard_normal((3, 1)))]
    )
    assert len(model.parameters()) == 3
    x, targ = rng.standard_normal((5, 3)), rng.standard_normal(5)
    assert bp.gradcheck(model, x, targ)
    model(x, targ)
    model.predict(x[:1])
    model.backward()
    once = gradients(model)
    model.backward(accumulate=True)
    for found, g in zip(gradients(model), once, strict=True):
        np.testing.assert_allclose(found, 2 * g)


def test_a_layer_by_hand_that_forgets_a_gradient(rng):
    class Forgets(ScaleByHand):
        def bwd(self, out, inp):
            inp.g = out.g * self.s

    model = bp.Model([Forgets(np.ones(3))], loss=bp.Mse())
    model(np.ones((2, 3)), np.zeros((2, 3)))
    with pytest.raises(bp.GradientError, match=r"Forgets.*left no \.g.*'s'"):
        model.backward()


def test_a_layer_by_hand_that_fails_leaves_gradients_as_they_were():
    class Fails(ScaleByHand):
        def bwd(self, out, inp):
            raise ZeroDivisionError

    layer = Fails(np.ones(3))
    layer.s.g = np.full(3, 5.0)
    model = bp.Model([layer])
    model(np.ones((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ZeroDivisionError):
        model.backward()
    assert layer.s.g.tolist() == [5, 5, 5]


def test_a_layer_without_bwd_is_taken_from_the_tape(rng):
    class Residual(bp.Module):
        def __init__(self):
            self.inner = [bp.Lin(rng.standard_normal((3, 3)), rng.standard_normal(3)), bp.Relu()]
            self.named = {"w": bp.param(rng.standard_normal((3, 3)))}

        def forward(self, inp):
            out = inp
            for layer in self.inner:
                out = layer(out)
            return inp + out @ self.named["w"]

    model = bp.Model([bp.Lin(rng.standard_normal((3, 3))), Residual()])
    assert len(model.parameters()) == 4
    assert bp.gradcheck(model, rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))


def test_models_nest(model, x, targ):
    outer = bp.Model([model, bp.Relu()])
    assert [id(p) for p in outer.parameters()] == [id(p) for p in model.parameters()]
    outer(x, targ)
    outer.backward()
    assert bp.gradcheck(outer, x, targ)


def test_a_module_without_forward_or_bwd_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        bp.Module()(1.0)

    class Half(bp.Module):
        def forward(self, inp):
            return inp * 2

    half = Half()
    half(1.0)
    with pytest.raises(NotImplementedError, match="Half has no bwd"):
        half.backward()


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        (lambda: [bp.Lin(4, 8), bp.Relu], {}, r"layers\[1\] is the class Relu; make an object of it, Relu\(\.\.\.\)"),
        (lambda: [bp.Lin(4, 8)], {"loss": bp.Mse}, r"loss is the class Mse; make an object of it, Mse\(\.\.\.\)"),
        (lambda: [bp.Lin(4, 8)], {"loss": "mse"}, "loss is 'mse', a str, which cannot be called"),
        (lambda: [bp.Lin(4, 8), None], {}, r"layers\[1\] is None, a NoneType, which cannot be called"),
        (lambda: bp.Lin(4, 8), {}, r"found Lin, expected a list of layers, \[Lin\(4, 8\), \.\.\.\]"),
    ],
)
def test_what_is_no_layer_is_refused_when_the_model_is_made(layers, options, message):
    with pytest.raises(TypeError, match="^Model: " + message):
        bp.Model(layers(), **options)


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="cannot be called"):
        bp.Model([3])


@pytest.mark.parametrize(("w", "b"), [((3,), None), ((3, 2), (3,)), ((3, 2), (1, 2)), ((2, 3, 4), None)])
def test_lin_refuses_shapes(w, b):
    with pytest.raises(bp.ShapeError, match="Lin: found w"):
        bp.Lin(np.ones(w), None if b is None else np.ones(b))


def test_whole_numbers_follow_the_models_dtype(dtype):
    model = bp.mlp([3, 2], dtype=dtype)
    assert model(np.arange(6).reshape(2, 3), [[0, 1], [1, 0]]).dtype == dtype


def test_copies_are_whole_and_leave_the_activations_behind(model, x, targ):
    model(x, targ)
    model.backward()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.layers[0].out is None
        assert_same_bits(twin.predict(x).data, model.predict(x).data)
        assert twin.parameters()[0] is not model.parameters()[0]
    assert model.double().parameters()[0].dtype == np.float64
    assert model.parameters()[0].dtype == np.float32


def test_the_last_pass_is_freed_before_the_next_one(model, x, targ):
    gc.disable()
    try:
        model(x, targ)
        model.backward()
        watched = [weakref.ref(layer.out) for layer in model.layers]
        seen = []
        model.layers.insert(0, lambda inp: seen.extend(ref() for ref in watched) or inp)
        model(x, targ)
        assert seen == [None] * 3
    finally:
        gc.enable()


# ---- SGD ----


def test_sgd_descends(model, x, targ):
    sgd = bp.SGD(model, lr=0.05, momentum=0.9)
    losses = []
    for _ in range(100):
        losses.append(float(model(x, targ)))
        model.backward()
        sgd.step()
    assert losses[-1] < 0.05 * losses[0]
    assert repr(sgd) == "SGD(lr=0.05, momentum=0.9)"


def test_sgd_takes_its_parameters_in_either_place(model, x, targ):
    model(x, targ)
    model.backward()
    twin = copy.deepcopy(model)
    bp.SGD(model, lr=0.1).step()
    bp.SGD(lr=0.1).step(twin.parameters())
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(a.data, b.data)
    with pytest.raises(ValueError, match="no parameters"):
        bp.SGD(lr=0.1).step()


def test_sgd_changes_nothing_if_a_gradient_is_missing(model, x, targ):
    model(x, targ)
    model.backward()
    last = model.parameters()[-1]
    last.g = None
    before = [p.data.copy() for p in model.parameters()]
    with pytest.raises(bp.GradientError, match=r"'b2'.*run backward first"):
        bp.SGD(model, lr=0.1).step()
    for p, data in zip(model.parameters(), before, strict=True):
        assert_same_bits(p.data, data)


def test_sgd_refuses_a_parameter_twice():
    w = bp.param([1.0])
    with pytest.raises(ValueError, match="0 and 2 are one tensor"):
        bp.SGD([w, bp.param([1.0]), w], lr=0.1)


@pytest.mark.parametrize("parameters", [[], 3, [np.ones(3)], bp.tensor([1.0])])
def test_sgd_refuses_what_are_no_parameters(parameters):
    with pytest.raises((TypeError, ValueError), match="SGD"):
        bp.SGD(parameters, lr=0.1)


def test_sgd_refuses_results_and_read_only_memory():
    w = bp.param([[1.0]])
    out = w @ w
    out.g = [[1.0]]
    with pytest.raises(bp.GradientError, match="a result"):
        bp.SGD([out], lr=0.1).step()
    frozen = np.ones(2, np.float32)
    frozen.flags.writeable = False
    p = bp.as_tensor(frozen)
    p.g = [1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        bp.SGD([p], lr=0.1).step()


@pytest.mark.parametrize("rates", [{"lr": -1}, {"lr": np.nan}, {"lr": np.inf}, {"lr": "a"}, {"lr": 1, "momentum": 1}])
def test_sgd_refuses_rates(rates):
    with pytest.raises(ValueError, match="SGD: found"):
        bp.SGD([bp.param([1.0])], **rates)
