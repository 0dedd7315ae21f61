"""judge: operations by their records: leaky_relu, those defined outside, and questions registered from above."""

import numpy as np
import pytest

import pybackprop as bp
from pybackprop import ops
from pybackprop.teach.judge.kind import Kind, Reading, questions
from pybackprop.teach.judge.kinds import RIGHT
from pybackprop.teach.judge.mistakes_elementwise import OF_LEAKY_RELU

# defined once: the registry of operations is the process's
square = bp.define_op(
    "judge_square",
    forward=lambda x: x * x,
    backward=lambda dout, x: 2 * x * dout,
    gradients=("2 * inp * out.g",),
    elementwise=True,
)
scale = bp.define_op(
    "judge_scale",
    forward=lambda u, s, by=1.0: by * u * s,
    backward=lambda dout, u, s, by=1.0: (by * dout * s, by * (dout * u).sum(0)),
    operands=("u", "s"),
    gradients=("by * out.g * s", "by * (u * out.g).sum(0)"),
    axes=("ij", "j", "ij"),
)
unlettered = bp.define_op(
    "judge_unlettered",
    forward=lambda u, s: u * s,
    backward=lambda dout, u, s: (dout * s, (dout * u).sum(0)),
    operands=("u", "s"),
    gradients=("out.g * s", "out.g.sum(0)"),  # the second is wrong
)


def four_rows_only(x):
    if len(x) != 4:
        raise ValueError("four rows, please")
    return 3 * x


picky = bp.define_op("judge_picky", forward=four_rows_only, backward=lambda dout, x: 3 * dout, elementwise=True)


def numbers(*shape, seed=0):
    rng = np.random.default_rng([seed, *shape])
    return rng.uniform(0.2, 1.2, shape) * rng.choice([-1, 1], shape)


def network(op, shape=(4, 3, 2), seed=0, **params):
    """mse(lin(op(lin(x, w)), w2), targ) after a backward; by name."""
    n, m, h = shape
    x, w, w2 = bp.tensor(numbers(n, m, seed=seed)), bp.param(numbers(m, h, seed=seed)), bp.param(numbers(h, 2))
    z = bp.lin(x, w)
    a = op(z, **params)
    loss = bp.mse(bp.lin(a, w2), numbers(n, 2, seed=seed))
    loss.backward(keep=True)
    return {"w": w, "z": z, "a": a, "w2": w2, "loss": loss}


def scaled(op, **params):
    u, s = bp.param(numbers(4, 3)), bp.param(numbers(3), name="s")
    loss = bp.mse(op(u, s, **params), numbers(4, 3, seed=1))
    loss.backward(keep=True)
    return {"u": u, "s": s, "loss": loss}


# ---- leaky_relu ----


@pytest.mark.parametrize("slope", [0.01, 0.3])
def test_leaky_relu(slope):
    tensors = network(ops.LEAKY_RELU, negative_slope=slope)
    for right in (
        RIGHT["leaky_relu"],
        f"((inp > 0) + {slope} * (inp <= 0)) * out.g",
        "da * (negative_slope + (z > 0) * (1 - negative_slope))",
    ):
        verdict = bp.judge(tensors["z"], right)
        assert verdict, str(verdict)
        assert "4 other networks" in verdict.summary
    verdict = bp.judge(tensors["z"], "(z > 0) * da", reveal=True)
    assert verdict.mistake == "slope-missing"
    assert f"still moves by {slope:g}" in verdict.hints[1]
    assert f"moves with it, by {slope:g}" in verdict.hints[2]
    assert bp.judge(tensors["z"], verdict.solution.split(" = ")[1].split(": ")[0])
    assert bp.judge(tensors["w"], "x.T @ dz")
    assert bp.judge(tensors["w2"], "x.T @ dz")


@pytest.mark.parametrize(("name", "text"), [(m.name, f) for m in OF_LEAKY_RELU for f in m.formulas["leaky_relu"]])
def test_the_mistakes_with_leaky_relu(name, text):
    for seed, shape in enumerate([(4, 3, 2), (3, 3, 3), (2, 5, 3), (6, 4, 4)]):
        tensors = network(ops.LEAKY_RELU, shape, seed, negative_slope=0.2)
        verdict = bp.judge(tensors["z"], text)
        assert (verdict.ok, verdict.mistake) == (False, name), str(verdict)
        assert "{" not in " ".join(verdict.hints)


