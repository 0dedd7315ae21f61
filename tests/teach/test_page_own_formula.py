"""The page in a browser: the reader's own formula, what it would add up beside what should be added."""

import re

import numpy as np
import pytest

import pybackprop as bp
from helpers.page_browser import served
from helpers.scenes import example
from pybackprop.teach.judge.judge import judge
from pybackprop.teach.page.judge_answer import Answers

pytestmark = pytest.mark.browser


def typed(page, formula):
    page.js("pybackprop.app.set({own: arguments[0]}, {only: 'own'})", formula)
    return page.text("#own-verdict")


def table(page):
    return page.js(
        """return [...document.querySelectorAll('#own-terms tbody tr')]
        .map(row => [...row.cells].map(cell => cell.textContent));"""
    )


RIGHT = {
    "w1": ["x.T @ l1.g", "x.T @ dz", "(l1.g.T @ x).T", "x.t() @ dout"],
    "b1": ["l1.g.sum(0)", "dz.sum(0)", "l1.g.sum(axis=0)", "b1.g = dz.sum(dim = 0)"],
    "x": ["l1.g @ w1.T", "dz @ w.T", "(w1 @ l1.g.T).T"],
    "l1": ["(l1 > 0) * l2.g", "l2.g * (z > -100) * (l1 > 0)"],
    "out": ["2 * (out - targ) / size", "(out - targ) * 2 / 4"],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_called_right_and_adds_up_the_gradient(page, name):
    page.open(example(), f"#at={name}.0.0" if name != "b1" else "#at=b1.0")
    for formula in RIGHT[name]:
        assert "On these numbers it gives the gradient, in all " in typed(page, formula), formula
        sums = page.js("return [...document.querySelectorAll('#own-terms tfoot b')].map(b => b.textContent)")
        assert sums[1] == page.text("#gradient")
        assert float(sums[0].replace("\u2212", "-")) == pytest.approx(page.number("#gradient"), rel=1e-5, abs=1e-8)


def test_what_does_not_fit_says_which_sizes(page):
    page.open(example(), "#at=w1.2.1")
    assert typed(page, "l1.g @ x.T").startswith(
        "(4 \u00d7 2) @ (3 \u00d7 4): the inner dimensions, 2 and 3, do not fit."
    )
    assert "element by element" in typed(page, "x * l1.g")
    said = typed(page, "x @ w1")
    assert said.startswith("It gives 4 \u00d7 2, but w1.g is 3 \u00d7 2. w1[2,1] moves column 1 of l1, in all 4 rows")
    assert table(page)[0][0] == "x[2,0] \u00b7 w1[0,1]"


NO_FORMULAS = [
    "x @",
    "(x",
    "x )",
    "x ** 2",
    "w1.g",
    "nothing @ x",
    "x.data",
    "x @ 2",
    "x.sum(5)",
    "$",
    "1 2",
    "l1.g.sum(keepdim=0)",
    "l1.g.sum(axis 0)",
    "x == 2",
]


@pytest.mark.parametrize("formula", NO_FORMULAS)
def test_what_is_no_formula_is_answered_with_a_sentence(page, formula):
    page.open(example(), "#at=w1.2.1")
    assert typed(page, formula).endswith(".")
    assert page.find("#own-verdict").get_attribute("class") == "verdict wrong"
    assert not table(page)


def test_the_popular_wrong_answer_is_one_click_away_and_wrong_by_more_than_its_shape(page):
    page.open(example((4, 3, 3, 3)), "#at=w1.2.1")
    page.click("#equal")
    page.click("#own-controls .popular button")
    assert page.find("input.own").get_attribute("value") == "l1.g @ x.T"
    said = page.text("#own-verdict")
    assert said.startswith("The shape is right, and ")
    assert "w1[2,1] moves column 1 of l1, in all 4 rows: row i by x[i,2] times as much." in said
    x, g = page.values("x").reshape(4, 4), page.grads("l1").reshape(4, 4)
    rows = table(page)
    assert [row[0] for row in rows] == [f"l1.g[2,{k}] \u00b7 x[1,{k}]" for k in range(4)]
    assert [row[2] for row in rows] == [f"x[{i},2] \u00b7 l1.g[{i},1]" for i in range(4)]
    sums = [
        float(b.text.replace("\u2212", "-")) for b in page.driver.find_elements("css selector", "#own-terms tfoot b")
    ]
    np.testing.assert_allclose(sums, [(g @ x.T)[2, 1], (x.T @ g)[2, 1]], rtol=1e-5, atol=1e-7)
    wrong = int((~np.isclose(g @ x.T, x.T @ g, rtol=0, atol=1e-4 * abs(x.T @ g).max())).sum())
    assert f"and {wrong} of 16 elements are wrong" in said
    shared = len({(2, k, 1, k) for k in range(4)} & {(i, 1, i, 2) for i in range(4)})
    assert shared == 0
    assert said.endswith("4 products are to be added up; your formula has none of them.")


@pytest.mark.parametrize("shape", [(4, 3, 2), (2, 3, 4, 2), (6, 5, 3, 3, 2), (1, 3, 2)])
def test_with_equal_sizes_no_term_is_zero_and_no_place_is_on_the_diagonal(page, shape):
    """Where a factor is 0 or a matrix meets its transpose, a wrong formula may give the right number."""
    page.open(example(shape), "#at=w1.1.1&equal=0")
    page.click("#equal")
    net = page.js("const {net, view} = pybackprop.app; return [net.n, [...view.run.values.keys()], view.terms.length]")
    assert page.chosen() == f"w1[1,{2 % net[0]}]"
    assert net[2] == net[0]
    assert page.text("#note") == f"Every size is {net[0]} now, and the numbers are others."
    x, g = page.values("x").reshape(net[0], -1), page.grads("l1").reshape(net[0], -1)
    assert np.count_nonzero(x) == x.size
    assert np.count_nonzero(g) >= 0.8 * g.size
    for name in ("w1", "w2", "targ"):
        columns = page.values(name).reshape(net[0], net[0]).T
        assert len({tuple(column) for column in columns}) == net[0]
    formulas = page.js("return pybackprop.popular(pybackprop.app.view.reader)")
    for formula in formulas:
        assert int(re.search(r"and (\d+) of", typed(page, formula)).group(1)) > net[0] ** 2 // 2, formula


def test_what_the_reader_looks_at_stays_and_the_element_comes_back(page):
    page.open(example((4, 3, 8)), "#at=w1.2.7", width=1400)
    page.js("document.querySelector('#own').scrollIntoView()")
    before = page.js("return document.querySelector('#own').getBoundingClientRect().top")
    page.click("#equal")
    assert page.chosen() == "w1[2,3]"
    assert page.js("return document.querySelector('#own').getBoundingClientRect().top") == pytest.approx(before, abs=2)
    page.click("#equal")
    assert page.chosen() == "w1[2,7]"
    assert page.text("#note") == ""


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


def test_equal_sizes_are_in_the_address_and_go_back(page):
    page.open(example(), "#at=w1.2.1")
    page.click("#equal")
    assert page.js("return [...pybackprop.app.net.tensors.values()].map(t => t.shape.join())") == [
        "4,4", "4,4", "4", "4,4", "4,4", "4,4", "4", "4,4", "4,4", "",
    ]  # fmt: skip
    assert "equal=1" in page.fragment()
    assert page.js("return document.activeElement.id") == "equal"
    assert page.chosen() == "w1[2,1]"
    page.driver.back()
    assert page.until(lambda: not page.js("return pybackprop.app.state.equal"))
    assert page.js("return pybackprop.app.net.tensors.get('w1').shape") == [3, 2]
    page.go("#at=w1.2.1&own=dz%20%40%20x.T&equal=1")
    assert page.js("return pybackprop.app.state.equal")
    assert page.find("input.own").get_attribute("value") == "dz @ x.T"


def test_with_equal_sizes_the_panel_is_about_the_new_numbers_and_back(page):
    """Whatever the page before it still observes."""
    page.open(example((4, 5, 8, 1)), "#at=w1.3.7")
    for _ in range(2):
        page.click("#equal")
        page.settle()
        page.settle()
        name = page.chosen()
        assert page.text("#verdict").startswith(f"w1.g{name[2:]} is the sum")
        assert page.text("#sum").startswith(f"(x.T @ l1.g){name[2:]} =")
        assert page.text("#sum").endswith(page.text("#gradient"))


@pytest.mark.parametrize("equal", [False, True])
def test_the_pages_verdict_on_popular_answers_is_judges(page, equal):
    """What judge calls wrong, the page never calls right; what judge calls right, the page calls right."""
    page.open(example((4, 3, 2, 2)), "#equal=1" if equal else "")
    answers = Answers(example((4, 3, 2, 2)))
    for name in ("w1", "b1", "x", "l1", "out", "w2"):
        page.js("pybackprop.app.choose({name: arguments[0], row: 0, column: 0})", name)
        formulas = page.js("return pybackprop.popular(pybackprop.app.view.reader)")
        for formula in formulas:
            right = answers.answer(name, formula)["ok"]
            assert typed(page, formula).startswith("On these numbers it gives") == right, (name, formula)


def test_on_the_served_page_judge_gives_its_reason(page):
    page.open(example())
    with served(example()) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        page.own.append(address)
        page.driver.get(f"{address}#at=w1.2.1&own=l1.g%20%40%20x.T")
        assert page.until(lambda: page.text("#own-judge"))
        reason = Answers(example()).answer("w1", "l1.g @ x.T")["summary"]
        assert reason in page.text("#own-judge")
        typed(page, "x.T @ l1.g")
        assert page.until(lambda: page.text("#own-judge") and reason not in page.text("#own-judge"))


def test_judges_answer_is_judges(rng):
    x, w = rng.standard_normal((5, 3)), bp.param(rng.standard_normal((3, 2)))
    w.name = "w1"
    out = bp.lin(bp.tensor(x), w)
    loss = bp.mse(out, rng.standard_normal((5, 2)))
    loss.backward(keep=True)
    from pybackprop.teach.page.scene import scene_of

    scene = scene_of(bp.Model([bp.Lin(w)]), x, np.zeros((5, 2)))
    for formula in ("inp.T @ dz", "dz @ inp.T", "inp * dz"):
        assert Answers(scene).answer("w1", formula)["ok"] == judge(w, formula).ok
