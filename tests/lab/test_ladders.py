"""Every rung of every ladder has the definition's bits; what the ladder reports."""

import json

import numpy as np
import pytest

from helpers.compile_c import ROOT, compilers
from pybackprop.cli.main import main
from pybackprop.lab import cases, climb, compiler, ladders
from pybackprop.lab.process import Process

pytestmark = pytest.mark.skipif(not compilers(), reason="no compiler")
SMALL = {"matmul": (40, 30, 50), "linear": (40, 30, 50), "backward_w": (600, 30, 20), "step": (600, 30, 20)}


@pytest.fixture(scope="module")
def report():
    """A ladder, climbed once for the tests that look at its report."""
    return climb.climb(ladders.LADDERS["step"], SMALL["step"], 1, 2)


OTHERS = [pytest.param(cc, marks=pytest.mark.compilers) for cc in compilers()[1:]]


@pytest.mark.parametrize("cc", [*compilers()[:1], *OTHERS])
@pytest.mark.parametrize("name", ladders.LADDERS)
def test_every_rung_is_bit_equal(tmp_path, monkeypatch, cc, name):
    """On all shapes and special values of the operation, with threads in the smallest product."""
    monkeypatch.setenv("CC", cc)
    ladder = ladders.LADDERS[name]
    this = climb.Climb(ladder, ladder.op.named(SMALL[name]), 3, tmp_path, lambda text: None, ("-DLEAST=1",))
    assert set(this.compiled(compiler.find()).values()) == {""}
    with Process(3, None, tmp_path) as process:
        for rung in ladder.rungs:
            assert this.check(rung, process) == [], rung.name


