"""bp.to_torch and bp.from_torch: the same function, the same memory where it is shared, and what is refused."""

import copy
import re

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.drawn_networks import DRAWN, drawn
from pybackprop.nn.layers import ACTIVATIONS, LOSSES

torch = pytest.importorskip("torch")
nn = torch.nn
TOLERANCE = 1e-6


def outputs(network, x):
    return network(torch.from_numpy(x)).detach().numpy()


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def places(network):
    return [p.data_ptr() for p in network.parameters()]


# ---- what is computed ----


@pytest.mark.parametrize("share", [True, False], ids=["shared", "copied"])
@pytest.mark.parametrize("seed", DRAWN)
def test_a_drawn_network_there_and_back(seed, share):
    model, x = drawn(seed)
    network = bp.to_torch(model, copy=not share)
    expected = model.predict(x).data
    assert outputs(network, x).dtype == x.dtype
    close(outputs(network, x), expected)
    back = bp.from_torch(network, loss=bp.to_torch(model.loss), copy=not share)
    assert_same_bits(back.predict(x).data, expected)
    assert type(back.loss) is type(model.loss)


@pytest.mark.parametrize("seed", DRAWN)
def test_a_drawn_networks_loss_and_gradients(seed):
    model, x = drawn(seed)
    targ = np.zeros(model.predict(x).shape, x.dtype)
    targ[:, 0] = 1
    network, loss = bp.to_torch(model), bp.to_torch(model.loss)
    ours, theirs = model(x, targ), loss(network(torch.from_numpy(x)), torch.from_numpy(targ))
    close(float(ours), theirs.item())
    model.backward()
    theirs.backward()
    gradients = [p.g.data for layer in model.layers if isinstance(layer, bp.Lin) for p in layer.parameters()]
    for found, p in zip(gradients, network.parameters(), strict=True):
        np.testing.assert_allclose(found, p.grad.numpy().T, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_counterpart(name):
    layer, x = ACTIVATIONS[name](), np.linspace(-3, 3, 14, dtype=np.float32).reshape(7, 2)
    (there,) = bp.to_torch(bp.Model([layer]))
    close(there(torch.from_numpy(x)).numpy(), layer(x).data)
    (back,) = bp.from_torch(nn.Sequential(there)).layers
    assert repr(back) == repr(layer)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_a_counterpart(name):
    there = bp.to_torch(LOSSES[name]())
    assert isinstance(there, nn.Module)
    assert type(bp.from_torch(nn.Sequential(nn.Linear(2, 2)), there).loss) is LOSSES[name]


def test_an_nn_sequential_of_pytorchs_own():
    torch.manual_seed(0)
    theirs = nn.Sequential(
        nn.Linear(5, 4), nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(4, 3, bias=False)), nn.Softmax(dim=-1)
    )
    x = torch.randn(6, 5)
    model = bp.from_torch(theirs, nn.CrossEntropyLoss())
    close(model.predict(x.numpy()).data, theirs(x).detach().numpy())
    assert [p.name for p in model.parameters()] == ["w1", "b1", "w2"]
    assert isinstance(model.loss, bp.CrossEntropy)
    assert model.layers[1].negative_slope == 0.2


def test_a_loaded_checkpoint_and_a_trained_model(tmp_path, rng):
    model, x = bp.mlp([5, 8, 3], seed=4), rng.standard_normal((30, 5)).astype("f")
    plan = bp.compile(model, batch=10, optimizer=bp.SGD(lr=0.1))
    plan.fit(x, x[:, :3], epochs=2)
    bp.save(model, tmp_path / "model.npz")
    loaded = bp.load(tmp_path / "model.npz")
    close(outputs(bp.to_torch(loaded), x), plan.predict(x).data)


