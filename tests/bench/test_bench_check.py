"""The works of the benchmark, and how their results are checked."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.benches import NUMPY, ONE_PASS, OURS, PEERS, PLAN, RANKS, TINY, silent
from pybackprop.bench import report, resident_memory, schedule, table, validate, workloads
from pybackprop.bench.engines import engine
from pybackprop.bench.workloads import FULL, QUICK, USUAL, Workload
from pybackprop.core.native import lib, pointer

SOME = [
    ("matmul", (5, 30, 7)),
    ("forward", (40, 30, 7)),
    ("backward_w", (600, 30, 7)),
    ("backward_x", (40, 30, 7)),
    ("step", (600, 30, 20, 1)),
    ("step", (7, 5, 4, 3)),
    ("step", (90, 5, 8, 7, 6, 3)),
    ("step", (90, 5, 3)),
    ("update", (1501,)),
    ("loss", (90, 7)),
    ("loss", (50, 130)),
]
UPDATE = Workload("update", "update", (300,), "float32", 1)
LOSS = Workload("loss", "loss", (70, 10), "float32", 1)
EPOCH = Workload("", "epoch", (3000, 10, 8, 3), "float32", 1, batch=30)


# ---- the works ----


def test_a_level_holds_all_works_of_those_before_it():
    quick, usual, full = (workloads.select(level, 2) for level in (QUICK, USUAL, FULL))
    assert set(quick) < set(usual) < set(full)
    for level in (quick, usual, full):
        assert len({work.name for work in level}) == len(level)
    assert all(work.dtype == "float32" and 2048 not in work.sizes for work in quick)
    assert {work.threads for work in workloads.select(FULL, 1)} == {1}


def test_flops_count_the_products():
    by_label = {work.label: work.flops for work in workloads.select(FULL, 1)}
    assert by_label["matmul 1024"] == 2 * 1024**3
    assert by_label["backward-w 784x50000 @ 50000x50"] == by_label["forward 50000x784 @ 784x50"] == 2 * 50000 * 784 * 50
    assert by_label["backward-x 50000x50 @ 50x784"] == 2 * 50000 * 784 * 50
    assert by_label["step 50000x784→50→1"] == 2 * 50000 * (2 * 784 * 50 + 3 * 50)
    assert by_label["epoch 60000x784→50→10 by 64 of digits"] == 2 * 60000 * (2 * 784 * 50 + 3 * 50 * 10)
    assert by_label["step 1024x128→(16 layers of 128)"] == 2 * 1024 * 128 * 128 * (3 * 16 - 1)


def test_images_of_digits_are_mostly_zeros():
    chosen = workloads.Workload("step", "step", (100, 784, 5, 1), "float32", 1, data="digits")
    x = workloads.data(chosen)["x"]
    assert chosen.label == "step 100x784→5→1 of digits"
    assert x.shape == (100, 784)
    assert x.dtype == np.float32
    assert 0.1 < (x != 0).mean() < 0.25
    assert (x.reshape(100, 28, 28)[:, :2] == 0).all()


@pytest.mark.parametrize(("data", "share"), workloads.FEWER_ZEROS.items())
def test_images_with_fewer_zeros(data, share):
    chosen = workloads.Workload("step", "step", (500, 784, 5, 1), "float32", 1, data=data)
    digits = workloads.Workload("step", "step", (500, 784, 5, 1), "float32", 1, data="digits")
    x, ink = workloads.data(chosen)["x"], workloads.data(digits)["x"]
    assert chosen.label == f"step 500x784→5→1 of {data}"
    assert (x == 0).mean() == pytest.approx(share, abs=0.01)
    np.testing.assert_array_equal(x[ink != 0], ink[ink != 0])


@pytest.mark.parametrize(("kind", "sizes"), SOME)
def test_everybody_gets_the_same_data(kind, sizes, dtype):
    work = Workload("", kind, sizes, np.dtype(dtype).name, 1)
    first, again = workloads.data(work), workloads.data(work)
    for name, array in first.items():
        labels = kind == "loss" and name == "targ"
        assert array.dtype == (np.int64 if labels else dtype)
        assert (array == again[name]).all()
        assert array.size < 1000 or array.ctypes.data % 64 == 0
        usual = np.sqrt(2 / len(array)) if name.startswith("w") else 1
        if not labels and (kind, name) != ("update", "v"):
            assert array.size < 100 or array.std() == pytest.approx(usual, rel=0.2)


# ---- the check ----


@pytest.mark.parametrize("entry", [NUMPY, OURS, ONE_PASS], ids=lambda entry: entry.name)
@pytest.mark.parametrize(("kind", "sizes"), SOME)
def test_every_result_is_checked_and_every_mistake_found(entry, kind, sizes, dtype):
    work = Workload("", kind, sizes, np.dtype(dtype).name, 1)
    if not entry.does(work):
        return
    one, data = engine.load(entry.where, 1), workloads.data(work)
    right = validate.expected(work, data)  # before an update in place
    one.prepare(work, data)()
    result = one.result()
    assert validate.wrong(work, result, right) is None
    for name, array in result.items():
        nan, last = np.full_like(array, np.nan), array.copy()
        last[(-1,) * array.ndim] += 0.01 * np.abs(array).max()
        for bad in (np.zeros_like(array), nan, -array, last):
            assert f"{name}" in validate.wrong(work, {**result, name: bad}, right)
        assert "expected" in validate.wrong(work, {**result, name: array.astype(np.float16)}, right)
        assert "expected" in validate.wrong(work, {**result, name: array[None]}, right)
    assert "gave []" in validate.wrong(work, {}, right)


@pytest.mark.parametrize("threads", [1, 2])
def test_ranks_are_right_and_end_with_the_bench(threads):
    if RANKS.missing():
        pytest.skip("not installed")
    sizes = [(1100, 20, 9, 3), (60, 5, 4, 2)]
    works = [Workload("ranks", "step", of, "float32", threads) for of in sizes]
    assert not RANKS.does(Workload("step", "step", sizes[0], "float32", threads))
    bench = schedule.Bench(works, [RANKS], 1)
    bench.run(silent)
    assert [result.engines["ranks"].why for result in bench.results] == ["", ""]
    assert all(result.engines["ranks"].usable for result in bench.results)


@pytest.mark.peers
@pytest.mark.parametrize("entry", PEERS, ids=lambda entry: entry.name)
def test_peers_are_right(entry):
    if entry.missing():
        pytest.skip("not installed")
    some = [Workload("", kind, sizes, "float32", 1) for kind, sizes in SOME]
    some += [Workload("", "step", (60, 5, 4, 2), "float64", 1), EPOCH]
    some.append(Workload("", "classify", (3000, 12, 8, 4), "float32", 1, batch=50))
    bench = schedule.Bench([work for work in some if entry.does(work)], [entry], 1)
    bench.run(silent)
    expected = {"torch": len(some), "autograd": 2, "jax": len(some) - 2, "sklearn": 2, "estimator": 1}
    assert len(bench.results) == expected[entry.name]
    assert [result.engines[entry.name].why for result in bench.results] == [""] * len(bench.results)
    assert all(result.engines[entry.name].usable for result in bench.results)


def test_a_plan_is_right_and_does_networks_only():
    chosen = [Workload("", "step", (60, 5, 4, 2), "float32", 1), EPOCH, TINY]
    bench = schedule.Bench(chosen, [PLAN, NUMPY], 1)
    bench.run(silent)
    assert [list(result.engines) for result in bench.results] == [["plan", "numpy"], ["plan"], ["numpy"]]
    for result in bench.results:
        for timing in result.engines.values():
            assert timing.usable, timing.why


def test_an_epoch_without_updates_is_wrong():
    one, data = engine.load(PLAN.where, 1), workloads.data(EPOCH)
    one.prepare(EPOCH, data)()
    right = validate.expected(EPOCH, data)
    assert validate.wrong(EPOCH, one.result(), right) is None
    still = bp.Model([bp.Lin(data["w1"], data["b1"]), bp.Relu(), bp.Lin(data["w2"], data["b2"])])
    loss = np.float32(still(data["x"], data["targ"]))
    assert "loss: found" in validate.wrong(EPOCH, {"loss": loss}, right)
    assert "loss: found" in validate.wrong(EPOCH, {"loss": right["loss"].values.astype(np.float32) / 2}, right)


@pytest.mark.parametrize(
    "changed", [{"betas": (0.9, 0.99)}, {"betas": (0.8, 0.999)}, {"lr": 0.0101}, {"eps": 0.01}, {"steps": 10}]
)
def test_another_update_is_wrong(changed):
    data = workloads.data(UPDATE)
    right = validate.expected(UPDATE, data)

    def update(lr=workloads.LR, betas=(workloads.MOMENTUM, workloads.BETA2), eps=workloads.EPS, steps=workloads.STEPS):
        p = bp.param(data["p"])
        p.g = data["g"]
        adam = bp.Adam([p], lr, betas=betas, eps=eps)
        m, v = adam.moments(p)
        m.data[...], v.data[...], adam.steps = data["m"], data["v"], steps
        adam.step()
        return {"p": p.data, "m": m.data, "v": v.data}

    assert validate.wrong(UPDATE, update(), right) is None
    assert "are wrong" in validate.wrong(UPDATE, update(**changed), right)


def test_what_an_update_moves(dtype):
    arrays = [np.full(1003, k, dtype) for k in range(4)]
    move = {"float32": lib.bp_measure_update_f32, "float64": lib.bp_measure_update_f64}[np.dtype(dtype).name]
    assert move(*map(pointer, arrays), 1003) == 7 * arrays[0].nbytes
    assert [set(array) for array in arrays] == [{3}, {4}, {5}, {3}]


def test_a_workload_bound_by_memory_is_reported_in_bytes(capsys):
    bench = schedule.Bench([UPDATE, LOSS], [NUMPY, OURS, ONE_PASS], 2)
    bench.run(silent)
    found = report.report(bench, [], False)
    update, loss = found["works"]
    assert (update["label"], loss["label"]) == ("update 300 parameters", "cross-entropy 70x10")
    assert [list(work["engines"]) for work in found["works"]] == [
        ["numpy", "pybackprop"],
        ["numpy", "pybackprop", "one-pass"],
    ]
    assert (update["bytes"], loss["bytes"], update["flops"]) == (7 * 4 * 300, 2 * 4 * 700, 0)
    assert (bench.limit(UPDATE), bench.limit(LOSS), found["peaks"]) == (update["peak"] * 1e9, None, [])
    ours = update["engines"]["pybackprop"]
    assert ours["gbytes_median"] == pytest.approx(7 * 4 * 300 / ours["median"] / 1e9)
    assert ours["percent_of_peak"] == pytest.approx(100 * ours["gbytes_median"] / update["peak"])
    assert loss["engines"]["one-pass"]["percent_of_peak"] is None
    assert not any("gflops" in name for name in ours)
    table.show(found)
    said = capsys.readouterr().out
    assert "GB/s" in said
    assert "GF/s" not in said
    assert "cross-entropy 70x10 (one-pass)" in said


def test_a_mistake_is_located():
    data = workloads.data(TINY)
    right = validate.expected(TINY, data)
    result = data["a"] @ data["b"]
    result[2, 3] = np.nan
    words = validate.wrong(TINY, {"out": result}, right)
    assert words.startswith("out[2, 3]: found nan, expected ")
    assert words.endswith("1 of 16 are wrong")


def test_a_wrong_engine_is_marked_and_gets_no_time(here, capsys):
    wrong = ["Zeroed", "NotANumber", "Flipped"]
    bench = schedule.Bench([TINY], [NUMPY, *map(here, wrong)], 2)
    bench.run(silent)
    found = report.report(bench, [], False)
    engines = found["works"][0]["engines"]
    assert len(engines["numpy"]["seconds"]) == 2
    table.show(found)
    said = capsys.readouterr().out
    for name in wrong:
        assert set(engines[name]) == {"status", "why"}
        assert engines[name]["status"] == "wrong"
        assert f"{name}: small: matmul 4 float32 1 thread: WRONG: out[" in said


@pytest.mark.skipif(not resident_memory.RESET.exists(), reason="only Linux tells the peak")
def test_memory_is_the_peak_of_what_is_resident():
    kept = []

    def call():
        np.ones(4_000_000)
        kept.append(np.ones(1_000_000))

    for needed, action in ((32e6, call), (32e6, call), (0, lambda: None)):
        assert resident_memory.extra(action) == pytest.approx(needed, abs=2e6)


@pytest.mark.skipif(not resident_memory.RESET.exists(), reason="only Linux tells the peak")
def test_the_memory_of_a_step():
    wide = Workload("step", "step", (50000, 4, 20, 1), "float32", 1)
    bench = schedule.Bench([wide], [NUMPY, OURS, PLAN], 1)
    bench.run(silent)
    memory = {name: timing.memory for name, timing in bench.results[0].engines.items()}
    assert memory["numpy"] > 8e6
    assert 4e6 < memory["pybackprop"] < 14e6
    assert memory["plan"] < 2e6
