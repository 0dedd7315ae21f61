"""explain and judge of w[0, 0], w[:, 1] or w.T: the elements of w are meant, unless the forward pass used the part."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.networks import layers, numbers, tape, tensors_of

PARTS = {
    "w1[2, 3]": (lambda w: w[2, 3], lambda at: (2, 3)),
    "w1[-1, -2]": (lambda w: w[-1, -2], lambda at: (3, 3)),
    "w1[2]": (lambda w: w[2], lambda at: (2, at[0])),
    "w1[:, 1]": (lambda w: w[:, 1], lambda at: (at[0], 1)),
    "w1[1:3]": (lambda w: w[1:3], lambda at: (at[0] + 1, at[1])),
    "w1[::2, ::-1]": (lambda w: w[::2, ::-1], lambda at: (2 * at[0], 4 - at[1])),
    "w1[[3, 0]]": (lambda w: w[[3, 0]], lambda at: ((3, 0)[at[0]], at[1])),
    "w1.T": (lambda w: w.T, lambda at: at[::-1]),
    "w1.T[2]": (lambda w: w.T[2], lambda at: (at[0], 2)),
    "w1[2][3]": (lambda w: w[2][3], lambda at: (2, 3)),
    "w1.flatten()": (lambda w: w.flatten(), lambda at: divmod(at[0], 5)),
    "w1[2].unsqueeze(1)": (lambda w: w[2].unsqueeze(1), lambda at: (2, at[0])),
}


@pytest.mark.parametrize("network", [tape, layers])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_explained_as_elements_of_the_whole(network, part):
    take, place = PARTS[part]
    t = network(numbers(np.float32))
    for at in list(np.ndindex(take(t["w1"]).shape))[:7]:
        expected = bp.explain(t["w1"], at=place(at))
        explanation = bp.explain(take(t["w1"]), at=at)
        assert explanation.tensor is t["w1"]
        assert (explanation.at, explanation.total) == (place(at), expected.total)
        assert explanation.agrees
        assert f"bp.explain(w1, at={place(at)})" in explanation.notes[0]
        assert explanation.notes[1:] == expected.notes == ()


@pytest.mark.parametrize("part", PARTS)
def test_without_at_the_largest_gradient_of_the_part(part):
    take, place = PARTS[part]
    t = tape(numbers(np.float32))
    g = np.abs(t["w1"].g.data)
    largest = max(np.ndindex(take(t["w1"]).shape), key=lambda at: g[place(at)])
    assert bp.explain(take(t["w1"])).at == place(largest)


def test_a_part_taken_before_the_forward_pass():
    t = tensors_of(numbers(np.float32))
    element, column = t["w1"][2, 3], t["w1"][:, 1]
    loss = bp.mse(bp.lin(t["x"], t["w1"], t["b1"]), np.ones((6, 5), np.float32))
    with pytest.raises(bp.GradientError, match=r"no backward pass has run yet: .*Call loss.backward\(\)"):
        bp.explain(element)
    loss.backward()
    assert bp.explain(element).total == float(t["w1"].g.data[2, 3])
    assert bp.explain(element, loss=loss).at == (2, 3)
    assert bp.explain(column, at=2).total == float(t["w1"].g.data[2, 1])


def test_an_element_of_an_intermediate_result():
    t = tape(numbers(np.float32))
    explanation = bp.explain(t["l1"][1, 2])
    assert (explanation.element, explanation.total) == ("l1[1,2]", bp.explain(t["l1"], at=(1, 2)).total)
    assert explanation.agrees


def test_a_bias_is_written_with_one_index():
    t = tape(numbers(np.float32))
    assert "bp.explain(b1, at=3)" in str(bp.explain(t["b1"][3]))


def test_a_part_that_the_forward_pass_used_is_explained_itself():
    t = tensors_of(numbers(np.float32))
    part = t["w1"][:, 1:3]
    loss = bp.mse(bp.lin(t["x"], part), np.zeros((6, 2), np.float32))
    loss.backward(keep=True)
    explanation = bp.explain(part, at=(0, 0))
    assert explanation.tensor is part
    assert explanation.total == float(part.g.data[0, 0])
    again = bp.explain(t["w1"][:, 1:3], at=(3, 1))  # another tensor with the same elements, which nothing used
    assert (again.tensor is t["w1"], again.at, again.total) == (True, (3, 2), float(t["w1"].g.data[3, 2]))
    assert bp.explain(part[3, 1]).tensor is part


def test_a_backward_that_began_at_an_element():
    t = tensors_of(numbers(np.float32))
    loss = bp.lin(t["x"], t["w1"], t["b1"])[1, 2]
    loss.backward()
    assert str(bp.explain(loss)).startswith("The whole chain")
    explanation = bp.explain(t["w1"][3, 2])
    assert (explanation.at, explanation.total) == ((3, 2), float(t["x"].data[1, 3]))
    assert bp.explain(t["w1"][3, 2], loss=loss).at == (3, 2)


@pytest.mark.parametrize("network", [tape, layers])
def test_elements_that_are_kept_do_not_hide_the_network(network):
    t = network(numbers(np.float32))
    kept = [t["w1"][0, 0], t["w1"][1], t["w1"].T, *(t["w1"][i, j] for i in range(4) for j in range(5))]
    assert bp.explain(t["w1"], at=(1, 1)).total == float(t["w1"].g.data[1, 1])
    assert bp.judge(t["w1"], "x.T @ dz").ok
    t["w1"].g = 2 * t["w1"].g.data
    stale = bp.explain(t["w1"], at=(1, 1))
    assert stale.total == float(t["w1"].g.data[1, 1]) / 2
    assert "w1.g does not hold the gradient of this forward pass" in stale.notes[0]
    assert len(kept) == 23


def test_overwritten_since_is_said_of_a_part_too():
    t = layers(numbers(np.float32))
    t["w1"] -= 0.1 * t["w1"].g
    with pytest.raises(bp.GradientError, match="overwritten after the forward pass"):
        bp.explain(t["w1"][0, 0])


def test_an_index_outside_of_the_part():
    t = tape(numbers(np.float32))
    with pytest.raises(IndexError, match=r"\(part of w1\)\[5\] is out of range: .* element 0 .. 4"):
        bp.explain(t["w1"][0], at=5)
    with pytest.raises(IndexError, match="has no elements"):
        bp.explain(t["w1"][0:0])


def test_what_the_tape_cannot_trace_says_what_to_write():
    t = tape(numbers(np.float32))
    with pytest.raises(bp.GradientError, match=r"write bp.explain\(x, at=\(0, 0\)\), not bp.explain\(x\[0, 0\]\)"):
        bp.explain(t["x"][1, 2])
    with pytest.raises(bp.GradientError, match=r"shows elements of another tensor: write bp.explain\(x, at=\(0, 0\)\)"):
        bp.explain(t["x"][1])
    for part in (t["w1"].g, t["w1"].g[0]):
        with pytest.raises(bp.GradientError, match=r"It is the gradient of the tensor .*bp.explain\(w\), not w.g"):
            bp.explain(part)


def test_judge_asks_for_the_whole_tensor():
    t = tape(numbers(np.float32))
    for part in (t["w1"][0, 0], t["w1"][:, 1], t["w1"].T[0]):
        with pytest.raises(bp.GradientError, match=r"a part of the tensor .*write bp.judge\(w, ...\)"):
            bp.judge(part, "x.T @ dz")
