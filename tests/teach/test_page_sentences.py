"""Every sentence that the page can say of a network is true of its numbers, which numpy computes here again."""

import re

import numpy as np
import pytest

from helpers.page_browser import MINUS, TIMES
from helpers.scenes import pair
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser

SHAPES = [((4, 3, 2), 5), ((3, 3), 3), ((1, 4, 1), 1), ((2, 5, 3, 2), 3)]


@pytest.fixture(params=SHAPES, ids=str)
def scene(request, rng):
    widths, n = request.param
    return scene_of(*pair(rng, *widths, n=n, dtype=np.float64))


def output(layer, values):
    x = values[layer["in"]]
    if layer["op"] == "relu":
        return np.maximum(x, 0)
    if layer["op"] == "mse":
        return ((x - values[layer["targ"]]) ** 2).mean()
    return x @ values[layer["w"]] + (0 if layer["b"] is None else values[layer["b"]])


def reader_of(scene, name):
    """The layer that reads a tensor."""
    return next(layer for layer in scene.layers if name in [layer.get(slot) for slot in ("in", "w", "b", "targ")])


def moved(scene, name, at, by):
    """By how much the next tensor moves, per unit of the element's change."""
    values = {each: data.astype(float).copy() for each, (data, _) in scene.tensors.items()}
    layer = reader_of(scene, name)
    before = output(layer, values)
    values[name][at] += by
    return layer["out"], (output(layer, values) - before) / by


def column(out, j, factors):
    wanted = np.zeros_like(out)
    wanted[:, j] = factors
    return wanted


def row(out, i, factors):
    wanted = np.zeros_like(out)
    wanted[i] = factors
    return wanted


def factors(text, values):
    """The factors of what moves; text: what is said of those that are 0."""
    zeros = int((values == 0).sum())
    if zeros == 0 or len(values) == 1:
        assert text == ""
    else:
        wanted = "all of them: now nothing moves" if zeros == len(values) else f"{zeros} of the {len(values)}"
        assert text == f", which is 0 in {wanted}"
    return values


def claim(scene, said, by):
    """(name of what moves, by how much per unit), as a sentence says it."""
    data = {name: values.astype(float) for name, (values, _) in scene.tensors.items()}
    called = r"(\w+)((?:\[[\d,]+\])?)"
    zeros = r"((?:, which is 0 in .+)?)"
    in_rows = "in its only row" if scene.n == 1 else f"in all {scene.n} rows"
    if found := re.fullmatch(
        rf"{called} moves column (\d+) of (\w+), {in_rows}: row i by (\w+)\[i,(\d+)\] times as much{zeros}\.", said
    ):
        _, _, j, out, x, k, stopped = found.groups()
        return out, column(data[out], int(j), factors(stopped, data[x][:, int(k)]))
    if found := re.fullmatch(
        rf"{called} moves column (\d+) of (\w+), {in_rows}, by as much as itself: it was broadcast over the rows\.",
        said,
    ):
        _, _, j, out = found.groups()
        return out, column(data[out], int(j), 1)
    if found := re.fullmatch(
        rf"{called} moves row (\d+) of (\w+), (.+): column j by (\w+)\[(\d+),j\] times as much{zeros}\.", said
    ):
        _, _, i, out, columns, w, k, stopped = found.groups()
        assert columns == ("its only column" if data[out].shape[1] == 1 else "every column")
        return out, row(data[out], int(i), factors(stopped, data[w][int(k)]))
    if found := re.fullmatch(
        rf"{called} is positive, so it moves (\w+)\[(\d+),(\d+)\] and nothing else, by as much as itself\.", said
    ):
        _, _, out, i, j = found.groups()
        return out, row(data[out], int(i), np.arange(data[out].shape[1]) == int(j))
    if found := re.fullmatch(rf"{called} is not positive, so (\w+)\[(\d+),(\d+)\] stays 0 and nothing moves\.", said):
        _, _, out, i, j = found.groups()
        assert data[out][int(i), int(j)] == 0
        return out, np.zeros_like(data[out])
    found = re.fullmatch(rf"(\w+)\[(\d+),(\d+)\] moves only the loss, by 2 \((\w+) {MINUS} (\w+)\) / (\d+)\.", said)
    assert found, said
    name, i, j, own, other, size = found.groups()
    assert name == own
    slope = 2 * (data[own] - data[other])[int(i), int(j)] / int(size)
    return "loss", np.array(slope + by / int(size))  # the mean of a square is curved


SENTENCES = """const {net, run} = pybackprop.app;
return [...net.tensors.values()].filter(({role}) => role !== "loss").flatMap(({name, rows, columns}) =>
  Array.from({length: rows * columns}, (_, at) => [name, at, pybackprop.sentence(
    net, run.values, {name, row: Math.floor(at / columns), column: at % columns})]));"""


def test_what_an_element_moves_is_what_moves(page, scene):
    page.open(scene)
    by = 1e-6
    found = page.js(SENTENCES)
    assert len(found) == sum(data.size for name, (data, _) in scene.tensors.items() if name != "loss")
    for name, flat, said in found:
        at = np.unravel_index(flat, scene.tensors[name][0].shape)
        assert said.startswith(f"{name}[{','.join(map(str, at))}] "), said
        out, wanted = claim(scene, said, by)
        moves, how_much = moved(scene, name, at, by)
        assert out == moves, said
        np.testing.assert_allclose(wanted, how_much, rtol=0, atol=1e-7, err_msg=said)


# ---- products ----

