# ruff: noqa: E501 (tables)
"""judge: + - * / ** .sum() .mean() .T on the tape, and the lesson's loss written out; numbers from float64 numpy."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import pybackprop as bp

RNG = np.random.default_rng(17)
X, Y, ROW, COLUMN, TARG = (RNG.uniform(0.3, 1.5, shape) for shape in ((4, 3), (4, 3), 3, (4, 1), (4, 3)))

# what is done with x and y; the shape of y; right formulas for x and for y; wrong ones for both; dz is d loss / d z
CASES = {
    "x + y": (lambda x, y: x + y, Y, "dz | z.g | out.g", "dz | y * 0 + dz", "-dz | x * dz | dz.T | 2 * dz"),
    "x - y": (lambda x, y: x - y, Y, "dz | out.g", "-dz | 0 - out.g", "x * dz | dz / 2 | dz.T"),
    "x * y": (lambda x, y: x * y, Y, "y * dz | out.g * y", "x * dz | dz * x", "dz | x @ dz | x.T @ dz | z * dz"),
    "x / y": (lambda x, y: x / y, Y, "dz / y", "-dz * x / y**2 | -dz * z / y", "dz * y | -dz / y**2 | x * dz"),
    "x * row": (lambda x, y: x * y, ROW, "y * dz", "(x * dz).sum(0)", "x * dz | (x * dz).sum(1) | dz.sum(0)"),
    "x - row": (lambda x, y: x - y, ROW, "dz", "-dz.sum(0)", "-dz | -dz.mean(0) | x * dz"),
    "x / row": (lambda x, y: x / y, ROW, "dz / y", "(-dz * x / y**2).sum(0)", "-dz * x / y**2 | dz * y"),
    "x * column": (
        lambda x, y: x * y, COLUMN, "y * dz", "(x * dz).sum(1, keepdims=True) | (x * dz).sum(1)[:,None]",
        "(x * dz).sum(1) | (x * dz).sum(0) | x * dz",
    ),
    "x + row": (lambda x, y: x + y, ROW, "dz", "dz.sum(0)", "dz.sum(1) | dz.mean(0) | x * dz"),
}  # fmt: skip
ALONE = {
    "x**2": (lambda x: x**2, lambda x: 2 * x, "2 * x * da | 2*x*a.g", "x * da | 2 * da | 2 * x | x**2 * da | 2 * x @ da"),
    "x**3": (lambda x: x**3, lambda x: 3 * x**2, "3 * x**2 * da", "3 * x * da | x**2 * da | 2 * x * da"),
    "x**-1": (lambda x: x**-1, lambda x: -1 / x**2, "-da / x**2 | -a**2 * da", "da / x | da / x**2"),
    "sqrt": (lambda x: x.sqrt(), lambda x: 0.5 / np.sqrt(x), "da / (2 * a)", "da / 2 | da / a | a * da"),
    "-x": (lambda x: -x, lambda x: -np.ones_like(x), "-da", "da | x * da"),
    "2 - x": (lambda x: 2 - x, lambda x: -np.ones_like(x), "-da", "da | 2 * da | -x * da"),
    "3 / x": (lambda x: 3 / x, lambda x: -3 / x**2, "-3 * da / x**2 | -a * da / x", "3 * da / x | da / x**2"),
    "clamp_min": (lambda x: x.clamp_min(1.0), lambda x: (x > 1) * 1.0, "(x > 1) * da", "da | (x > 0) * da | a * da"),
}  # fmt: skip
TOTALS = {
    "sum": (lambda x: x.sum(), lambda g: g + np.zeros((4, 3)), "dz + 0 * x | np.ones_like(x) * dz", "dz | x * dz"),
    "sum(0)": (lambda x: x.sum(0), lambda g: g + np.zeros((4, 3)), "dz + 0 * x | dz.expand_as(x)", "dz | dz + 0*x + 1"),
    "sum(1)": (lambda x: x.sum(1), lambda g: g[:, None] + np.zeros((4, 3)), "dz[:,None] + 0 * x", "dz | x * dz[:,None]"),
    "sum(1, keepdims)": (
        lambda x: x.sum(1, keepdims=True), lambda g: g + np.zeros((4, 3)), "dz + 0 * x", "dz | dz / 3 + 0 * x",
    ),
    "mean": (lambda x: x.mean(), lambda g: g / 12 + np.zeros((4, 3)), "dz / x.size + 0*x", "dz + 0*x | dz / n + 0*x"),
    "mean(0)": (lambda x: x.mean(0), lambda g: g / 4 + np.zeros((4, 3)), "dz / n + 0*x", "dz + 0*x | dz / x.size + 0*x"),
    "mean(1)": (
        lambda x: x.mean(1), lambda g: g[:, None] / 3 + np.zeros((4, 3)), "dz[:,None] / h + 0*x", "dz[:,None] + 0*x",
    ),
    "T": (lambda x: x.T, lambda g: g.T, "dz.T | out.g.t()", "dz | x * dz.T | 2 * dz.T"),
    "reshape": (lambda x: x.reshape(3, 4), lambda g: g.reshape(4, 3), "dz.reshape(4, 3) | dz.reshape(x.shape)", "dz | dz.T"),
    "[:2]": (lambda x: x[:2], None, "", "dz | 0 * x"),
}  # fmt: skip


def listed(text):
    return [part.strip() for part in text.split("|") if part.strip()]


def judged(make, *values):
    """The tensors of mse(make(...)**2, ...), and d loss / d z by numpy."""
    tensors = [bp.param(value) for value in values]
    z = make(*tensors)
    target = np.linspace(-1, 1, z.size).reshape(z.shape)
    loss = ((z - target) ** 2).sum() if z.ndim == 0 else bp.mse(z, target)
    loss.backward(keep=True)
    dz = 2 * (np.asarray(z) - target) / (z.size if z.ndim else 1)
    return [*tensors, z, loss, dz]


def check(tensor, gradient, rights, wrongs, **names):
    """The gradient by numpy is right, so are these formulas, on other networks too; and those are not."""
    assert bp.judge(tensor, gradient, **names)
    assert not bp.judge(tensor, gradient * 1.01 + 0.001, **names)
    for right in listed(rights):
        verdict = bp.judge(tensor, right, **names)
        assert verdict, f"{right}: {verdict}"
        assert "4 other networks" in verdict.summary, f"{right}: {verdict}"
    for wrong in listed(wrongs):
        assert not bp.judge(tensor, wrong, **names), wrong
    solution = bp.judge(tensor, "0 * 1", reveal=True, **names).solution
    text = solution.split(" = ", 1)[1].split(": ")[0].rstrip(".")
    assert bp.judge(tensor, text, **names), solution


@pytest.mark.parametrize("case", CASES)
def test_both_operands(case):
    make, value, for_x, for_y, wrong = CASES[case]
    x, y, _z, _loss, dz = judged(make, X, value)
    slopes = {"+": (1.0, 1.0), "-": (1.0, -1.0), "*": (value, X), "/": (1 / value, -X / value**2)}[case[2]]
    gradients = [np.asarray(slope * dz) for slope in slopes]
    keep = {(3,): (0,), (4, 1): (1,)}.get(value.shape, ())
    of_y = gradients[1].sum(axis=keep, keepdims=value.shape == (4, 1)) if keep else gradients[1]
    check(x, gradients[0], for_x, "", y=y)
    check(y, of_y, for_y, wrong, x=x)


@pytest.mark.parametrize("case", ALONE)
def test_one_operand(case):
    make, slope, right, wrong = ALONE[case]
    x, _a, _loss, da = judged(make, X)
    check(x, slope(X) * da, right, wrong)


@pytest.mark.parametrize("case", TOTALS)
def test_sums_means_and_rearranged_numbers(case):
    make, gradient, right, wrong = TOTALS[case]
    x, _z, _loss, dz = judged(make, X)
    if gradient is None:
        whole = np.zeros((4, 3))
        whole[:2] = dz
        assert bp.judge(x, whole)
        assert bp.judge(x, "dz", reveal=True).solution.startswith("x.g comes from the operation's own")
        assert not any(bp.judge(x, text) for text in listed(wrong))
    else:
        check(x, gradient(dz), right, wrong)


@pytest.mark.parametrize(("make", "right"), [(lambda x: x * 3, "3 * dz"), (lambda x: x / 4, "dz / 4"),
                                             (lambda x: x - 1, "dz"), (lambda x: np.float32(3) * x, "number * dz")])  # fmt: skip
def test_a_number_beside_a_tensor(make, right):
    x, _z, _loss, dz = judged(make, X)
    check(x, {"3 * dz": 3, "number * dz": 3, "dz / 4": 0.25}.get(right, 1) * dz, right, "dz * 7")


def moved(make, values, k, by=1e-6):
    """The slope of every element of the result along all elements of one operand at once."""
    ends = []
    for sign in (1, -1):
        shifted = [value + sign * by * (j == k) for j, value in enumerate(values)]
        ends.append(np.asarray(make(*(bp.tensor(value) for value in shifted))))
    return (ends[0] - ends[1]) / (2 * by)


@pytest.mark.parametrize("case", [*CASES, *ALONE])
def test_the_reason_given_with_a_solution_is_true(case):
    """z moves by y with x: each element of the result by this number per unit change of its own element of x."""
    make, value = (CASES[case][0], CASES[case][1]) if case in CASES else (ALONE[case][0], None)
    values = [X] if value is None else [X, value]
    *tensors, z, loss, _dz = judged(make, *values)
    names = {"x": tensors[0], "y": tensors[-1], "a": z}
    for k, t in enumerate(tensors):
        verdict = bp.judge(
            t, "0 * 1", reveal=True, **{"x": tensors[0], **({"y": tensors[1]} if value is not None else {})}
        )
        why = verdict.solution.partition(": ")[2].rstrip(".")
        found = re.search(r"moves by (.+?) (?:with|per unit change of its own of) (\w+)", why)
        if "moves column j" in why:  # a bias: test_judge_truth.py
            continue
        assert found, why
        slope = eval(found[1], {"low": 1.0, "number": {"3 / x": 3.0}.get(case)}, numbers_by_name(verdict, names, z))
        np.testing.assert_allclose(np.broadcast_to(slope, z.shape), moved(make, values, k), rtol=1e-5, atol=1e-6)
        assert ("was broadcast" in why) == (t.shape != z.shape)
    assert float(loss) >= 0


def numbers_by_name(verdict, names, z):
    known = {name: np.asarray(t) for name, t in names.items()}
    return {**known, **{f"l{k}": np.asarray(z) for k in range(1, 4)}, "out": np.asarray(z), "z": np.asarray(z)}


def test_a_tensor_times_itself():
    x, _z, _loss, dz = judged(lambda x: x * x, X)
    check(x, 2 * X * dz, "2 * x * dz", "x * dz")


# ---- the lesson's loss written out, with the network around it ----

LOSSES = {
    "pow": (lambda out, targ: (out - targ).pow(2).mean(), (6, 1)),
    "**2": (lambda out, targ: ((out - targ) ** 2).mean(), (6, 1)),
    "times itself": (lambda out, targ: ((d := out - targ) * d).mean(), (6, 1)),
    "the other way round": (lambda out, targ: ((targ - out) ** 2).mean(), (6, 1)),
    "two columns": (lambda out, targ: ((out - targ) ** 2).mean(), (6, 2)),
    "squeeze": (lambda out, targ: ((out.squeeze() - targ) ** 2).mean(), (6,)),
    "a column taken out": (lambda out, targ: ((out[:, 0] - targ) ** 2).mean(), (6,)),
    "mean without axes": (lambda out, targ: ((out.squeeze(-1) - targ) ** 2).mean(0), (6,)),
}


def lesson(loss, dtype=None):
    """l2 = (x @ w1 + b1).clamp_min(0.), out = l2 @ w2 + b2, and a loss written out."""
    compute, shape = LOSSES[loss]
    rng = np.random.default_rng(3)
    columns = shape[1] if len(shape) > 1 else 1
    a = SimpleNamespace(x=rng.uniform(-1, 1, (6, 4)), w1=rng.uniform(-1, 1, (4, 5)), b1=rng.uniform(-1, 1, 5),
                        w2=rng.uniform(-1, 1, (5, columns)), b2=rng.uniform(-1, 1, columns),
                        targ=rng.uniform(-1, 1, shape))  # fmt: skip
    t = SimpleNamespace(**{name: bp.param(value, dtype) for name, value in vars(a).items() if name != "targ"})
    t.targ = bp.tensor(a.targ, dtype)
    t.l1 = t.x @ t.w1 + t.b1
    t.l2 = t.l1.clamp_min(0.0)
    t.out = t.l2 @ t.w2 + t.b2
    t.loss = compute(t.out, t.targ)
    t.loss.backward(keep=True)
    a.l1 = a.x @ a.w1 + a.b1
    a.l2 = np.maximum(a.l1, 0)
    a.out = a.l2 @ a.w2 + a.b2
    a.dout = 2 * (a.out - a.targ.reshape(a.out.shape)) / a.out.size
    a.dl1 = (a.l1 > 0) * (a.dout @ a.w2.T)
    return t, a


def by_numpy(a):
    """The gradients of the lesson's network in float64 numpy."""
    return {"out": a.dout, "w2": a.l2.T @ a.dout, "b2": a.dout.sum(0), "l2": a.dout @ a.w2.T, "l1": a.dl1,
            "w1": a.x.T @ a.dl1, "b1": a.dl1.sum(0), "x": a.dl1 @ a.w1.T}  # fmt: skip