def test_a_compiler_without_this_cpus_instructions_and_without_openmp(tmp_path, monkeypatch):
    """Vectors of four, and one thread: the same bits."""
    refuse = 'for f in "$@"; do case $f in -march=*|-mcpu=*|-fopenmp) echo no $f >&2; exit 1;; esac; done'
    path = tmp_path / "my-cc"
    path.write_text(f'#!/bin/sh\n{refuse}; exec {compilers()[0]} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    for name, ladder in ladders.LADDERS.items():
        report = climb.climb(ladder, SMALL[name], 2, 1)
        assert "-march" not in report["compiler"]
        assert climb.is_right(report), [row.get("why") or row.get("wrong") for row in report["rungs"]]


def test_a_wrong_rung_would_be_noticed(tmp_path, monkeypatch):
    """Tiles that round products before they are added; sparse has none, but where b is not finite."""
    folder = tmp_path / "rungs"
    folder.mkdir()
    for path in ladders.FOLDER.iterdir():
        text = path.read_text().replace("fma_vec(x, left, sum[r][0])", "x * left + sum[r][0]")
        text = text.replace("fma_vec(x, right, sum[r][1])", "x * right + sum[r][1]")
        (folder / path.name).write_text(text)
    monkeypatch.setattr(climb, "FOLDER", folder)
    report = climb.climb(ladders.LADDERS["matmul"], SMALL["matmul"], 1, 1)
    wrong = {row["name"] for row in report["rungs"] if row["rung"] and not row["bit_equal"]}
    assert wrong == {"tile", "packed", "kept", "fetched", "prefetch", "threads", "lists", "masks"}
    assert not climb.is_right(report)
    reasons = [text for row in report["rungs"] for text in row.get("wrong", [])]
    assert sum("each product is rounded before it is added" in text for text in reasons) == 6


def test_the_report(report):
    rows = {row["name"]: row for row in report["rungs"]}
    assert [row["name"] for row in report["rungs"]][-2:] == ["pybackprop", "numpy"]
    assert len([row for row in rows.values() if row["rung"]]) >= 10
    assert climb.is_right(report)
    before = None
    for row in rows.values():
        assert row["least"] <= row["median"] <= row["most"]
        assert len(row["seconds"]) == row["samples"] == 2
        assert row["gflops"] == pytest.approx(report["flops"] / row["median"] / 1e9)
        assert row["percent_of_peak"] == pytest.approx(100 * row["gflops"] / report["peak"])
        if row["rung"]:
            assert row["moved"] > 0
            assert row["about"].endswith(".")
            assert row["speedup"] == (before and pytest.approx(before / row["median"]))
            before = row["median"]


def test_what_is_moved(report):
    """Counted by hand for the naive loop: two floats for each multiply-add."""
    assert report["rungs"][0]["moved"] == report["flops"] / 2 * 2 * 4


def test_the_command(capsys):
    assert main(["lab", "ladder", "linear", "--size", "40,30,50", "--rounds", "1", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    for word in ("naive", "masks", "fused", "pybackprop", "numpy", "GF/s", "FMA peak", "speed-up", "equal", "█"):
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 140


def test_json_and_a_plot(report, capsys, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(climb, "climb", lambda *_: report)
    assert main(["lab", "ladder", "step", "--json", "--plot", str(tmp_path / "ladder.png")]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(report))
    assert (tmp_path / "ladder.png").read_bytes()[:4] == b"\x89PNG"


def test_what_could_not_be_timed_is_left_out(report, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    less = {**report, "rungs": [{**row} for row in report["rungs"]]}
    for row in less["rungs"][:3]:
        row |= {"why": "the compiler said no", "bit_equal": False}
        del row["median"]
    monkeypatch.setattr(climb, "climb", lambda *_: less)
    assert main(["lab", "ladder", "step", "--plot", str(tmp_path / "some.png")]) == 1
    assert "naive: not timed, the compiler said no" in capsys.readouterr().out


@pytest.mark.parametrize(
    "rung", [*sorted({rung.name for rung in ladders.RUNGS}), *ladders.LADDERS, "packed.h", "vectors.h"]
)
def test_the_source_of_a_rung(capsys, rung):
    assert main(["lab", "show", rung]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("/* ")
    assert rung.partition(".")[0] in shown


def test_an_unknown_rung(capsys):
    assert main(["lab", "show", "pcked"]) == 1
    assert "expected one of naive, broadcast" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "8,8"], "expected 3 sizes, rows,inner,cols"),
        (["--size", "10000000"], "take smaller sizes"),
        (["--plot", "ladder.xyz"], "expected a name that ends in .png"),
    ],
)
def test_what_it_refuses(capsys, options, words):
    assert main(["lab", "ladder", *options]) == 1
    assert words in capsys.readouterr().err


def test_wrong_usage():
    for options in (["division"], ["--size", "x"], ["--rounds", "0"]):
        with pytest.raises(SystemExit) as end:
            main(["lab", "ladder", *options])
        assert end.value.code == 2


def test_a_rung_that_does_not_compile_is_left_out(monkeypatch):
    rung = ladders.Rung("broken", "nowhere.c", "It does not exist.", lambda tile: 1)
    monkeypatch.setattr(ladders, "RUNGS", (*ladders.RUNGS[:1], rung))
    report = climb.climb(ladders.LADDERS["matmul"], (8, 8, 8), 1, 1)
    assert "nowhere.c" in report["rungs"][1]["why"]
    assert not climb.is_right(report)


def test_the_tutorial_has_a_section_for_each_rung_with_an_exercise():
    page = (ROOT / "docs" / "lab.md").read_text("utf-8")
    sections = {part.split("\n")[0].split()[-1]: part for part in page.split("\n### ")[1:]}
    for rung in ladders.RUNGS:
        assert "**Exercise.**" in sections[rung.name], rung.name


def test_the_data_has_as_many_zeros_as_is_said():
    op = ladders.LADDERS["linear"].op
    x = cases.timed_inputs(op, op.named((200, 100, 5)), "float32", ladders.ZEROS)["x"]
    assert np.mean(x == 0) == pytest.approx(ladders.ZEROS, abs=0.01)
