"""The page in a browser: how a formula of the reader's own is read, and what is said of one that is nearly right."""

import numpy as np
import pytest

from helpers.own_formula import table, typed
from helpers.scenes import example

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("at", "formula", "names"), [
    ("w1.2.1", "inp.T @ out.g", "inp is x and out is l1"),
    ("w1.2.1", "w.g = inp.t() @ out.g", "inp is x and out is l1"),
    ("x.2.1", "out.g @ w.t()", "w is w1 and out is l1"),
    ("x.2.1", "(out.g @ w.T) * (inp > -1000)", "inp is x, w is w1 and out is l1"),
    ("b1.1", "b.g = out.g.sum(0)", "out is l1"),
    ("b1.1", "out.g.sum(axis=-2)", "out is l1"),
    ("w2.1.0", "inp.t() @ out.g", "inp is l2"),
    ("l1.1.0", "(inp > 0) * out.g", "inp is l1 and out is l2"),
    ("out.1.0", "2 * (inp - targ) / size", "inp is out"),
])  # fmt: skip
def test_the_lessons_own_lines_are_read_as_the_lesson_means_them(page, at, formula, names):
    page.open(example(), f"#at={at}")
    said = typed(page, formula)
    assert said.startswith(f"As in the lesson, {names} here. On these numbers it gives the gradient, in all "), said


def test_sizes_that_do_not_fit_are_not_the_reason(page):
    page.open(example(), "#at=w1.2.1")
    said = typed(page, "x * l1.g")
    moves = page.text("#sentence").removesuffix(".")
    assert f" And the sizes are not the reason: {moves}, so 4 products are to be added up." in said
    assert "* pairs each place with one other place, and adds nothing up." in said
    assert "* pairs" not in typed(page, "l1.g @ x.T")
    page.go("#at=b1.0")
    assert "so 4 products are to be added up" in typed(page, "l1.g @ l1.g")


@pytest.mark.parametrize(("formula", "terms"), [
    ("(l1.g.T @ x).T", ["x[{i},2] \u00b7 l1.g[{i},1] \u2713", "l1.g[{i},1] \u00b7 x[{i},2] \u2713"]),
    ("x.T @ l1.g * 1", ["x[{i},2] \u00b7 l1.g[{i},1] \u00b7 1"]),
])  # fmt: skip
def test_terms_are_seen_through_a_transpose_and_a_factor(page, formula, terms):
    page.open(example(), "#at=w1.2.1")
    assert typed(page, formula).startswith("On these numbers it gives the gradient")
    rows = [row[0] for row in table(page)]
    assert rows in [[text.format(i=i) for i in range(4)] for text in terms]


def test_a_transposed_answer_is_called_so_and_compared_where_the_element_is(page):
    page.open(example(), "#at=w1.2.1")
    assert typed(page, "l1.g.T @ x") == (
        "It gives 2 \u00d7 3: that is w1.g transposed, with [j,k] in place of [k,j]. w1.g is 3 \u00d7 2."
    )
    assert page.text("#own-terms thead th") == "your formula adds for [1,2]"
    assert (
        page.js("return [...document.querySelectorAll('#own-terms tfoot b')].map(b => b.textContent)")
        == [page.text("#gradient")] * 2
    )


def test_a_transposed_answer_is_called_so_where_the_shape_is_right_too(page):
    page.open(example((3, 3, 3, 3)), "#at=w1.2.1")
    said = typed(page, "l1.g.T @ x")
    assert said == "The shape is right by accident: this is w1.g transposed, with [j,k] in place of [k,j]."
    assert page.text("#own-terms thead th") == "your formula adds for [1,2]"
    page.click("[data-name=form] .choice:nth-of-type(4) input")
    assert ", which belongs to w1.g[2,1]. The right one, x.T @ l1.g, has " in page.text("#sum")


def test_a_mean_in_place_of_a_sum_is_told_what_it_divides_by(page):
    page.open(example(), "#at=b1.1")
    said = typed(page, "l1.g.mean(0)")
    assert said == "Every element is 0.25 times what it should be. .mean divides what it adds up by how many they are."


def test_the_networks_own_out_is_told_from_the_lessons(page):
    page.open(example(), "#at=w1.2.1")
    said = typed(page, "out.g @ x.T")
    assert "Here out is the output of the whole network: what the lesson calls out is l1." in said
    assert "and the lesson's inp, w, b and out." in typed(page, "foo @ x")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_right_formula_is_right_where_a_number_is_not_finite(page, bad):
    scene = example(dtype=np.float64)
    scene.tensors["x"][0][1, 0] = bad
    page.open(scene, "#at=w1.2.1")
    assert typed(page, "x.T @ l1.g").startswith("On these numbers it gives the gradient, in all ")


@pytest.mark.parametrize(("formula", "times"), [
    ("2 * x.T @ l1.g", "2"), ("-x.T @ l1.g", "\u22121"), ("x.T @ l1.g / 4", "0.25"),
])  # fmt: skip
def test_an_answer_that_is_off_by_a_factor_is_told_the_factor(page, formula, times):
    page.open(example(), "#at=w1.2.1")
    assert typed(page, formula) == f"Every element is {times} times what it should be."


def test_numbers_that_are_alike_are_not_called_foreign(page):
    """Where relu let everything through, l2.g holds the numbers of l1.g."""
    scene = example()
    page.open(scene, "#at=w1.2.0")
    x, arriving, stopped = scene.tensors["x"][0], scene.tensors["l2"][1][:, 0], scene.tensors["l1"][1][:, 0]
    alike = int(((x[:, 2] * arriving != 0) & np.isclose(arriving, stopped, rtol=1e-4, atol=0)).sum())
    assert alike > 1
    said = typed(page, "x.T @ l2.g")
    assert said.endswith(f"your formula has none of them, though {alike} of its products are the same numbers here.")
