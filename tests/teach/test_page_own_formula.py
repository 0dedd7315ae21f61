"""The page in a browser: the reader's own formula, what it would add up beside what should be added."""

import re
import time

import numpy as np
import pytest

import pybackprop as bp
from helpers.own_formula import table, typed
from helpers.page_browser import served
from helpers.scenes import example
from pybackprop.teach.judge.judge import judge
from pybackprop.teach.page.judge_answer import Answers

pytestmark = pytest.mark.browser


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


def test_with_equal_sizes_the_questions_lead_to_no_place_on_the_diagonal(page):
    page.open(example((4, 5, 8, 1)), "#at=w1.3.7&equal=1")
    for button in page.driver.find_elements("css selector", "#questions button"):
        page.click(button)
        row, column = page.js("const {row, column} = pybackprop.app.state.at; return [row, column]")
        assert row != column or page.chosen().startswith("b1")


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


@pytest.fixture
def answered(page):
    """A function: what judge says of a formula on a served page, once it has answered."""
    with served(example()) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        page.own.append(address)
        page.open(example())
        page.driver.get(address)
        page.wait_for_start()

        def ask(at, formula):
            page.go(f"#at={at}")
            page.until(lambda: page.text("#own-judge") == "")
            typed(page, formula)
            return page.until(lambda: page.text("#own-judge"))

        yield ask


LESSONS = [
    ("w1.2.1", "inp.T @ out.g"), ("w1.2.1", "w.g = inp.t() @ out.g"), ("b1.1", "out.g.sum(0)"),
    ("x.2.1", "(out.g @ w.T) * (inp > -1000)"), ("w2.1.0", "inp.t() @ out.g"), ("l1.1.0", "(inp > 0) * out.g"),
    ("l1.1.0", "dout * (inp > 0)"), ("w1.2.1", "x.T @ dout"), ("out.1.0", "2 * (inp - targ) / size"),
    ("out.1.0", "2 \u00b7 (out \u2212 targ) / size"),
]  # fmt: skip


def test_on_the_served_page_judge_reads_the_lessons_names_as_the_page_does(page, answered):
    for at, formula in LESSONS:
        said = answered(at, formula)
        assert "On these numbers it gives the gradient, in all " in page.text("#own-verdict"), formula
        assert said.startswith("judge, on the network that is served: Right: "), (formula, said)
    for at, formula in [("w1.2.1", "x.T @ out.g"), ("w1.2.1", "out.g @ inp.T"), ("w2.1.0", "dz @ x.T")]:
        said = answered(at, formula)
        assert page.find("#own-verdict").get_attribute("class") == "verdict wrong"
        assert said.startswith("judge, on the network that is served: Wrong: "), (formula, said)
        assert "Read here" not in said


def test_with_equal_sizes_judge_is_not_asked_and_with_other_numbers_says_which_it_has(page, answered):
    served_now = "judge, on the network that is served: Wrong: it does not run on these shapes."
    assert answered("w1.2.1", "l1.g @ x.T").startswith(served_now)
    page.click("#equal")
    assert page.text("#own-verdict").startswith("The shape is right, and ")
    page.js("pybackprop.asks = 0; const ask = fetch; fetch = (...a) => { pybackprop.asks += 1; return ask(...a); }")
    typed(page, "l1.g @ x.T * 1")
    time.sleep(1)  # twice as long as the page waits before it asks
    assert page.js("return pybackprop.asks") == 0
    assert page.text("#own-judge") == ""
    page.click("#equal")
    assert page.until(lambda: page.text("#own-judge").startswith(served_now))
    page.js("pybackprop.app.setValue(0.5)")
    others = served_now.replace(" served:", " served, without your changes:")
    assert page.until(lambda: page.text("#own-judge").startswith(others))
    page.click("#everything")
    assert page.until(lambda: page.text("#own-judge").startswith(served_now))


def test_what_the_lessons_names_mean_is_told_to_judge():
    answers = Answers(example())
    assert answers.answer("w1", "inp.T @ out.g")["ok"] is False
    assert answers.answer("w1", "inp.T @ out.g", {"inp": "x", "out": "l1"})["ok"] is True
    assert answers.answer("w1", "inp.T @ dout", {"inp": "x", "dout": "l1", "tensor": "w1", "reveal": "1"})["ok"] is True
    assert answers.answer("w1", "inp.T @ out.g", {"inp": "x", "out": "l9"}) == {
        "error": "There is no tensor 'l9'; there are x, w1, b1, w2, b2, targ, l1, l2, out, loss."
    }


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
