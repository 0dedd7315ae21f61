"""What the benchmark shows: tables, pictures, the page of performance."""

import importlib.util

import pytest

from helpers.compile_c import ROOT
from pybackprop.bench import table
from pybackprop.cli.main import main
from pybackprop.core import units


def test_the_list(capsys):
    assert main(["bench", "--list", "--only", "BACKWARD-W"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(names) == 2
    assert all("backward-w" in name for name in names)


def test_the_tables(found, capsys):
    table.show(found)
    said = capsys.readouterr().out
    for words in (
        "FMA peak",
        "reading",
        "memory on 1 thread (GB/s, measured)",
        "matmul 8",
        "step 4x3→5→2",
        "numpy",
        found["kernel"],
        "best peer",
    ):
        assert words in said
    for seconds, words in ((2.0, "2.00 s"), (0.0123, "12.3 ms"), (0.123, "123 ms"), (4.56e-7, "0.456 µs")):
        assert units.seconds_text(seconds) == words


def test_the_page_of_performance_says_what_was_found(found):
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("make_performance", ROOT / "tools" / "make_performance.py")
    make_performance = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_performance)
    large = {**found["works"][1], "sizes": [50000, 3, 5, 2]}
    large["engines"]["pybackprop"]["memory"] = 12_340_000
    lines = make_performance.document([{**found, "works": [found["works"][0], large]}], ["p.png"]).splitlines()
    assert f"## {found['cpu']}, {found['cores']} cores, kernel {found['kernel']}" in lines
    ours = found["works"][0]["engines"]["pybackprop"]
    (row,) = (line.split(" | ") for line in lines if line.startswith("| matmul 8 |"))
    assert row[3:5] == ["pybackprop", units.seconds_text(ours["median"])]
    assert f"**{units.three_digits(ours['ratio'])}** numpy" in row
    assert any(line.startswith("| step 4x3→5→2 | 1 |") and "12.3" in line for line in lines)


def test_the_picture(found, tmp_path):
    pytest.importorskip("matplotlib")
    from pybackprop.bench import plot as picture

    picture.draw(tmp_path / "p.png", found)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    picture.draw(tmp_path / "none.png", {**found, "works": []})


def test_the_picture_of_bytes(found, tmp_path):
    """A workload bound by memory has its rate, and a limit if there is one, in GB/s."""
    pytest.importorskip("matplotlib")
    from pybackprop.bench import plot as picture

    work = found["works"][0]
    engines = {name: {**timing, "gbytes_median": 12.0} for name, timing in work["engines"].items()}
    for timing in engines.values():
        del timing["gflops_median"]
    bound = {**work, "group": "update", "flops": 0, "bytes": 100, "engines": engines}
    works = [{**bound, "peak": 20.0}, {**bound, "peak": None}]
    picture.draw(tmp_path / "bytes.png", {**found, "works": works})
    assert (tmp_path / "bytes.png").exists()


def test_the_picture_of_growth(found, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    from pybackprop.bench import plot as picture

    drawn, plot = [], Axes.plot

    def spy(axes, *given, **style):
        drawn.append(given[:2])
        return plot(axes, *given, **style)

    monkeypatch.setattr(Axes, "plot", spy)
    step = found["works"][1]
    works = [{**step, "group": "growth with rows", "sizes": [n, 3, 5, 2], "flops": n * 100} for n in (2, 8)]
    picture.draw(tmp_path / "growth.png", {**found, "works": works})
    medians = [1e3 * step["engines"][name]["median"] for name in ("numpy", "pybackprop")]
    assert drawn[:2] == [([2, 8], [ms] * 2) for ms in medians]
    assert drawn[2] == ([2, 8], [pytest.approx(n * 100 / step["peak"] / 1e6) for n in (2, 8)])