RIGHT = {
    "w2": "l2.T @ out.g | inp.T @ out.g | l2.T @ dz", "b2": "out.g.sum(0)", "l2": "out.g @ w2.T",
    "l1": "(l1 > 0) * l2.g | (l1 > 0) * (out.g @ w2.T) | (inp > 0) * out.g", "w1": "x.T @ l1.g | inp.T @ dz",
    "b1": "l1.g.sum(0)", "x": "l1.g @ w1.T",
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_gradient_of_the_lesson_with_its_loss_written_out(loss, dtype):
    t, a = lesson(loss, dtype)
    for name, gradient in by_numpy(a).items():
        assert bp.judge(getattr(t, name), gradient.astype(dtype)), name
        for text in listed(RIGHT.get(name, "")):
            verdict = bp.judge(getattr(t, name), text)
            assert verdict, f"{name}: {text}: {verdict}"
            assert "4 other networks" in verdict.summary, verdict


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_the_output(loss):
    t, a = lesson(loss)
    if a.targ.ndim == 2:
        rights = (
            "2*(out-targ)/out.size | 2 * (out - targ) / size | 2. * (inp - targ) / inp.numel() | -2*(targ-out)/size"
        )
        wrongs = {"(out-targ)/out.size": "two-missing", "2*(out-targ)": "size-missing", "out - targ": "raw-error",
                  "-2*(out-targ)/size": "sign-flipped", "2*(out-targ)/1000": "number-for-size",
                  "2*(out+targ)/size": None}  # fmt: skip
    else:
        rights = "2. * (inp.squeeze() - targ).unsqueeze(-1) / inp.shape[0] | 2*(out - targ[:,None])/out.size"
        wrongs = {"2*(out-targ)/out.size": "broadcast-by-accident", "(out-targ[:,None])/out.size": "two-missing",
                  "2*(out-targ[:,None])": "size-missing"}  # fmt: skip
    for right in listed(rights):
        verdict = bp.judge(t.out, right)
        assert verdict, f"{right}: {verdict}"
        assert "4 other networks" in verdict.summary
    for wrong, mistake in wrongs.items():
        verdict = bp.judge(t.out, wrong)
        assert not verdict
        assert mistake in (None, verdict.mistake), f"{wrong}: {verdict}"


def test_a_size_that_is_right_for_one_column_only():
    t, _a = lesson("two columns")
    verdict = bp.judge(t.out, "2*(out-targ)/n")
    assert verdict.mistake == "rows-for-size", verdict
    one, _ = lesson("**2")
    assert bp.judge(one.out, "2*(out-targ)/n").by_accident


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("w1", "x @ l1.g", "transpose-missing"),
        ("w1", "x.T * l1.g", "elementwise"),
        ("w1", "x.T @ out.g", "skipped-step"),
        ("b1", "l1.g", "sum-missing"),
        ("b1", "l1.g.mean(0)", "mean-over-rows"),
        ("l1", "(l1 > 0) @ l2.g", "matmul-for-elementwise"),
        ("l1", "l2.g", "mask-missing"),
        ("w1", "x.T @ l2.g", "gradient-after-relu"),
        ("w2", "l1.T @ out.g", "value-before-relu"),
        ("w1", "x.T @ ((l1 > 0) @ l2.g)", "matmul-for-elementwise"),
    ],
)
def test_typical_mistakes_with_a_loss_written_out(loss, name, text, mistake):
    t, _ = lesson(loss)
    verdict = bp.judge(getattr(t, name), text)
    assert not verdict
    assert verdict.mistake == mistake, verdict