PRODUCTS = """const {net, run} = pybackprop.app;
return net.layers.flatMap(layer => pybackprop.kindsOf(layer).flatMap(kind =>
  pybackprop.formLabels(layer, kind).map((label, form) => {
    const product = pybackprop.product(net, run, layer, kind, form);
    return [label, kind, pybackprop.resultName(layer, kind), layer, pybackprop.verdict(product, {row: 0, column: 0})];
  })));"""


def computed(scene, label):
    """numpy's value of a product as the page writes it; None where the shapes do not fit."""
    names = {name: data for name, (data, _) in scene.tensors.items()}
    names |= {f"{name}_g": g for name, (_, g) in scene.tensors.items() if g is not None}
    code = label.replace(".g", "_g").replace(MINUS, "-").replace("2 (", "2 * (").replace("size", str(names["out"].size))
    try:
        return eval(code, {}, names)
    except ValueError:
        return None


def wanted_of(scene, kind, name, layer):
    data, g = scene.tensors[name]
    if kind == "forward":
        return data - (0 if layer["b"] is None else scene.tensors[layer["b"]][0])
    if kind == "targ":
        return -scene.tensors[layer["in"]][1]
    return g


def test_a_verdict_on_a_product_is_what_numpy_finds(page, scene):
    page.open(scene)
    accidents = 0
    for label, kind, name, layer, verdict in page.js(PRODUCTS):
        made, wanted = computed(scene, label), wanted_of(scene, kind, name, layer)
        said = verdict["text"]
        if made is None:
            a, b = re.findall(r"is (\d+) . (\d+)", said)
            assert f"the inner dimensions, {a[1]} and {b[0]}, do not fit" in said, label
            assert a[1] != b[0]
        elif made.shape != wanted.shape:
            rows, columns = wanted.shape
            assert said.startswith(f"It runs, but gives {made.shape[0]} {TIMES} {made.shape[1]}, and "), label
            assert re.search(rf" is {rows} {TIMES} {columns}(\.$|: this is the right answer transposed)", said), label
            if "transposed" in said:
                np.testing.assert_allclose(made.T, wanted, rtol=1e-10, atol=1e-12, err_msg=label)
            else:
                assert made.shape != wanted.shape[::-1] or not np.allclose(made.T, wanted), label
        elif verdict["ok"]:
            np.testing.assert_allclose(made, wanted, rtol=1e-10, atol=1e-12, err_msg=label)
        else:
            accidents += 1
            assert "by accident" in said, label
            assert made.size == 1 or not wanted.any() or not np.allclose(made, wanted), label
            if "transposed" in said:
                np.testing.assert_allclose(made.T, wanted, rtol=1e-10, atol=1e-12, err_msg=label)
            else:
                check_accident(scene, label, said, name, kind, layer)
    assert accidents or len(set(scene.tensors["w1"][0].shape)) > 1


def check_accident(scene, label, said, name, kind, layer):
    """Element [0,0] depends on exactly what the sentence says, and what it should be is made of what it says."""
    operands = re.findall(r"(row|column) 0 of (\w+(?:\.g)?)", said.split(", but ")[0])
    assert len(operands) == 2, said
    for axis, operand in operands:
        called, is_gradient = operand.removesuffix(".g"), operand.endswith(".g")
        data, g = scene.tensors[called]
        for at in np.ndindex(data.shape):
            tensors = dict(scene.tensors)
            other = (g if is_gradient else data).copy()
            other[at] += 1
            tensors[called] = (data, other) if is_gradient else (other, g)
            changes = computed(Changed(tensors), label)[0, 0] != computed(scene, label)[0, 0]
            assert not changes or at[0 if axis == "row" else 1] == 0, said
    x, w, out = layer["in"], layer.get("w"), layer["out"]
    right = {"w": f"column 0 of {x} and column 0 of {out}.g", "x": f"row 0 of {out}.g and row 0 of {w}"}
    if kind in right:
        assert said.endswith(f"it needs {right[kind]}."), said
    else:
        assert said.endswith(f"{name}[0,0] needs row 0 of {layer['in']} and column 0 of {layer['w']}."), said


class Changed:
    def __init__(self, tensors):
        self.tensors = tensors


# ---- the step of training ----


def listed(text):
    """The names in "a, b and c"."""
    return text.replace(" and ", ", ").split(", ")


@pytest.mark.parametrize("inplace", [False, True])
def test_what_is_said_of_a_step_is_what_it_reads_and_what_later_steps_need(page, scene, inplace):
    page.open(scene)
    found = page.js(
        """const {net} = pybackprop.app;
        const steps = pybackprop.steps(net, arguments[0]);
        const rows = pybackprop.lives(net, arguments[0]);
        return steps.map(({reads, writes, over, phase, call}, k) => [reads, writes, over, phase, call,
          pybackprop.stepWords(steps, k + 1), pybackprop.endingWith(rows, k + 1, net.layers.at(-1).out)]);""",
        inplace,
    )
    there = set(scene.leaves())
    parameters = {layer[slot] for layer in scene.layers for slot in ("w", "b") if layer.get(slot)}
    ended = set()
    for at, (reads, writes, over, phase, call, said, ends) in enumerate(found):
        assert set(reads) <= there, call
        assert not set(reads) & ended, call
        there |= set(writes)
        ended |= {*ends, over}
        later = {name for step in found[at + 1 :] for name in step[0]}
        assert not (set(ends) & (later | parameters)), call
        assert said.startswith(f"Step {at + 1} of {len(found)}, "), said
        if phase == "update":
            continue
        before, after = said.split(" reads ")[1].split(" and writes ")
        after, *onto = after.removesuffix(".").split(" over ")
        assert listed(before) == reads, said
        assert listed(after) == writes, said
        assert onto == ([f"{over}, in the same storage"] if over else []), said
    assert there - ended - parameters <= {"loss"} | {f"{name}.g" for name in parameters}