def test_requires_g_and_parameters_used_twice(rng):
    w = bp.param(rng.standard_normal((3, 3)).astype("f"))
    model = bp.Model([bp.Lin(w), bp.Tanh(), bp.Lin(w, bp.param(np.zeros(3, "f")))])
    model.layers[2].b.requires_g = False
    network = bp.to_torch(model)
    assert network[0].weight is network[2].weight
    assert [p.requires_grad for p in network.parameters()] == [True, False]
    back = bp.from_torch(network)
    assert back.layers[0].w is back.layers[2].w
    assert [layer.b is None or layer.b.requires_g for layer in back.layers[::2]] == [True, False]


def test_no_random_numbers_are_drawn():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    bp.to_torch(bp.mlp([4, 3]))
    assert torch.equal(before, torch.get_rng_state())


# ---- memory ----


def test_the_memory_is_shared(dtype):
    model = bp.mlp([4, 3, 2], dtype=dtype)
    network = bp.to_torch(model)
    assert places(network) == [p.data.ctypes.data for p in model.parameters()]
    assert tuple(network[0].weight.shape) == (3, 4)
    assert network[0].weight.stride() == (1, 3)
    with torch.no_grad():
        network[0].weight[2, 1] = 7
    assert model.layers[0].w[1, 2].item() == 7
    model.layers[2].b[...] = 5
    assert network[2].bias.tolist() == [5, 5]
    again = bp.from_torch(network, copy=False)
    assert places(network) == [p.data.ctypes.data for p in again.parameters()]


def test_training_there_trains_here(rng):
    model, x = bp.mlp([4, 3, 2]), rng.standard_normal((6, 4)).astype("f")
    plan = bp.compile(model, batch=6, optimizer=bp.SGD(lr=0.1))
    network = bp.to_torch(model)
    before = model.predict(x).data
    (network(torch.from_numpy(x)) ** 2).mean().backward()
    torch.optim.SGD(network.parameters(), lr=0.5).step()
    for predict in (model.predict, plan.predict):
        assert abs(predict(x).data - before).max() > 0.01
        close(predict(x).data, outputs(network, x))
    plan.step(x, x[:, :2])
    close(outputs(network, x), model.predict(x).data)


def test_a_copy_has_memory_of_its_own():
    model = bp.mlp([4, 3, 2])
    network = bp.to_torch(model, copy=True)
    assert all(p.is_contiguous() for p in network.parameters())
    model.layers[0].w[...] = 0
    assert network[0].weight.abs().sum() > 0
    back = bp.from_torch(network)
    with torch.no_grad():
        network[0].weight.zero_()
    assert np.abs(back.layers[0].w.data).sum() > 0
    assert all(p.data.flags.c_contiguous for p in back.parameters())


def test_pytorch_saves_and_copies_what_is_shared(tmp_path):
    model = bp.mlp([4, 3, 2])
    network = bp.to_torch(model)
    torch.save(network.state_dict(), tmp_path / "state.pt")
    fresh = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    fresh.load_state_dict(torch.load(tmp_path / "state.pt"))
    x = np.ones((2, 4), "f")
    close(outputs(fresh, x), model.predict(x).data)
    close(outputs(copy.deepcopy(network), x), model.predict(x).data)
    network.load_state_dict({name: torch.zeros_like(p) for name, p in network.state_dict().items()})
    assert not model.layers[0].w.data.any()


def test_memory_that_cannot_be_shared_is_refused():
    backwards = bp.as_tensor(np.ones((4, 3), "f")[::-1])
    with pytest.raises(ValueError, match=r"to_torch: layers\[0\].*backwards.*copy=True"):
        bp.to_torch(bp.Model([bp.Lin(backwards)]))
    fixed = np.ones((4, 3), "f")
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match=r"to_torch: layers\[0\].*read-only.*copy=True"):
        bp.to_torch(bp.Model([bp.Lin(bp.as_tensor(fixed))]))
    assert outputs(bp.to_torch(bp.Model([bp.Lin(bp.as_tensor(fixed))]), copy=True), fixed.T.copy()[:, :4]).shape == (
        3,
        3,
    )
    with pytest.raises(
        ValueError, match=r"from_torch: sequential\[0\].weight \(3, 4\).*\(inputs, outputs\).*copy=True"
    ):
        bp.from_torch(nn.Sequential(nn.Linear(4, 3)), copy=False)