def test_an_elementwise_product_for_a_matrix_product():
    t, _ = lesson("two columns")
    assert bp.judge(t.l1, "(l1 > 0) * (out.g * w2.T)").mistake == "elementwise-for-matmul"
    one, _ = lesson("**2")
    assert bp.judge(one.l1, "(l1 > 0) * (out.g * w2.T)").by_accident, "a column times a row is their matrix product"


def test_the_targets_of_a_loss_written_out():
    x, w, targ = bp.param(X), bp.param(RNG.uniform(-1, 1, (3, 2))), bp.param(RNG.uniform(-1, 1, (4, 2)))
    loss = ((x @ w - targ) ** 2).mean()
    loss.backward(keep=True)
    right = -2 * (X @ np.asarray(w) - np.asarray(targ)) / 8
    assert bp.judge(targ, right)
    assert bp.judge(targ, "-2 * (out - targ) / size")
    assert bp.judge(targ, "2 * (out - targ) / size").mistake == "sign-flipped"


def test_a_sum_of_squares_is_not_a_mean():
    x, w = bp.param(X), bp.param(RNG.uniform(-1, 1, (3, 2)))
    targ = RNG.uniform(-1, 1, (4, 2))
    out = x @ w
    loss = ((out - targ) ** 2).sum()
    loss.backward(keep=True)
    assert bp.judge(out, 2 * (X @ np.asarray(w) - targ))
    assert bp.judge(out, "2 * (out - targ)", targ=targ).ok
    assert not bp.judge(out, "2 * (out - targ) / out.size", targ=targ)


