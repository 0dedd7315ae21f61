"""`pybackprop memory`: tables, JSON, pictures, the tour, and what it says of bad input."""

import json
import re
import time

import pytest

import pybackprop as bp
from helpers.compile_c import ROOT
from pybackprop.cli.main import main
from pybackprop.core.units import parse_bytes
from pybackprop.memory import schemes
from pybackprop.teach.learn import memory_tour

pytestmark = pytest.mark.usefixtures("usual_tiles")

DOC = (ROOT / "docs" / "memory.md").read_text()


@pytest.fixture
def memory(capsys):
    """What `memory` prints for these options."""

    def run(*options, code=0):
        assert main(["memory", *map(str, options)]) == code
        printed = capsys.readouterr()
        return printed.out if code == 0 else printed.err

    return run


def test_it_prints_the_lessons_step(memory):
    said = memory("--layers", "784,50,1", "--batch", 50000)
    (first,) = (line for line in said.splitlines() if line.startswith("lesson, first version"))
    assert "7.88 GB" in first
    assert "7.84 GB" in said
    assert re.search(r"^plan +\d(\.\d+)? MB", said, re.MULTILINE)
    for scheme in schemes.SCHEMES:
        assert f"\n{scheme.title}" in said
    assert "50,000 rows of 784→50→1, float32" in said


def test_that_is_what_it_prints_without_options(memory):
    assert without_what_fits(memory()) == without_what_fits(memory("--layers", "784,50,1", "--batch", 50000))


def without_what_fits(said):
    return [line[:60] for line in said.splitlines()]


def test_a_prediction_is_quick(memory):
    began = time.process_time()
    assert json.loads(memory("--batch", 10**12, "--json"))["ways"][0]["predicted"] > 10**17
    assert time.process_time() - began < 20


def test_as_json(memory):
    found = json.loads(memory("--layers", "30,20,3", "--batch", 1000, "--memory", "100MB", "--json"))
    assert (found["layers"], found["batch"], found["dtype"], found["memory"]) == ([30, 20, 3], 1000, "float32", 10**8)
    assert [way["name"] for way in found["ways"]] == schemes.NAMES
    alternatives = bp.mlp([30, 20, 3]).memory(1000).alternatives
    fits = bp.fits(bp.mlp([30, 20, 3]), memory="100MB")
    for way in found["ways"]:
        assert way["predicted"] == alternatives[way["name"]].peak
        assert way["fits"] == fits[way["name"]]
        assert way["measured"] is None
        assert way["largest_buffer_bytes"] > 0
    assert found["held"] == {"data": 1000 * 33 * 4, "parameters": 2732, "gradients": 2732}


def test_double_takes_twice_as_much(memory):
    one, two = (json.loads(memory("--dtype", name, "--json")) for name in ("float32", "float64"))
    assert two["ways"][0]["predicted"] == 2 * one["ways"][0]["predicted"]


def test_measured_beside_predicted(memory):
    found = json.loads(memory("--layers", "60,80,2", "--batch", 20000, "--measure", "--json"))
    measured = {way["name"]: way["measured"] for way in found["ways"]}
    if measured["functions"] is None:
        pytest.skip("this system does not tell what is resident")
    for way in found["ways"]:
        assert (way["measured"] is None) == bool(way["why_not"])
    for name in ("first", "matmul", "functions", "inplace", "model", "plan_split"):
        predicted = next(way["predicted"] for way in found["ways"] if way["name"] == name)
        assert abs(measured[name] - predicted) <= max(2 * 10**6, 0.05 * predicted)


def test_the_table_says_what_was_not_measured_and_why(memory, monkeypatch):
    monkeypatch.setattr("pybackprop.core.available_memory.available", lambda: 10**6)
    said = memory("--batch", 1000, "--measure")
    assert "lesson, first version: not measured, it needs" in said
    assert "1 MB are available" in said


@pytest.mark.parametrize("name", schemes.NAMES)
def test_one_way_buffer_by_buffer(memory, name):
    said = memory("--way", name, "--layers", "30,20,3", "--batch", 100)
    assert "created by" in said
    assert "peak:" in said
    found = json.loads(memory("--way", name, "--layers", "30,20,3", "--batch", 100, "--json"))
    assert found["buffers"]


