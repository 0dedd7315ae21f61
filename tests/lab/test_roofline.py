"""The roof, and a model's operations under it. No test asserts a time."""

import json

import pytest

import pybackprop as bp
from pybackprop.cli.main import main
from pybackprop.lab import measuring
from pybackprop.lab.machine import measure, store
from pybackprop.lab.roofline import roof

LEVELS = [roof.Level("L1", 1000, 400.0), roof.Level("L2", 10_000, 100.0), roof.Level("memory", None, 10.0)]
ROOF = roof.Roof(800.0, LEVELS)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A report of this machine, kept where the commands look for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        report = measuring.run("machine", measure.thread_counts()[-1], {"rounds": 2})
        assert store.write(report) == ""
        yield report


@pytest.mark.parametrize(
    ("flops", "size", "reachable", "bound"),
    [
        (4000, 1000, 800.0, "compute"),  # 4 operations a byte x 400
        (1000, 1000, 400.0, "L1"),
        (2000, 2000, 100.0, "L2"),
        (20_000, 20_000, 10.0, "memory"),
        (20_000_000, 20_000, 800.0, "compute"),
    ],
)
def test_what_can_be_reached(flops, size, reachable, bound):
    assert ROOF.reachable(flops, size) == pytest.approx(reachable)
    assert ROOF.bound(flops, size) == bound


def test_the_place_and_the_advice():
    row = {"name": "a", "flops": 4e9, "bytes": 1e9, "median": 1.0, "low": 0.5, "high": 2.0}
    over = roof.Roof(800e9, [roof.Level("memory", None, 10e9)])
    placed = roof.placed(row, over)
    assert (placed["intensity"], placed["bound"], placed["part"]) == (4.0, "memory", pytest.approx(0.1))
    assert (placed["gflops"], placed["gflops_low"], placed["gflops_high"]) == (4.0, 2.0, 8.0)
    assert "20x the operations per byte" in placed["advice"]  # 80 are needed, at 10 GB/s for 800 GF/s
    assert "100 ms at the roof" in placed["advice"]
    fast = roof.placed({**row, "bytes": 1e6, "median": 0.0051}, over)
    assert "nothing but fewer operations" in fast["advice"]
    assert "better kernel" in roof.placed({**row, "bytes": 1e6}, over)["advice"]
    assert "the call costs more" in roof.placed({**row, "flops": 10, "bytes": 10}, over)["advice"]


def test_the_roof_of_a_report(machine):
    kernel, most = bp.kernels()[-1], measure.thread_counts()[-1]
    one, all_, more = (roof.roof(machine, kernel, "float32", n) for n in (1, most, 3 * most))
    assert one.peak == pytest.approx(more.peak / (3 * most))  # not measured with so many: from one
    assert [level.name for level in all_.levels][-1] == "memory"
    assert all(level.holds is not None for level in all_.levels[:-1])
    with pytest.raises(ValueError, match="was not measured"):
        roof.roof(machine, "sse9", "float32", 1)


def test_all_operations_of_a_step(machine, capsys):
    arguments = ["--sizes", "5,4,3", "--batch", "7", "--rounds", "2", "--threads", "1"]
    assert main(["lab", "roofline", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["operations"]}
    assert list(rows) == [
        *("1: x @ w + b", "1: Relu()", "2: x @ w + b", "mse"),
        *("2: dw = x.T @ dout", "2: dx = dout @ w.T", "1: dw = x.T @ dout"),
        *("update: p - lr p.g", "the whole step, a plan"),
    ]
    assert rows["1: x @ w + b"]["flops"] == 2 * 7 * 5 * 4
    assert rows["1: x @ w + b"]["bytes"] == 4 * (7 * 5 + 5 * 4 + 7 * 4)
    assert rows["the whole step, a plan"]["flops"] == 2 * 7 * (2 * 5 * 4 + 3 * 4 * 3)  # no dx of the data
    assert all(row["low"] <= row["median"] <= row["high"] for row in rows.values())
    assert main(["lab", "roofline", *arguments]) == 0
    shown = capsys.readouterr().out
    for word in ("the roof:", "flops per byte", "what it would take", "the machine is"):
        assert word in shown


def test_a_saved_model_and_a_picture(machine, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    model = bp.Model(
        [bp.Lin(5, 4, dtype="float64"), bp.LeakyRelu(0.1), bp.Lin(4, 2, seed=1, dtype="float64")], bp.Mse()
    )
    bp.save(model, tmp_path / "model.npz")
    picture = tmp_path / "roof.png"
    arguments = ["lab", "roofline", str(tmp_path / "model.npz"), "--rounds", "2", "--threads", "1"]
    assert main([*arguments, "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "5→4→2" in shown
    assert "float64" in shown
    assert "LeakyRelu(0.1)" in shown
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--sizes", "5"], "at least inputs and outputs"),
        (["--threads", "1000"], "may use"),
        (["--sizes", "1000000,1000000", "--batch", "9"], "are free"),
        (["--plot", "a.txt"], "--plot"),
        (["none.npz"], "none.npz"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured(arguments, why, monkeypatch, capsys):
    monkeypatch.setattr("pybackprop.lab.measuring.run", lambda *_: pytest.fail("measured"))
    assert main(["lab", "roofline", *arguments]) == 1
    assert why in capsys.readouterr().err