def test_a_loss_with_weight_decay_beside_the_mean():
    x, w = bp.param(X), bp.param(RNG.uniform(-1, 1, (3, 2)))
    targ = RNG.uniform(-1, 1, (4, 2))
    out = x @ w
    loss = ((out - targ) ** 2).mean() + 0.1 * (w * w).sum()
    loss.backward(keep=True)
    assert bp.judge(out, 2 * (X @ np.asarray(w) - targ) / 8)
    assert bp.judge(out, "2 * (out - targ) / size")
    assert bp.judge(w, "x.T @ out.g", z=out)
    again = x @ w
    half = 0.5 * ((again - targ) ** 2).mean()
    half.backward(keep=True)
    assert bp.judge(again, (X @ np.asarray(w) - targ) / 8)
    assert not bp.judge(again, "2 * (out - targ) / out.size", targ=targ)


def test_a_gradient_that_cancels_to_rounding_is_zero():
    x = bp.param(X)
    m = x.mean(0)
    loss = ((x - m) ** 2).mean()
    loss.backward(keep=True)
    assert np.abs(np.asarray(m.g)).max() < 1e-15
    assert bp.judge(m, "0 * m", m=m)
    assert bp.judge(m, "-z.g.sum(0)", m=m)
    assert not bp.judge(m, "z.g.sum(0) + 1e-6", m=m)