# ---- what is refused there ----


class Own(bp.Module):
    def forward(self, inp):
        return inp


class OwnModel(bp.Model):
    def forward(self, x):
        return x


cube = bp.define_op("cube_there", lambda x: x**3, lambda dout, x: 3 * x * x * dout)
MODELS = {
    "own layer": (lambda: bp.Model([bp.Lin(3, 2), Own()]), TypeError, r"layers\[1\] is Own.*possible are Lin, "),
    "own function": (lambda: bp.Model([lambda x: x]), TypeError, r"layers\[0\] is <lambda>"),
    "own operation": (
        lambda: bp.Model([bp.Lin(3, 2), bp.Model([bp.Activation(cube)])]),
        TypeError,
        r"layers\[1\]\.layers\[0\] is the operation 'cube_there', which has no counterpart in PyTorch",
    ),
    "own forward": (lambda: OwnModel([bp.Lin(3, 2)]), TypeError, "OwnModel has a forward of its own"),
    "widths": (
        lambda: bp.Model([bp.Lin(3, 2), bp.Lin(3, 2)]),
        bp.ShapeError,
        r"layers\[1\]: found w \(3, 2\), expected 2",
    ),
    "dtypes": (
        lambda: bp.Model([bp.Lin(3, 2), bp.Lin(2, 2, dtype="f8")]),
        bp.DTypeError,
        r"float64.*float32.*double\(\)",
    ),
    "a plan": (
        lambda: bp.compile(bp.mlp([3, 2]), batch=2),
        TypeError,
        r"found Plan, expected a bp.Model: give its .model$",
    ),
    "a layer": (lambda: bp.Lin(3, 2), TypeError, "found Lin, expected a bp.Model"),
    "a number": (lambda: 3, TypeError, "found int, expected a bp.Model"),
}


@pytest.mark.parametrize("what", MODELS)
def test_a_model_without_a_counterpart_is_refused(what):
    made, error, message = MODELS[what]
    with pytest.raises(error, match=f"to_torch: .*{message}"):
        bp.to_torch(made())


def test_an_estimator_says_where_its_model_is():
    pytest.importorskip("sklearn")
    from pybackprop.sklearn import MLPRegressor

    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)).astype("f")
    fitted = MLPRegressor((4,), max_iter=300, tol=1e-2, random_state=0).fit(x, x[:, 0])
    close(outputs(bp.to_torch(fitted.model_), x)[:, 0], fitted.predict(x))
    with pytest.raises(TypeError, match=r"found MLPRegressor, expected a bp.Model: give its \.model_"):
        bp.to_torch(fitted)


# ---- what is refused here ----


def hooked():
    layer = nn.Linear(3, 2)
    layer.register_forward_hook(lambda *_: None)
    return layer


def frozen_mean():
    return nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))


