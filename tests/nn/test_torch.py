"""PyTorch as the oracle: the same start, the same 50 steps, loss and parameters compared at each."""

import numpy as np
import pytest

import pybackprop as bp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers
RTOL = {np.float32: 2e-4, np.float64: 1e-11}


@pytest.fixture(scope="module")
def digits():
    return bp.data.digits(np.float64)


def twin(model):
    """The same network in PyTorch, whose weights are the transposes of ours."""
    layers = []
    for layer in model.layers:
        if isinstance(layer, bp.Lin):
            made = torch.nn.Linear(*layer.w.shape, dtype=torch.from_numpy(layer.w.data).dtype)
            with torch.no_grad():
                made.weight.copy_(torch.from_numpy(layer.w.data.T))
                made.bias.copy_(torch.from_numpy(layer.b.data))
            layers.append(made)
        else:
            layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


def compare(model, network, what, rtol):
    for parameter, theirs in zip(model.parameters(), network.parameters(), strict=True):
        found = (parameter if what == "data" else parameter.g).data
        right = (theirs if what == "data" else theirs.grad).detach().numpy().T
        np.testing.assert_allclose(found, right, rtol=rtol, atol=rtol * abs(right).max(), err_msg=parameter.name)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("sizes", [[64, 10], [64, 50, 10], [64, 40, 30, 10]])
def test_fifty_steps_stay_together(digits, sizes, momentum, dtype):
    x, targ = digits.x_train.astype(dtype), np.eye(10, dtype=dtype)[digits.y_train]
    model = bp.mlp(sizes, seed=1, dtype=dtype)
    network = twin(model)
    ours = bp.SGD(model, lr=0.1, momentum=momentum)
    theirs = torch.optim.SGD(network.parameters(), lr=0.1, momentum=momentum)
    for step in range(50):
        rows = slice(step * 28, step * 28 + 28)
        loss = model(x[rows], targ[rows])
        model.backward()
        right = torch.nn.functional.mse_loss(network(torch.from_numpy(x[rows])), torch.from_numpy(targ[rows]))
        theirs.zero_grad()
        right.backward()
        np.testing.assert_allclose(float(loss), right.item(), rtol=RTOL[dtype])
        compare(model, network, "g", 10 * RTOL[dtype])
        ours.step()
        theirs.step()
        compare(model, network, "data", RTOL[dtype])


def test_a_flipped_sign_would_be_seen(digits):
    model = bp.mlp([64, 10], dtype=np.float64)
    network = twin(model)
    x, targ = digits.x_train[:20], np.eye(10)[digits.y_train[:20]]
    model(x, targ)
    model.backward()
    torch.nn.functional.mse_loss(network(torch.from_numpy(x)), torch.from_numpy(targ)).backward()
    compare(model, network, "g", 1e-10)
    model.layers[0].w.g = -model.layers[0].w.g
    with pytest.raises(AssertionError, match="w1"):
        compare(model, network, "g", 1e-10)


def test_memory_is_shared_with_torch_both_ways(dtype):
    theirs = torch.from_numpy(np.arange(6, dtype=dtype).reshape(2, 3))
    ours = bp.as_tensor(theirs)
    theirs[0, 0] = 9
    assert float(ours[0, 0]) == 9
    back = torch.from_dlpack(ours)
    back[1, 1] = 7
    assert float(ours[1, 1]) == 7