# ---- what somebody defined outside ----


def test_an_operation_of_ones_own_is_judged_on_other_shapes():
    tensors = network(square)
    for right in ("2 * inp * out.g", "2 * z * da", "2 * x * dout", "(x + inp) * a.g"):
        verdict = bp.judge(tensors["z"], right)
        assert verdict, str(verdict)
        assert "4 other networks of different shapes" in verdict.summary
    assert bp.judge(tensors["z"], "4 * z * da").mistake == "constant-factor"
    assert bp.judge(tensors["z"], "da", reveal=True).solution == "Solution: l1.g = 2 * l1 * da."
    for name in ("w", "w2"):
        assert "4 other networks" in bp.judge(tensors[name], "x.T @ dz").summary


def test_operands_have_the_names_that_the_operation_gives_them():
    tensors = scaled(scale, by=0.5)
    for right in ("by * (u * out.g).sum(0)", "0.5 * (u * dz).sum(0)", "by * (x * dout).sum(axis=0)"):
        verdict = bp.judge(tensors["s"], right)
        assert verdict, str(verdict)
        assert "4 other networks" in verdict.summary
    assert bp.judge(tensors["u"], "by * out.g * s")
    assert not bp.judge(tensors["u"], "out.g * s")
    assert bp.judge(tensors["s"], "0.125 * (u * dz).sum(0)").mistake == "constant-factor"
    assert bp.judge(tensors["s"], "by * (u * dz).mean(0)").mistake == "size-factor", "n is another one elsewhere"
    assert bp.judge(tensors["s"], "s", reveal=True).solution == "Solution: s.g = by * (x * out.g).sum(0)."


def test_without_axis_letters_it_is_judged_on_these_numbers_only_and_says_so():
    tensors = scaled(unlettered)
    verdict = bp.judge(tensors["s"], "(u * out.g).sum(0)")
    assert verdict
    assert "the only numbers it can be tried on" in verdict.summary
    assert bp.judge(tensors["s"], "out.g.sum(0)", reveal=True).solution.startswith("s.g comes from the operation's own")


def test_an_operation_that_refuses_other_shapes_is_judged_on_these_numbers_only():
    tensors = network(picky)
    verdict = bp.judge(tensors["z"], "3 * da")
    assert verdict
    assert "the only numbers" in verdict.summary
    assert not bp.judge(tensors["z"], "da")


def test_the_gradients_in_the_records_are_right_answers():
    x, w, b = bp.param(numbers(4, 3)), bp.param(numbers(3, 2)), bp.param(numbers(2))
    z = bp.lin(x, w, b)
    product = x @ w
    out = bp.relu(z)
    losses = [bp.mse(result, numbers(4, 2)) for result in (out, product)]
    for loss in losses:
        loss.backward(keep=True)
    for op, result, operands in ((ops.LIN, z, (x, w, b)), (ops.MATMUL, product, (x, w)), (ops.RELU, out, (z,))):
        for tensor, formula in zip(operands, op.gradients, strict=True):
            verdict = bp.judge(tensor, formula, out=result)
            assert verdict, f"{op.name}: {verdict}"


# ---- registered from above ----


def test_questions_about_an_operation_are_registered_from_above():
    double = bp.define_op("judge_double", lambda x: 2 * x, lambda dout, x: 2 * dout, elementwise=True)
    doubled = Kind("judge_double", "z", "2 * da", "How far does {a} move?", "{a} moves by 2")

    @questions(double, reading=Reading(("z",), "a", {"x": "z", "inp": "z", "out": "a"}))
    def kind(use):
        return doubled

    tensors = network(double)
    assert bp.judge(tensors["z"], "2 * da")
    verdict = bp.judge(tensors["z"], "da", reveal=True)
    assert verdict.hints[0] == "How far does l2 move?"
    assert verdict.solution == "Solution: l1.g = 2 * da: l2 moves by 2."
