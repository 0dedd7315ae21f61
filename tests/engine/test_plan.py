"""A compiled plan gives the bits of the model, its backward and SGD."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.allocations import allocated_by
from helpers.compare import assert_same_bits
from helpers.plans import STRATEGIES, Pair, values
from helpers.twins import assert_same_gradients, twins

CHAINS = {1: (37, 3), 2: (70, 33, 1), 3: (21, 50, 18, 10), 4: (9, 17, 64, 5, 2)}
BATCHES = [1, 2, 7, 31, 64, 65, 127, 511, 512, 513, 1023, 1024, 1025]


@pytest.fixture(params=STRATEGIES)
def strategy(request):
    return request.param


@pytest.fixture
def pair(rng, strategy):
    return Pair(rng, strategy=strategy)


# ---- the same bits ----


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kernel", bp.kernels())
@pytest.mark.parametrize("depth", CHAINS)
def test_steps_give_the_bits_of_the_model(rng, strategy, dtype, depth, kernel, threads):
    bp.use_kernel(kernel)
    bp.set_threads(threads)
    for relu_last in (False, True):
        pair = Pair(rng, CHAINS[depth], dtype, 1025, 0.001, strategy=strategy, relu_last=relu_last)
        for n in BATCHES:
            pair.step(*pair.data(n))
        assert all(np.isfinite(array).all() for array in values(pair.model))


@pytest.mark.parametrize("widths", [(0, 3), (4, 0, 3), (4, 0, 50, 2), (0, 50, 3), (4, 5, 0, 2)])
def test_a_sum_of_nothing_is_zero(rng, strategy, dtype, widths, each_setting):
    pair = Pair(rng, widths, dtype, 600, strategy=strategy)
    for model in (pair.model, pair.twin):
        for b in model.parameters()[1::2]:
            b.data[...] = 0.5
    pair.step(*pair.data(5))
    pair.step(*pair.data(600))


@pytest.mark.parametrize("depth", CHAINS)
@pytest.mark.parametrize("kind", ["odd", "small"])
def test_odd_numbers(rng, strategy, dtype, kind, depth, each_setting):
    for n in (1, 64, 513):
        pair = Pair(rng, CHAINS[depth], dtype, n, 0.1, strategy=strategy)
        for _ in range(2):
            pair.step(*pair.data(n, kind))


def test_odd_parameters(rng, strategy, dtype):
    for value in (np.nan, np.inf, -0.0):
        pair = Pair(rng, (6, 5, 3), dtype, strategy=strategy)
        for model in (pair.model, pair.twin):
            model.parameters()[0][2, 1] = value
            model.parameters()[3][1] = value
        pair.step(*pair.data())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_no_bias_and_momentum(rng, strategy, momentum):
    pair = Pair(rng, momentum=momentum, strategy=strategy, bias=False)
    for _ in range(3):
        pair.step(*pair.data())


def test_rates_may_change_between_steps(pair):
    for lr, momentum in [(0.1, 0.9), (0.05, 0.9), (0.05, 0), (0.05, 0.5), (0, 0)]:
        for sgd in (pair.sgd, pair.other):
            sgd.lr, sgd.momentum = lr, momentum
        pair.step(*pair.data())


def test_it_goes_on_from_the_momentum_that_is_there(rng, strategy):
    model, twin = twins(rng)
    sgd, other = bp.SGD(model, lr=0.1, momentum=0.9), bp.SGD(twin, lr=0.1, momentum=0.9)
    x, targ = rng.standard_normal((6, 4)).astype("f"), rng.standard_normal((6, 2)).astype("f")
    for one, its in ((model, sgd), (twin, other)):
        one(x, targ)
        one.backward()
        its.step()
    plan = bp.compile(model, batch=6, optimizer=sgd, strategy=strategy)
    for k in range(4):
        twin(x, targ)
        twin.backward()
        other.step()
        if k % 2:
            model(x, targ)
            model.backward()
            sgd.step()
        else:
            plan.step(x, targ)
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            assert_same_bits(p.data, q.data)


def test_some_parameters_get_no_gradient_and_others_no_update(rng, strategy):
    for frozen in ([0], [1], [0, 1], [2, 3], [3], [0, 1, 2, 3, 4]):
        model, twin = twins(rng, (4, 6, 5, 2))
        for one in (model, twin):
            for k, p in enumerate(one.parameters()):
                p.requires_g = k not in frozen
        sgd, other = (bp.SGD(one.parameters()[-1:], lr=0.1) for one in (model, twin))
        plan = bp.compile(model, batch=8, optimizer=sgd, strategy=strategy)
        x, targ = rng.standard_normal((8, 4)).astype("f"), rng.standard_normal((8, 2)).astype("f")
        for _ in range(2):
            assert plan.step(x, targ) == float(twin(x, targ))
            twin.backward()
            other.step()
            for layer, same in zip(model.layers[::2], twin.layers[::2], strict=True):
                for p, q in ((layer.w, same.w), (layer.b, same.b)):
                    assert_same_bits(p.data, q.data)
                    assert (p.g is None) == (q.g is None)
        assert_same_gradients(model, twin)


def test_gradients_overwrite_or_accumulate(pair):
    x, targ = pair.data()
    for accumulate in (True, False, True, True):
        loss = pair.plan.grads(x, targ, accumulate=accumulate)
        assert loss == float(pair.twin(x, targ))
        pair.twin.backward(accumulate=accumulate)
        assert_same_gradients(pair.model, pair.twin)
    pair.model.parameters()[1].g = pair.twin.parameters()[1].g = None
    pair.plan.grads(x, targ, accumulate=True)
    pair.twin(x, targ)
    pair.twin.backward(accumulate=True)
    assert_same_gradients(pair.model, pair.twin)


def test_the_datas_gradient_where_it_is_wanted(pair):
    x, targ = pair.data()
    tensors = [bp.param(x), bp.param(x)]
    for accumulate in (True, False, True):
        pair.plan.grads(tensors[0], targ, accumulate=accumulate)
        pair.twin(tensors[1], targ)
        pair.twin.backward(accumulate=accumulate)
        assert_same_bits(tensors[0].g.data, tensors[1].g.data)
    pair.plan.step(tensors[0], targ)
    pair.ordinary_step(tensors[1], targ)
    pair.assert_same()
    assert_same_bits(tensors[0].g.data, tensors[1].g.data)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 100])
def test_predict_takes_any_number_of_rows(pair, n):
    x, _ = pair.data(n)
    found = pair.plan.predict(x)
    assert_same_bits(found.data, pair.twin.predict(x).data)
    assert_same_bits(pair.plan.predict(bp.tensor(x)).data, found.data)


# ---- data ----


def test_data_may_be_what_a_model_takes(rng, dtype, strategy):
    pair = Pair(rng, (4, 5, 1), dtype, strategy=strategy)
    x, targ = pair.data()
    whole = np.arange(24).reshape(6, 4)
    for given in (x, bp.tensor(x), np.asfortranarray(x), np.repeat(x, 2, 0)[::2], whole, whole.tolist(), x > 0):
        for wanted in (targ, bp.tensor(targ), targ[:, 0], targ.astype(">" + targ.dtype.str[1:]), np.arange(6)):
            pair.step(given, wanted)


def test_data_that_changed_in_place_is_seen(pair):
    x, targ = pair.data()
    given = bp.tensor(x)
    for k in range(4):
        x[0, 0], targ[1, 1] = k, -k
        given[0, 0] = k
        pair.step(x if k % 2 else given, targ)
    x.shape = (4, 6)
    with pytest.raises(bp.ShapeError, match="expected 4 features"):
        pair.plan.step(x, targ)
    given.requires_g = True
    pair.step(given, targ)
    assert given.g is not None


# (what is given instead of x (6,4) and targ (6,2), the exception, its words)
BAD = [
    (lambda x, t: (x[:, :3], t), bp.ShapeError, r"plan.step: found x \(6, 3\), expected 4 features"),
    (lambda x, t: (x[0], t[0]), bp.ShapeError, r"one row is x\[None\]"),
    (lambda x, t: (x[None], t), bp.ShapeError, r"found x of shape \(1, 6, 4\)"),
    (lambda x, t: (x, t[:5]), bp.ShapeError, r"found out \(6, 2\) and targ \(5, 2\)"),
    (lambda x, t: (x, t[:, 0]), bp.ShapeError, "one target per row, 2 outputs"),
    (lambda x, t: (x[:0], t[:0]), bp.ShapeError, "mean of no elements"),
    (lambda x, t: (np.repeat(x, 3, 0), np.repeat(t, 3, 0)), bp.ShapeError, "found 18 rows, expected at most 16"),
    (lambda x, t: (bp.tensor(x).double(), t), bp.DTypeError, r"x \(6, 4\) is float64, the parameters are float32"),
    (
        lambda x, t: (x.astype("d") * 1e300, t),
        bp.DTypeError,
        r"x: float64 \(6, 4\) holds numbers .* too large",
    ),
    (lambda x, t: (x, bp.tensor(t).double()), bp.DTypeError, r"targ \(6, 2\) is float64"),
    (lambda x, t: (x.astype("D"), t), bp.DTypeError, "plan.step: x: found an array of complex128"),
    (lambda x, t: (x, [[1, 2], [3]]), bp.ShapeError, "rows differ in length"),
    (lambda x, t: (x, bp.param(t)), bp.GradientError, "targ has requires_g"),
    (lambda x, t: (bp.relu(bp.param(x)), t), bp.GradientError, "x is a result of 'relu'"),
    (lambda x, t: (None, None), bp.DTypeError, "plan.step: x"),
]


@pytest.mark.parametrize(("make", "error", "words"), BAD)
def test_data_that_does_not_fit_is_refused_and_nothing_is_written(pair, make, error, words):
    x, targ = pair.data()
    pair.step(x, targ)
    before, gradients = values(pair.model), [p.g.data.copy() for p in pair.model.parameters()]
    with pytest.raises(error, match=words):
        pair.plan.step(*make(x, targ))
    for p, value, g in zip(pair.model.parameters(), before, gradients, strict=True):
        assert_same_bits(p.data, value)
        assert_same_bits(p.g.data, g)
    pair.step(x, targ)


# ---- memory ----


def test_tensors_stay_and_are_current(pair):
    parameters = pair.model.parameters()
    assert all(p.g is None for p in parameters)
    starts = {p.data.__array_interface__["data"][0] % 64 for p in parameters}
    pair.step(*pair.data())
    assert parameters == pair.model.parameters()
    starts |= {p.g.data.__array_interface__["data"][0] % 64 for p in parameters}
    starts |= {pair.sgd.velocity(p).data.__array_interface__["data"][0] % 64 for p in parameters}
    assert starts == {0}
    held = [p.g for p in parameters]
    pair.step(*pair.data())
    assert all(p.g is g for p, g in zip(parameters, held, strict=True))


def test_a_loss_from_before_compile_is_stale_and_later_ones_are_not(rng, strategy):
    model, twin = twins(rng)
    x, targ = rng.standard_normal((6, 4)).astype("f"), rng.standard_normal((6, 2)).astype("f")
    model(x, targ)
    model.backward()
    loss = model(x, targ)
    plan = bp.compile(model, batch=6, optimizer=bp.SGD(lr=0.1), strategy=strategy)
    with pytest.raises(bp.GradientError, match="overwritten"):
        loss.backward()
    for one in (model, twin):
        one(x, targ)
        one.backward()
    assert_same_gradients(model, twin)
    loss = model(x, targ)
    plan.step(x, targ)
    with pytest.raises(bp.GradientError, match="overwritten"):
        loss.backward()


@pytest.mark.parametrize(("widths", "n"), [((3, 5, 2), 4), ((70, 33, 10), 600)])
def test_steps_allocate_nothing(rng, strategy, widths, n):
    pair = Pair(rng, widths, batch=n, strategy=strategy)
    x, targ = pair.data(n)
    tensors = bp.tensor(x), bp.tensor(targ)
    for step in (lambda: pair.plan.step(x, targ), lambda: pair.plan.grads(*tensors)):
        step()
        blocks, most = allocated_by(step, 200)
        assert blocks < 10
        assert most < 1000  # bytes: the loss as a Python number, and what a call is made of


def test_memory_names_what_is_held(pair):
    found = pair.plan.memory()
    line = 64
    assert found["parameters"] == found["gradients"] == found["momentum"] == 4 * 64 + line
    assert found["total"] == sum(found.totals.values()) - found["total"]
    pair.plan.fit(*pair.data(20), epochs=1)
    assert pair.plan.memory()["workspace"] == found["workspace"] + 16 * 4 * 4 + 16 * 3 * 4
    assert bp.compile(bp.mlp([4, 5, 2]), batch=16).memory()["momentum"] == 0


def test_describe_says_what_and_why(pair, strategy):
    said = pair.plan.describe()
    for words in (
        f"strategy: {strategy} (as requested)",
        "16 rows of 4 → 5 → 2",
        "operations",
        "bytes",
        "bound: latency",
    ):
        assert words in said
    assert "bound: compute" in bp.compile(bp.mlp([784, 50, 10]), batch=5000).describe()
    assert "bound: memory" in bp.compile(bp.mlp([784, 1]), batch=5000).describe()
    assert repr(pair.plan).startswith("Plan(Model([Lin(4, 5)")


def test_data_that_is_a_parameter_is_refused(rng, strategy):
    w, b, targ = bp.param(rng.normal(size=(3, 3))), bp.param(np.zeros(3)), rng.normal(size=(3, 3))
    plan = bp.compile(bp.Model([bp.Lin(w, b)], loss=bp.Mse()), batch=3, strategy=strategy)
    with pytest.raises(bp.GradientError, match="x is a parameter"):
        plan.grads(w, targ)
    assert plan.grads(w.data.copy(), targ) > 0
