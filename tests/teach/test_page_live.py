"""The live page, Python's side: what the page says is written to the tensors, and what changes there is sent to it."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.live_pages import Front, network
from pybackprop.teach.example import small

pytest.importorskip("anywidget")

from pybackprop.teach.page import live

DTYPES = [np.float32, np.float64]
NUMBERS = [0.5, 1 / 3, -0.0, 1e-45, 3.4e38, 1e300, float("inf"), float("nan")]


# ---- from the page ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", NUMBERS)
def test_a_value_is_written_as_one_writes_it_by_hand(show, dtype, value):
    x, w, b, targ, _ = keep = network(dtype)
    front = Front(show(w, (2, 1)))
    for t, name, at in [(x, "x", (3, 4)), (w, "w1", (2, 1)), (b, "b1", (2,)), (targ, "targ", (0, 1))]:
        expected = t.data.copy()
        with np.errstate(over="ignore"):
            expected[at] = value
        version, g = t._version.count, t.g
        front.write((name, at, value))
        assert t.data.tobytes() == expected.tobytes(), name
        assert t._version.count == version, "no operation of the library wrote"
        assert t.g is g
    assert front.news() == {}, "the page has them already"
    assert keep


def test_the_answer_says_what_was_done(show):
    _, w, b, *_ = keep = network()
    front = Front(show(w, (2, 1)))
    assert front.write(("w1", (2, 1), 0.1)) == "w1[2,1] is 0.1 in Python too."
    assert front.write(("w1", (2, 1), 1), ("b1", (0,), 2)) == "2 numbers are in Python what they are here."
    assert (w.data[2, 1], b.data[0]) == (1, 2)
    assert keep


def test_explain_sees_it_as_any_write_through_data(show):
    _, w, _, _, loss = network()
    Front(show(w, (2, 1))).write(("w1", (2, 1), 7.0))
    with pytest.raises(bp.GradientError, match="overwritten"):
        bp.explain(w)
    assert loss


def test_a_column_of_targets_is_a_vector_in_python(show):
    _, w, _, targ, _ = keep = network(flat=True)
    Front(show(w, (0, 0))).write(("targ", (2, 0), 0.25))
    assert targ.data[2] == 0.25
    assert keep


def test_rows_that_are_not_shown_stay(show):
    x, w, _, targ, _ = keep = network(n=130)
    front = Front(show(w, (0, 0)))
    before = x.data[100:].copy()
    front.write(("x", (99, 0), 5.0))
    assert x.data[99, 0] == 5
    np.testing.assert_array_equal(x.data[100:], before)
    x.data[110] = targ.data[110] = 9
    assert not front.page.refresh()
    with pytest.raises(IndexError):
        front.page._received(None, {"kind": "write", "view": "a", "count": 9, "changes": [["x", [100, 0], 1.0]]}, [])
    assert keep


def test_read_only_memory_is_named(show):
    held = np.ones((4, 5), np.float32)
    held.flags.writeable = False
    w = bp.param(np.ones((5, 3)), np.float32, name="w1")
    x = bp.as_tensor(held, name="x")
    loss = bp.mse(bp.lin(x, w), np.zeros((4, 3), np.float32))
    loss.backward(keep=True)
    front = Front(show(w, (0, 0)))
    said = front.write(("x", (0, 0), 2.0), ("w1", (0, 0), 3.0))
    assert said == "Only on this page: x is read-only memory in Python."
    assert (held[0, 0], w.data[0, 0]) == (1, 3)
    assert loss


def test_another_shape_is_named(show):
    _, w, *_ = keep = network()
    front = Front(show(w, (0, 0)))
    w._become(np.ones((3, 5), np.float32))
    assert "is float32 of shape (3, 5) now, and was float32 of shape (5, 3)" in front.write(("w1", (0, 0), 2.0))
    assert (w.data == 1).all()
    assert not front.page.refresh()
    assert keep


@pytest.mark.parametrize("name", ["l1", "out", "loss", "y"])
def test_only_leaves_are_written(show, name):
    kept = small()
    page = show(kept.tensors["w1"], (0, 0))
    before = {name: t.data.copy() for name, t in kept.tensors.items()}
    with pytest.raises((KeyError, IndexError)):
        page._received(None, {"kind": "write", "view": "a", "count": 1, "changes": [[name, [0, 0], 1.0]]}, [])
    assert all((t.data == before[name]).all() for name, t in kept.tensors.items())


# ---- to the page ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_changed_is_sent_and_nothing_else(show, dtype):
    _, w, b, *_ = keep = network(dtype)
    page = show(w, (2, 1))
    front = Front(page)
    assert not page.refresh()
    w.data[1, 2], b.data[0] = 1 / 3, -0.0
    w.data[4, 0] = np.nan
    assert page.refresh()
    sent = front.news()
    assert set(sent) == {"w1", "b1"}
    assert set(sent["w1"]) == {5, 12}
    assert dtype(sent["w1"][5]) == w.data[1, 2]
    assert sent["w1"][12] == "NaN"
    assert np.signbit(sent["b1"][0])
    assert not page.refresh()
    w -= 0.1 * w.g
    assert page.refresh()
    assert front.news()["w1"].keys() >= set(np.flatnonzero(w.g.data).tolist()) - {12}
    assert keep


def test_every_view_has_its_own_numbers(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    one = Front(page, "one")
    w.data[0, 0] = 5
    two = Front(page, "two")  # begins with the numbers of the page as it was made
    assert two.news() == {"w1": {0: 5}}
    two.write(("w1", (1, 1), 8.0))
    told = [m for m in two.heard if m["kind"] == "values"]
    assert [(m["view"], m["tensors"]["w1"]["at"]) for m in told] == [("one", [4])]
    one.say(kind="gone")
    w.data[0, 0] = 6
    two.heard.clear()
    assert page.refresh()
    assert {m["view"] for m in two.heard} == {"two"}
    assert keep


def test_views_that_never_left_are_forgotten(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    for k in range(3 * live.VIEWS):
        Front(page, str(k))
    assert list(page._views) == [str(k) for k in range(2 * live.VIEWS, 3 * live.VIEWS)]
    assert keep


def test_another_page_with_the_same_tensors_follows(show):
    _, w, b, *_ = keep = network()
    one, two = Front(show(w, (2, 1))), Front(show(b, (1,)))
    one.write(("w1", (0, 1), 4.0))
    assert two.news() == {"w1": {1: 4}}
    assert keep


def test_what_is_said_of_messages_that_are_on_the_way(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    front = Front(page)
    front.write(("w1", (0, 0), 1.0))
    w.data[0, 0] = 2
    page.refresh()
    assert front.heard[-1]["answered"] == 1
    assert keep


# ---- the chosen element ----


def test_the_chosen_element(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    assert page.chosen == ("w1", (2, 1))
    page.set_state({"chosen": ["b1", [2]]})  # as the front end sends it
    assert page.chosen == ("b1", (2,))
    page.chosen = "out", (0, np.int64(1))
    assert page.chosen == ("out", (0, 1))
    assert page.get_state("chosen") == {"chosen": ("out", (0, 1))}
    for wrong in [("w1", (5, 0)), ("w1", (0,)), ("y", (0,)), ("loss", ())]:
        with pytest.raises((KeyError, IndexError)):
            page.chosen = wrong
    assert page.chosen == ("out", (0, 1))
    assert keep