LAYERS = {
    "convolution": (
        lambda: nn.Conv2d(1, 2, 3),
        TypeError,
        r"is Conv2d\(.*no counterpart here: bp.define_op.*nn.Linear",
    ),
    "dropout": (lambda: nn.Dropout(0.5).eval(), TypeError, r"is Dropout\(.*leave it out"),
    "flatten": (nn.Flatten, TypeError, r"is Flatten\(.*x.reshape\(len\(x\), -1\)"),
    "identity": (nn.Identity, TypeError, r"is Identity\(\).*leave it out"),
    "batch norm": (lambda: nn.BatchNorm1d(3), TypeError, "is BatchNorm1d.*merge"),
    "lazy": (lambda: nn.LazyLinear(3), TypeError, r"is LazyLinear\(.*give it a batch"),
    "own": (lambda: type("Mine", (nn.Linear,), {})(3, 3), TypeError, r"is Mine\("),
    "a loss": (nn.MSELoss, TypeError, "is MSELoss"),
    "hooks": (hooked, TypeError, "has hooks"),
    "parametrized": (frozen_mean, TypeError, "is ParametrizedLinear"),
    "bfloat16": (
        lambda: nn.Linear(3, 3, dtype=torch.bfloat16),
        bp.DTypeError,
        r"weight \(3, 3\) is torch.bfloat16.*float\(\)",
    ),
    "half": (lambda: nn.Linear(3, 3).half(), bp.DTypeError, r"weight \(3, 3\) is torch.float16, expected float32 or"),
    "device": (lambda: nn.Linear(3, 3, device="meta"), ValueError, r"weight \(3, 3\) is on the device meta"),
    "slope": (lambda: nn.LeakyReLU(-0.1), ValueError, r"LeakyReLU\(.*negative_slope=-0.1"),
    "axis": (lambda: nn.Softmax(dim=0), ValueError, r"Softmax\(dim=0\): found dim=0, expected 1"),
    "no axis": (nn.Softmax, ValueError, r"Softmax\(.*found dim=None, expected 1"),
    "width": (lambda: nn.Linear(5, 3), bp.ShapeError, r"takes 5 inputs, but sequential\[0\].*gives 3 outputs"),
    "other dtype": (lambda: nn.Linear(3, 3).double(), bp.DTypeError, r"float64; convert all"),
}


@pytest.mark.parametrize("what", LAYERS)
def test_the_first_layer_without_a_counterpart_is_named(what):
    made, error, message = LAYERS[what]
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), made()), nn.Conv1d(1, 1, 1))
    if error is not TypeError:
        del network[2]
    with pytest.raises(error, match=rf"(?s)^from_torch: .*sequential\[1\]\[1\].*{message}"):
        bp.from_torch(network)


LOSSES_THERE = {
    "sum": (lambda: nn.MSELoss(reduction="sum"), ValueError, "found reduction='sum', expected 'mean'"),
    "smoothing": (lambda: nn.CrossEntropyLoss(label_smoothing=0.1), ValueError, r"label_smoothing=0.1, expected 0.0"),
    "weights": (lambda: nn.CrossEntropyLoss(torch.ones(3)), ValueError, "found weight="),
    "ignored": (lambda: nn.CrossEntropyLoss(ignore_index=0), ValueError, "ignore_index=0"),
    "other": (nn.L1Loss, TypeError, "found L1Loss, expected .*MSELoss"),
    "layer": (nn.ReLU, TypeError, "found ReLU, expected .*CrossEntropyLoss"),
    "function": (lambda: nn.functional.mse_loss, TypeError, "found function, expected"),
}


@pytest.mark.parametrize("what", LOSSES_THERE)
def test_a_loss_without_a_counterpart_is_refused(what):
    made, error, message = LOSSES_THERE[what]
    with pytest.raises(error, match=f"from_torch: loss.*{message}"):
        bp.from_torch(nn.Sequential(nn.Linear(3, 2)), made())


def test_what_is_no_nn_sequential_is_refused():
    class Mine(nn.Sequential):
        def forward(self, x):
            return x

    for given in (nn.Linear(2, 3), Mine(nn.Linear(2, 3)), 3, bp.mlp([2, 3])):
        with pytest.raises(TypeError, match=re.escape(f"found {type(given).__name__}, expected an nn.Sequential")):
            bp.from_torch(given)


def test_a_loss_of_ones_own_has_no_counterpart_there():
    class Mine(bp.Mse):
        def forward(self, inp, targ):
            return bp.mse(inp, targ) * 2

    with pytest.raises(TypeError, match="to_torch: found the loss"):
        bp.to_torch(Mine())