def test_list_names_the_ways(memory):
    assert [line.split()[0] for line in memory("--list").splitlines()] == schemes.NAMES


@pytest.mark.parametrize("options", [(), ("--way", "torch")])
def test_plot_draws(memory, tmp_path, options):
    pytest.importorskip("matplotlib")
    for suffix in ("png", "svg", "pdf"):
        memory("--plot", tmp_path / f"memory.{suffix}", "--batch", 100, *options)
        assert (tmp_path / f"memory.{suffix}").stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--layers", "784"), "at least two sizes"),
        (("--layers", "99999999999,5"), "whole number from 1"),
        (("--way", "magic"), "'magic', expected one of first"),
        (("--memory", "lots"), "expected bytes"),
        (("--plot", "there/is/none.png"), "no folder"),
        (("--plot", "x.gif"), r"\.png"),
    ],
)
def test_bad_input_is_told(memory, options, words):
    assert re.search(words, memory(*options, code=1))


@pytest.mark.parametrize("options", [("--batch", "0"), ("--batch", "x"), ("--layers", "5,x"), ("--dtype", "int8")])
def test_wrong_usage_ends_with_2(options, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["memory", *options])
    assert caught.value.code == 2
    assert "memory" in capsys.readouterr().err


def test_the_documents_table_is_what_is_predicted():
    """Up to what products pack, which depends on the machine's cache and cores."""
    section = DOC.split("## The lesson's step")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("|")][2:]
    names = ["first", "matmul", "functions", "inplace", "model", "model_inplace", "plan_fused", "numpy", "torch"]
    ledgers = bp.mlp([784, 50, 1]).memory(50_000).alternatives
    for name, (_, predicted, measured, _) in zip(names, rows, strict=True):
        told, found = parse_bytes(predicted), parse_bytes(measured)
        assert abs(told - ledgers[name].peak) <= max(2 * 10**6, 0.05 * told), name
        if name != "numpy":
            assert abs(told - found) <= max(10**6, 0.05 * told), name


# ---- the tour ----


def test_the_document_has_the_tour(memory):
    (shown,) = re.findall(r"```text\n(When can each value.*?)```", DOC, re.DOTALL)
    assert shown == memory("--tour")


def test_the_tour_tells_the_truth():
    """Its gradients are those of the tape, bit for bit; and what can be freed is not read by any later step."""
    found = list(memory_tour.moments())
    w1, b1, w2, b2 = (bp.param(value, name=name) for name, value in memory_tour.PARAMETERS.items())
    bp.mse(bp.relu(bp.tensor(memory_tour.X) @ w1 + b1) @ w2 + b2, bp.tensor(memory_tour.TARG)).backward()
    numbers = {name: value for moment in found for name, value in moment.numbers.items()}
    for p in (w1, b1, w2, b2):
        assert numbers[f"{p.name}.g"] == p.g.tolist()
    for moment in found:
        for buffer in moment.buffers:
            later = [act.code for act in memory_tour.ACTS[moment.number :] if buffer["holds"] in act.reads]
            assert buffer["needed_by"] == later
            assert ("can be freed" in buffer["why"]) <= (not later)


def test_in_the_tour_nothing_is_read_that_was_overwritten():
    owner, inside = {}, {}
    for act in memory_tour.ACTS:
        for name in act.reads:
            if name in owner:
                assert inside[owner[name]] == name
        for name in act.writes:
            owner[name] = owner[act.over] if act.over else name
            inside[owner[name]] = name


def test_x_stays_until_the_last_step():
    *before, last = memory_tour.moments()
    for moment in before:
        (x,) = (buffer for buffer in moment.buffers if buffer["buffer"] == "x")
        assert last.code in x["needed_by"]
    assert max(moment.nbytes for moment in (*before, last)) == 44


def test_the_tour_as_json(memory):
    found = json.loads(memory("--tour", "--json"))
    assert [moment["number"] for moment in found["moments"]] == list(range(1, 9))
    assert found["moments"][1]["numbers"] == {"l2": [[2.5, 2.0], [0.0, 1.0]]}


def test_the_documents_blocks_run(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", DOC, re.DOTALL):
        exec(compile(block, "memory.md", "exec"), names)
    assert "peak:" in capsys.readouterr().out
