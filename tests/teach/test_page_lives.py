"""The page in a browser: how long each value is needed in a step of training."""

import pytest

from helpers.scenes import example

pytestmark = pytest.mark.browser

LIVES = """const rows = pybackprop.lives(pybackprop.app.net, arguments[0]);
return [rows.map(({names, size, cells}) => [names, size, cells]), pybackprop.heldAt(rows)];"""

MOMENTS = [
    "l1 = lin",
    "l2 = relu",
    "out = lin",
    "loss = mse",
    "mse_grad",
    "lin_grad",
    "relu_grad",
    "lin_grad",
    "update",
]


def lives(page, inplace=False):
    rows, held = page.js(LIVES, inplace)
    return {tuple(names): (size, cells) for names, size, cells in rows}, held


def test_each_value_is_kept_from_its_making_to_its_last_reader(page):
    page.open(example())
    rows, _ = lives(page)
    assert page.js("return pybackprop.steps(pybackprop.app.net, false).map(m => m.head)") == MOMENTS
    assert rows[("l1",)][1] == ["made", "read", "kept", "kept", "kept", "kept", "read", "", ""]
    assert rows[("l2",)][1] == ["", "made", "read", "kept", "kept", "read", "", "", ""]
    assert rows[("x",)][1] == ["read", "kept", "kept", "kept", "kept", "kept", "kept", "read", ""]
    assert rows[("w1",)][1] == ["read", "kept", "kept", "kept", "kept", "kept", "kept", "read", "new"]
    assert rows[("out.g",)][1] == ["", "", "", "", "made", "read", "", "", ""]
    assert rows[("l2.g",)][1] == ["", "", "", "", "", "made", "read", "", ""]
    assert rows[("w2.g",)][1] == ["", "", "", "", "", "made", "kept", "kept", "read"]
    assert rows[("x.g",)][1] == ["", "", "", "", "", "", "", "made", ""]


@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 4, 5, 6, 2)])
def test_nothing_is_read_before_it_is_made_or_after_it_is_forgotten(page, shape):
    page.open(example(shape))
    moments = page.js("return pybackprop.steps(pybackprop.app.net, false)")
    for inplace in (False, True):
        rows, held = lives(page, inplace)
        where = {name: cells for names, (_, cells) in rows.items() for name in names}
        for at, moment in enumerate(moments):
            assert all(where[name][at] for name in moment["reads"] + moment["writes"]), moment
        assert held == [sum(size for size, cells in rows.values() if cells[at]) for at in range(len(moments))]


def test_in_place_two_gradients_share_a_buffer_and_less_is_held(page):
    page.open(example())
    rows, held = lives(page, inplace=True)
    assert rows[("l2.g", "l1.g")][1] == ["", "", "", "", "", "made", "made", "read", ""]
    before = lives(page)[1]
    assert before[6] - held[6] == 8  # l1.g is 4 x 2
    assert all(a >= b for a, b in zip(before, held, strict=True))


def test_the_table_follows_the_step(page):
    page.open(example(), "#step=6&show=step")
    shown = page.js("return [...document.querySelectorAll('#lives thead .now')].map(th => th.textContent)")
    assert shown == ["backward lin_grad"]
    _, held = lives(page)
    at = held.index(max(held))
    assert page.text("#lives-most").startswith(
        f"The most at once: {max(held)} numbers, {4 * max(held)} bytes, at operation {at + 1}, {MOMENTS[at]}"
    )
    page.click("#inplace")
    assert "l2.g, l1.g" in page.text("#lives")
