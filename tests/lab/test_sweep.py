"""Sweeps: which points, what is written, and which differences are called real. No test asserts a time."""

import csv
import json
import random

import pytest

import pybackprop as bp
from pybackprop.cli.main import main
from pybackprop.lab.sweep import diff, grid, result, table

TINY = ["lab", "sweep", "matmul", "--shapes", "8x8x8,16x8x4", "--threads", "1", "--rounds", "3"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The result of a small sweep, with kernels and dtypes."""
    folder = tmp_path_factory.mktemp("sweep")
    arguments = [*TINY, "--kernels", ",".join(bp.kernels()[-2:]), "--dtypes", "float32,float64"]
    files = ["--out", str(folder / "a.json"), "--out", str(folder / "a.csv")]
    assert main([*arguments, *files]) == 0
    return folder


def made_up(seconds, state="quiet", burst=100.0, **changes):
    """A result with one point for each list of seconds."""
    points = []
    for number, times in enumerate(seconds):
        one = grid.Point("matmul", (8, 8, 8 + number), "float32", "generic", 1)
        points.append({**one.to_dict(), "label": one.label, "seconds": times, **changes})
    fitness = {"state": state, "usual_burst_gflops": burst, "usual_loads_gflops": burst}
    return {"schema": 1, "machine": {"cpu": "made up"}, "points": points, "fitness": fitness}


def noisy(middle, count=15, spread=0.02, seed=0):
    dice = random.Random(f"{middle} {seed}")
    return [middle * (1 + spread * dice.uniform(-1, 1)) for _ in range(count)]


# ---- points ----


def test_a_grid_has_all_combinations_in_order():
    axes = {"shape": [(8, 8, 8), (4, 4, 4)], "threads": [1, 2, 1], "depth": [8, 16]}
    points = grid.points("matmul", axes)
    assert len(points) == len(set(points)) == 8
    assert grid.varied(points) == ["shape", "threads", "depth"]
    assert all(grid.point(json.loads(json.dumps(each.to_dict()))) == each for each in points)


@pytest.mark.parametrize(
    ("op", "axes", "why"),
    [
        ("matmul", {"shape": [(8, 8)]}, "expected rows x inner x columns"),
        ("linear", {"shape": [(8, 8, 8, 8)]}, "expected n x m x h"),
        ("matmul", {"kernel": ["sse9"]}, "not among the kernels"),
        ("matmul", {"depth": [7]}, "8 to 2048"),
        ("matmul", {"block": [10**9]}, "4096 to 4194304"),
        ("matmul", {"threads": [2000]}, "1024"),
        ("matmul", {"depth": list(range(8, 2009)), "block": [4096]}, "at most 2000"),
    ],
)
def test_points_that_cannot_be(op, axes, why):
    before = bp.tiles(), bp.threads(), bp.info()["kernel"]
    with pytest.raises(ValueError, match=why):
        grid.points(op, axes)
    assert before == (bp.tiles(), bp.threads(), bp.info()["kernel"])


# ---- what is measured and written ----


def test_the_result_has_each_point_with_its_spread(found):
    got = result.read(found / "a.json")
    kernels = bp.kernels()[-2:]
    assert len(got["points"]) == 4 * len(kernels)
    for row in got["points"]:
        assert 0 < row["least"] <= row["low"] <= row["median"] <= row["high"] <= row["most"]
        assert len(row["seconds"]) == row["samples"] == 3
        n, m, h = row["shape"]
        assert row["gflops_median"] == pytest.approx(2 * n * m * h / row["median"] / 1e9)
        assert row["gflops_low"] <= row["gflops_median"] <= row["gflops_high"]
    assert got["fitness"]["looks"] > 0


def test_the_csv_is_the_same_table(found):
    got = result.read(found / "a.json")
    with (found / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["shape"] for row in rows] == ["x".join(map(str, row["shape"])) for row in got["points"]]
    assert [float(row["median"]) for row in rows] == [row["median"] for row in got["points"]]


def test_what_is_shown(found, capsys):
    table.show(result.read(found / "a.json"))
    shown = capsys.readouterr().out
    for word in ("GF/s, median", "16x8x4", "float64", "95 % of medians", "the machine is"):
        assert word in shown


def test_heat_maps_are_the_two_longest_axes(found):
    got = result.read(found / "a.json")
    maps = table.maps(got)
    assert sum(len(each.cells) for each in maps) == len(got["points"])
    assert {(each.rows, each.columns) for each in maps} == {("shape", "dtype")}


def test_the_picture_is_drawn(found, tmp_path):
    pytest.importorskip("matplotlib")
    from pybackprop.lab.sweep import plot

    for name in ("map.png", "map.svg"):
        plot.draw(tmp_path / name, result.read(found / "a.json"))
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize("op", ["linear", "backward_w", "backward_x", "step"])
def test_each_operation_can_be_swept(op, capsys):
    shape = "4x3x5x2" if op == "step" else "4x3x5"
    assert main(["lab", "sweep", op, "--shapes", shape, "--rounds", "1", "--threads", "1", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["points"]) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--out", "a.txt"], "ends in .json or .csv"),
        (["--out", "none/a.json"], "no folder"),
        (["--plot", "a.txt"], "expected a name that ends in"),
        (["--threads", "1000"], "may use"),
        (["--shapes", "1000000x1000000x1000000"], "are free"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured(arguments, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pybackprop.lab.measuring.run", lambda *_: pytest.fail("measured"))
    assert main([*TINY, *arguments]) == 1
    assert why in capsys.readouterr().err


# ---- differences ----


def test_a_real_difference_is_found_and_the_exit_code_says_so(tmp_path, capsys):
    for name, times in {"a": [noisy(1.0), noisy(2.0)], "b": [noisy(1.1), noisy(2.0, seed=1)]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(made_up(times)))
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    assert main(["lab", "diff", a, b, "--json"]) == 1
    assert [row["verdict"] for row in json.loads(capsys.readouterr().out)["points"]] == ["slower", "not shown"]
    assert main(["lab", "diff", b, a]) == 1
    shown = capsys.readouterr().out
    assert "faster" in shown
    assert "1 of 2 differences are real" in shown
    assert main(["lab", "diff", a, a]) == 0


def test_noise_alone_is_seldom_called_real():
    """100 sweeps of ten points each against another of the same machine: false alarms in about 1 % at most."""
    alarms = 0
    for trial in range(100):
        pair = [made_up([noisy(1.0, seed=f"{side} {trial} {k}") for k in range(10)]) for side in "ab"]
        alarms += diff.compare(*pair)["real"] > 0
    assert alarms <= 4


def test_overlapping_intervals_are_not_real_whatever_the_ranks_say():
    a, b = [float(k) for k in range(100)], [k + 25.0 for k in range(100)]
    row = diff.compare(made_up([a]), made_up([b]))["points"][0]
    assert row["chance"] < 0.01
    assert row["a"]["high"] < row["b"]["low"] or row["verdict"] == "not shown"


def test_too_few_samples_to_show_anything_are_said():
    found = diff.compare(made_up([[1.0, 1.1, 1.2]]), made_up([[9.0, 9.1, 9.2]]))
    assert found["real"] == 0
    assert "use more --rounds" in " ".join(found["notes"])
    assert "--rounds" not in " ".join(diff.compare(made_up([noisy(1.0)]), made_up([noisy(2.0)]))["notes"])


def test_a_machine_that_was_different_is_said():
    one, other = made_up([noisy(1.0)]), made_up([noisy(1.4)], state="disturbed", burst=70.0)
    other["machine"] = {"cpu": "another"}
    notes = " ".join(diff.compare(one, other)["notes"])
    for words in ("different machines", "43% here", "was disturbed"):  # 1.4 times as long, and 1.43 times as slow
        assert words in notes


@pytest.mark.parametrize(
    ("state", "burst", "ratio", "verdict"),
    [
        ("quiet", 100.0, 1.05, "slower"),
        ("quiet", 100.0, 1.015, "unclear"),
        ("busy", 100.0, 1.05, "unclear"),
        ("busy", 100.0, 0.8, "faster"),
        ("quiet", 94.0, 1.05, "unclear"),
        ("quiet", 94.0, 1.2, "slower"),
    ],
)
def test_what_the_machine_may_have_changed_is_not_called_real(state, burst, ratio, verdict):
    one, other = made_up([noisy(1.0, spread=0.002)]), made_up([noisy(ratio, spread=0.002)], state, burst)
    found = diff.compare(one, other)
    assert found["points"][0]["verdict"] == verdict
    assert found["real"] == (verdict != "unclear")
    assert ("unclear: " in " ".join(found["notes"])) == (verdict == "unclear")


def test_points_of_one_result_only_are_listed():
    one, other = made_up([noisy(1.0), noisy(1.0)]), made_up([noisy(1.0)])
    found = diff.compare(one, other)
    assert len(found["only_in_a"]) == 1
    assert not found["only_in_b"]
    other["points"][0]["dtype"] = "float64"
    with pytest.raises(ValueError, match="no point in common"):
        diff.compare(one, other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"points": []}',
        '{"points": [1], "schema": 1}',
        json.dumps({**made_up([[1.0]]), "schema": 2}),
        json.dumps(made_up([[]])),
        json.dumps(made_up([[-1.0]])),
        json.dumps(made_up([["fast"]])),
        json.dumps(made_up([[1.0]], op="conv")),
        json.dumps(made_up([[1.0]], shape="8x8")),
        json.dumps(made_up([[float("nan")]])),
        "[" * 100_000,
    ],
)
def test_files_that_are_no_results(text, tmp_path, capsys):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(made_up([[1.0]])))
    bad.write_text(text)
    assert main(["lab", "diff", str(good), str(bad)]) == 1
    assert str(bad) in capsys.readouterr().err
