"""Memory that was moved or reshaped behind the library's back is noticed before C reads it, or cannot be moved."""

import gc
import weakref

import numpy as np
import pytest

import pybackprop as bp

F = np.float32
HELD = "cannot resize|does not own its data"  # numpy's words


def shrink(array):
    array.resize((1, 1), refcheck=False)


def samples(n=4, m=3, h=2):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, m)).astype(F), rng.standard_normal((n, h)).astype(F)


def compiled(n=4):
    model = bp.mlp([3, 5, 2], seed=0)
    return bp.compile(model, batch=n, optimizer=bp.SGD(lr=1e-4, momentum=0.9))


def trained():
    model = bp.mlp([3, 5, 2], seed=0)
    return model, bp.SGD(model, lr=1e-4, momentum=0.9)


def test_numpy_does_not_resize_what_is_referred_to_weakly():
    array = np.zeros((4, 3), F)
    reference = weakref.ref(array)
    with pytest.raises(ValueError, match="cannot resize"):
        shrink(array)
    del reference
    shrink(array)
    assert array.shape == (1, 1)


# ---- what a plan or a model was given ----


@pytest.mark.parametrize("which", ["x", "targ"])
@pytest.mark.parametrize("view", [False, True], ids=["array", "view"])
def test_data_cannot_be_resized_while_fit_runs(which, view):
    data = dict(zip(("x", "targ"), samples(4000), strict=True))
    given = {name: array[:] if view else array for name, array in data.items()}
    calls = []

    def callback(moment):
        calls.append(moment)
        shrink(data[which])

    plan = compiled()
    with pytest.raises(ValueError, match=HELD):
        plan.fit(**given, epochs=3, callback=callback)
    assert len(calls) == 1
    assert data[which].shape[0] == 4000
    del plan, given
    gc.collect()
    shrink(data[which])  # and afterwards nothing holds it


@pytest.mark.parametrize("which", ["x", "targ"])
def test_data_that_lies_otherwise_than_when_it_was_checked_stops_fit(which):
    data = dict(zip(("x", "targ"), samples(4000), strict=True))

    def callback(moment):
        data[which].shape = data[which].shape[::-1]

    plan = compiled()
    with pytest.raises(bp.ShapeError, match=rf"fit: {which} was changed .* \(\(4000, .\) then, \(., 4000\) now\)"):
        plan.fit(**data, epochs=3, callback=callback)


@pytest.mark.parametrize("kind", [np.asarray, bp.as_tensor, bp.tensor], ids=["array", "as_tensor", "tensor"])
@pytest.mark.parametrize("which", [0, 1])
def test_data_of_the_last_step_stays_where_it_is(kind, which):
    plan = compiled()
    arrays = samples()
    given = [kind(array) for array in arrays]
    held = given[which].data if isinstance(given[which], bp.Tensor) else arrays[which]
    plan.step(*given)
    with pytest.raises(ValueError, match=HELD):
        shrink(held)
    expected = compiled()
    losses = [expected.step(*samples()) for _ in range(2)]
    assert plan.step(*given) == losses[1]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("view", [False, True], ids=["array", "slice"])
def test_data_of_a_pending_backward_stays_where_it_is(which, view):
    arrays = samples(8)
    given = [array[4:] if view else array for array in arrays]
    model, _ = trained()
    model(*given)
    model.backward()
    expected = [p.g.data.copy() for p in model.parameters()]
    for step in range(3):  # with the data of the pass before, and with other views of the same array
        given = [array[4:] if view else array for array in arrays] if step else given
        model(*given)
        with pytest.raises(ValueError, match=HELD):
            shrink(arrays[which])
        model.backward()
        assert all(np.array_equal(p.g, g) for p, g in zip(model.parameters(), expected, strict=True))


@pytest.mark.parametrize("which", [0, 1])
def test_a_pending_backward_does_not_take_the_data_in_another_shape(which):
    arrays = samples(6, 3, 2)
    model, _ = trained()
    model(*arrays)
    arrays[which].shape = arrays[which].shape[::-1]
    with pytest.raises(bp.ShapeError, match=r"had .* in the forward pass\. Run forward again"):
        model.backward(keep=True)


def test_an_operand_of_another_shape_than_in_forward_is_refused():
    x = bp.as_tensor(samples(6, 4)[0])
    w = bp.param(np.ones((4, 2), F))
    loss = bp.mse(x @ w, np.zeros((6, 2), F))
    x.data.shape = (24, 1)
    with pytest.raises(bp.ShapeError, match=r"lin_grad: x \(24, 1\) @ w \(4, 2\) does not give out.g \(6, 2\)"):
        loss.backward()


# ---- a tensor's own memory ----


def after_lin(t):
    bp.lin(np.ones((2, len(t)), F), t)
    return t.data


def after_matmul(t):
    out = bp.tensor(np.zeros((2, t.shape[1]), F))
    bp.matmul(bp.tensor(np.ones((2, len(t)), F)), t, out=out)
    return t.data


def out_of_matmul(t):
    bp.matmul(bp.tensor(np.ones((t.shape[0], 7), F)), bp.tensor(np.ones((7, t.shape[1]), F)), out=t)
    return t.data


@pytest.mark.parametrize("use", [after_lin, after_matmul, out_of_matmul])
@pytest.mark.parametrize("shape", [(4, 3), (200, 30)], ids=["small", "large"])
def test_memory_that_c_was_given_cannot_be_resized(use, shape):
    t = bp.tensor(np.ones(shape, F))
    array = use(t)
    while array is not None:
        if isinstance(array, np.ndarray):
            with pytest.raises(ValueError, match=HELD):
                array.resize((1,) * array.ndim, refcheck=False)
        array = getattr(array, "base", None)
    assert t.shape == shape


def test_memory_that_a_view_shows_cannot_be_resized():
    t = bp.tensor(np.ones((4, 6), F))
    part = t[:, ::2]
    with pytest.raises(ValueError, match=HELD):
        shrink(t.data)
    assert part.shape == (4, 3)


@pytest.mark.parametrize("share", [bp.as_tensor, lambda a: bp.as_tensor(memoryview(a)), lambda a: bp.relu_(a)])
def test_an_array_whose_memory_a_tensor_shares_cannot_be_resized(share):
    array = np.ones((4, 3), F)
    t = share(array)
    with pytest.raises(ValueError, match=HELD):
        shrink(array)
    assert np.shares_memory(t.data, array)


@pytest.mark.parametrize("what", ["w", "g", "velocity"])
@pytest.mark.parametrize("owner", [False, True], ids=["array", "its base"])
def test_what_an_optimizer_reads_and_writes_cannot_be_resized(what, owner):
    model, sgd = trained()
    x, t = samples()
    for _ in range(2):
        model(x, t)
        model.backward()
        sgd.step()
    w = model.layers[0].w
    array = {"w": w, "g": w.g, "velocity": sgd.velocity(w)}[what].data
    array = array.base if owner and array.base is not None else array
    with pytest.raises(ValueError, match=HELD):
        array.resize((1,) * array.ndim, refcheck=False)


@pytest.mark.parametrize("what", ["w", "g", "velocity"])
def test_a_plans_memory_cannot_be_resized(what):
    plan = compiled()
    plan.step(*samples())
    w = plan.model.layers[0].w
    array = {"w": w, "g": w.g, "velocity": plan.optimizer.velocity(w)}[what].data
    while isinstance(array, np.ndarray):
        with pytest.raises(ValueError, match=HELD):
            array.resize((1,) * array.ndim, refcheck=False)
        array = array.base


def test_a_layers_out_after_a_pass_in_one_call_cannot_lose_its_memory():
    model, _ = trained()
    model(*samples())
    out = model.layers[0].out.data
    with pytest.raises(ValueError, match=HELD):
        out.base.resize((1,) * out.base.ndim, refcheck=False)


def test_a_tensor_is_made_once():
    w = bp.param(np.ones((4, 3), F))
    with pytest.raises(RuntimeError, match="was called before"):
        w.__init__(np.ones(1, F))
    assert w.shape == (4, 3)
