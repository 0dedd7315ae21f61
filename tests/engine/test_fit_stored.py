"""plan.fit from rows on disk: the bits of a fit from memory in the documented order; what fails, and how."""

import gc
import signal
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from pybackprop.core import native
from pybackprop.data import DataError
from pybackprop.engine.windows import Windows

SIZES = [37, 5, 64, 1, 50, 23]  # rows of the shards


@pytest.fixture
def data(rng):
    n = sum(SIZES)
    x = rng.standard_normal((n, 4)).astype("f")
    return x, (x[:, :2] * 2).astype("f"), rng.random(n).astype("f")


def write_npz(folder, x, targ, weight=None, compressed=False):
    ends = np.cumsum(SIZES)
    for k, (n, end) in enumerate(zip(SIZES, ends, strict=True)):
        part = {"x": x[end - n : end], "targ": targ[end - n : end]}
        if weight is not None:
            part["sample_weight"] = weight[end - n : end]
        (np.savez_compressed if compressed else np.savez)(folder / f"part-{k:02}.npz", **part)
    return folder


def write_npy(folder, x, targ, weight=None):
    ends = np.cumsum(SIZES)
    for k, (n, end) in enumerate(zip(SIZES, ends, strict=True)):
        for name, array in (("x", x), ("targ", targ), ("sample_weight", weight)):
            if array is not None:
                np.save(folder / f"{name}-{k:02}.npy", array[end - n : end])
    return folder


def write_parquet(folder, x, targ, weight=None):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {f"f{k}": x[:, k] for k in range(x.shape[1])}
    columns |= {"t": targ} if targ.ndim == 1 else {f"t{k}": targ[:, k] for k in range(targ.shape[1])}
    if weight is not None:
        columns["w"] = weight
    table = pa.table(columns)
    for k, start in enumerate((0, 100)):
        parquet.write_table(table.slice(start, 100), folder / f"{k}.parquet", row_group_size=30)
    return folder


def net(loss=None, dtype="float32", outputs=2):
    layers = [bp.Lin(4, 5, seed=1, dtype=dtype), bp.Relu(), bp.Lin(5, outputs, seed=2, dtype=dtype)]
    return bp.Model(layers, loss=loss or bp.Mse())


def new_plan(batch=16, optimizer=bp.Adam, **options):
    model = net(**options)
    return bp.compile(model, batch=batch, optimizer=optimizer(model, lr=0.05))


def state(plan):
    return [p.data.copy() for p in plan.model.parameters()]


def assert_same_as_memory(rows, x, targ, weight=None, *, batch=16, seed=3, epochs=3, **options):
    """fit(rows), and as many steps over the rows in the order that rows.order tells: losses and parameters."""
    plan, twin = new_plan(batch, **options), new_plan(batch, **options)
    history = plan.fit(rows, epochs=epochs, seed=seed)
    orders = [rows.order(seed, epoch) for epoch in range(1, epochs + 1)]
    for order in orders:
        assert sorted(order) == list(range(len(x)))
    batches = [
        [tuple(a[order[k : k + batch]] for a in (x, targ, weight) if a is not None) for k in range(0, len(x), batch)]
        for order in orders
    ]
    losses = [twin.fit(list(one), epochs=1)[0].loss for one in batches]
    assert [e.loss for e in history] == losses
    for p, q in zip(state(plan), state(twin), strict=True):
        assert_same_bits(p, q)


# ---- bits ----


@pytest.mark.parametrize("window", [1, 2, 4, 100])
@pytest.mark.parametrize("batch", [1, 16, 64, 180])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_bits_are_those_of_memory_in_the_same_order(tmp_path, data, window, batch, shuffle):
    x, targ, _ = data
    rows = bp.data.open(write_npz(tmp_path, x, targ), window=window, shuffle=shuffle)
    assert (rows.shape, rows.features, rows.dtype, rows.targ_shape) == ((180, 4), 4, np.dtype("f"), (180, 2))
    if not shuffle:
        assert (rows.order(0, 1) == np.arange(180)).all()
    assert_same_as_memory(rows, x, targ, batch=batch)


@pytest.mark.parametrize("write", [write_npz, write_npy, write_parquet])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_format(tmp_path, data, write, weighted):
    x, targ, weight = data
    weight = weight if weighted else None
    options = {"target": ["t0", "t1"], "sample_weight": "w" if weighted else None} if write is write_parquet else {}
    rows = bp.data.open(write(tmp_path, x, targ, weight), window=2, **options)
    assert_same_as_memory(rows, x, targ, weight)


def test_a_pair_of_npy_files_is_cut_into_blocks(tmp_path, data):
    x, targ, weight = data
    for name, array in (("x", x), ("t", targ), ("w", weight)):
        np.save(tmp_path / name, array)
    given = {"targ": tmp_path / "t.npy", "window": 3}
    rows = bp.data.open(tmp_path / "x.npy", block_rows=7, sample_weight=tmp_path / "w.npy", **given)
    assert [block.rows for block in rows.blocks] == [7] * 25 + [5]
    assert_same_as_memory(rows, x, targ, weight)
    assert len(bp.data.open(tmp_path / "x.npy", **given).blocks) == 1
    assert rows.window_rows == 21


def test_compressed_shards_in_a_list_with_another_name_for_the_targets(tmp_path, data):
    x, targ, _ = data
    np.savez_compressed(tmp_path / "b.npz", x=x[:100], y=targ[:100])
    np.savez_compressed(tmp_path / "a.npz", x=x[100:], y=targ[100:], other=np.zeros(3))
    assert_same_as_memory(bp.data.open([tmp_path / "b.npz", str(tmp_path / "a.npz")]), x, targ)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">f4", "f8", "?", "f2"])
@pytest.mark.parametrize("parameters", ["float32", "float64"])
def test_numbers_of_any_kind_are_converted_as_from_memory(tmp_path, data, dtype, parameters):
    x = np.abs(data[0] * 10).astype(dtype)
    rows = bp.data.open(write_npz(tmp_path, x, data[1]), window=2)
    assert rows.dtype == np.dtype(dtype)
    assert_same_as_memory(rows, x, data[1], dtype=parameters)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("write", [write_npz, write_parquet])
def test_labels(tmp_path, data, rng, write, weighted):
    targ, weight = rng.integers(2, size=180), data[2] if weighted else None
    options = {"target": "t", "sample_weight": "w" if weighted else None} if write is write_parquet else {}
    rows = bp.data.open(write(tmp_path, data[0], targ, weight), window=2, **options)
    assert rows.targ_shape == (180,)
    assert_same_as_memory(rows, data[0], targ, weight, loss=bp.CrossEntropy())


def test_one_number_a_row_as_target(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, data[0], data[1][:, 0]), window=2)
    assert_same_as_memory(rows, data[0], data[1][:, 0], outputs=1)


@pytest.mark.parametrize("strategy", [None, "layers", "split", "fused"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [8, 300])
def test_every_strategy_of_long_rows(tmp_path, rng, strategy, threads, batch):
    x, targ = rng.random((700, 200), np.float32) * (rng.random((700, 200)) > 0.7), rng.integers(3, size=700)
    np.save(tmp_path / "x.npy", x.astype("f"))
    np.save(tmp_path / "targ.npy", targ)
    rows = bp.data.open(tmp_path, block_rows=43, window=3)
    before, found = bp.threads(), []
    bp.set_threads(threads)
    try:
        for batches in (False, True):
            layers = [bp.Lin(200, 50, seed=1), bp.Relu(), bp.Lin(50, 3, seed=2)]
            model = bp.Model(layers, loss=bp.CrossEntropy())
            plan = bp.compile(model, batch=batch, optimizer=bp.SGD(lr=0.05, momentum=0.9), strategy=strategy)
            order = rows.order(0, 1)
            cut = [(x[order[k : k + batch]], targ[order[k : k + batch]]) for k in range(0, 700, batch)]
            (epoch,) = plan.fit(cut if batches else rows, epochs=1)
            found.append((epoch.loss, [p.data.tobytes() for p in model.parameters()]))
    finally:
        bp.set_threads(before)
    assert found[0] == found[1]


def test_a_window_of_all_blocks_is_one_shuffle(tmp_path, data):
    """The order from its definition: the streams of the seed, written out."""
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=6)
    blocks, order = native.indices(6), native.indices(180)
    native.permute(blocks, 6, 5, 2**63 + 2**31 * 2)
    native.permute(order, 180, 5, 2**63 + 2**31 * 2 + 1)
    starts = np.cumsum([0, *SIZES])
    joined = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in native.as_index(blocks)])
    assert (rows.order(5, 2) == joined[native.as_index(order)]).all()


def test_orders_differ_between_epochs_and_seeds(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=2)
    orders = [tuple(rows.order(seed, epoch)) for seed in (0, 1) for epoch in (1, 2)]
    assert len(set(orders)) == 4
    assert orders[0] == tuple(bp.data.open(tmp_path, window=2).order(0, 1))
    first = orders[0][: sum(rows.blocks[b].rows for b in rows.windows(0, 1)[0])]
    of_blocks = set(np.searchsorted(np.cumsum(SIZES), first, "right"))
    assert len(of_blocks) == 2  # a window's rows are of its blocks


# ---- the rest of fit ----


def test_a_resumed_fit_is_a_longer_one(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=2)
    whole, parts = new_plan(), new_plan()
    history = whole.fit(rows, epochs=4, seed=1)
    again = [*parts.fit(rows, epochs=1, seed=1), *parts.fit(rows, epochs=4, seed=1, done=1)]
    assert [(e.epoch, e.loss) for e in again] == [(e.epoch, e.loss) for e in history]
    for p, q in zip(state(whole), state(parts), strict=True):
        assert_same_bits(p, q)


@pytest.mark.parametrize("slice_seconds", [0.0, 0.05])
def test_moments_schedules_and_smaller_batches(tmp_path, data, monkeypatch, slice_seconds):
    monkeypatch.setattr("pybackprop.engine.fit.SLICE", slice_seconds)
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=2)
    plan, twin = new_plan(), new_plan()
    seen = []
    plan.fit(rows, epochs=2, batch=8, schedule=bp.CosineLR(0.1), callback=seen.append)
    assert {m.steps for m in seen} == {23}
    if slice_seconds == 0:
        assert [m.step for m in seen] == [*range(1, 24)] * 2
    x, targ, _ = data
    schedule = bp.CosineLR(0.1, steps=46)
    for epoch in (1, 2):
        order = rows.order(0, epoch)
        for k in range(23):
            twin.optimizer.lr = schedule(23 * (epoch - 1) + k)
            twin.step(x[order[8 * k : 8 * k + 8]], targ[order[8 * k : 8 * k + 8]])
    assert plan.optimizer.lr == twin.optimizer.lr
    for p, q in zip(state(plan), state(twin), strict=True):
        assert_same_bits(p, q)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labels", [False, True])
def test_validation_and_predictions(tmp_path, data, rng, weighted, labels):
    x, targ, weight = data
    loss = None
    if labels:
        targ, loss = rng.integers(2, size=180), bp.CrossEntropy()
    rows = bp.data.open(write_npz(tmp_path, x, targ, weight if weighted else None), window=2)
    plan, twin = new_plan(loss=loss), new_plan(loss=loss)
    history = plan.fit(x[:50], targ[:50], epochs=2, validation=rows, patience=5)
    given = (x, targ, weight) if weighted else (x, targ)
    expected = twin.fit(x[:50], targ[:50], epochs=2, validation=given, patience=5)
    assert [e.validation for e in history] == [e.validation for e in expected]
    assert_same_bits(plan.predict(rows).data, twin.predict(x).data)
    both = new_plan(loss=loss).fit(rows, epochs=2, validation=rows)
    assert len(both) == 2


# ---- what fails ----


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("pybackprop")]


def test_the_thread_ends_with_fit(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=2)
    running = []
    new_plan().fit(rows, epochs=3, callback=lambda moment: running.append(len(threads())))
    assert max(running) == 1
    assert not threads()
    new_plan().fit(rows, epochs=9, on_epoch=lambda epoch: True)
    assert not threads()
    for failure in (ZeroDivisionError, KeyboardInterrupt):

        def fail(epoch, failure=failure):
            raise failure

        with pytest.raises(failure):
            new_plan().fit(rows, epochs=9, on_epoch=fail)
        assert not threads()


@pytest.mark.parametrize("epochs", [2, 9])
def test_the_windows_end_with_fit(tmp_path, data, monkeypatch, epochs):
    """Without the garbage collector's help, after the last epoch and after one of nine."""
    rows, new, kept = bp.data.open(write_npz(tmp_path, *data[:2]), window=2), Windows._new_buffer, []

    def noted(self):
        buffer = new(self)
        kept.append(weakref.ref(buffer.x))
        return buffer

    monkeypatch.setattr(Windows, "_new_buffer", noted)
    gc.disable()
    try:
        new_plan().fit(rows, epochs=epochs, on_epoch=lambda epoch: epoch.epoch == 2)
        assert [ref() is None for ref in kept] == [True, True]
    finally:
        gc.enable()


def slowed(rows, monkeypatch, seconds):
    """Makes the blocks slow to read; the numbers of those that are read."""
    kind, read, seen = type(rows.blocks[0]), type(rows.blocks[0]).read, []

    def slow(self, into):
        seen.append(rows.blocks.index(self))
        time.sleep(seconds)
        read(self, into)

    monkeypatch.setattr(kind, "read", slow)
    return seen


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no such signals")
def test_ctrl_c_while_it_waits_for_the_file(tmp_path, data, monkeypatch):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=2)
    seen = slowed(rows, monkeypatch, 0.5)
    before, usual = state(plan := new_plan()), signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            plan.fit(rows, epochs=9)
    finally:
        signal.signal(signal.SIGALRM, usual)
    assert not threads()
    assert len(seen) == 1
    for p, q in zip(state(plan), before, strict=True):
        assert_same_bits(p, q)


def test_it_reads_one_window_ahead_and_no_more(tmp_path, data, monkeypatch):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=1, shuffle=False)
    seen, found = slowed(rows, monkeypatch, 0.0), []
    monkeypatch.setattr("pybackprop.engine.fit.SLICE", 0.0)
    # 37 rows are 7 steps, of which the last takes the next window into use; 2 + 5 are one; 2 + 64 are 13; 1 + 1 none
    expected = [2] * 6 + [3] + [4] * 13 + [6] * 16

    def wait(moment):
        if moment.done is None:
            until = time.monotonic() + 60
            while len(seen) < expected[moment.step - 1] and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(0.005)  # in which it could read more
            found.append(len(seen))

    new_plan(batch=5).fit(rows, epochs=1, callback=wait)
    assert found == expected[: len(found)]
    assert len(found) >= 21


def spoil_at(folder, k, write):
    path = sorted(folder.iterdir())[k]
    write(path)
    return path.name


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def save(**changes):
    def write(path):
        with np.load(path) as held:
            arrays = dict(held)
        np.savez(
            path,
            **{name: change(arrays[name]) for name, change in changes.items()},
            **{name: array for name, array in arrays.items() if name not in changes},
        )

    return write


@pytest.mark.parametrize(
    ("write", "error", "words"),
    [
        (cut, DataError, "File is not a zip file"),
        (save(x=lambda x: x[:, 1:]), bp.ShapeError, "found rows of 3 features, expected 4, as in .*part-00.npz"),
        (save(x=lambda x: x.astype("f8")), bp.DTypeError, "found x of float64, expected float32, as in .*part-00.npz"),
        (save(targ=lambda t: t.astype(">f4")), bp.DTypeError, "found targ of >f4, expected float32"),
        (save(targ=lambda t: t[:, :1]), bp.ShapeError, r"found targ \(n,1\), expected \(n,2\)"),
        (save(targ=lambda t: t[:-1]), bp.ShapeError, r"found 64 rows of x and targ of shape \(63, 2\)"),
        (save(x=lambda x: x[0]), bp.ShapeError, r"found x of shape \(4,\), expected rows"),
        (save(x=lambda x: x + 1j), bp.DTypeError, "x: found complex64, expected real numbers"),
        (save(x=lambda x: np.asfortranarray(x)), DataError, "columns one after another"),
        (lambda path: np.savez(path, x=np.zeros((3, 4))), DataError, "found x, expected x and targ"),
        (lambda path: np.savez(path, x=np.array([None])), DataError, "Python objects"),
        (lambda path: path.write_bytes(b""), DataError, "not a zip file"),
    ],
)
def test_a_shard_that_does_not_fit_is_named_when_it_is_opened(tmp_path, data, write, error, words):
    name = spoil_at(write_npz(tmp_path, *data[:2]), 2, write)
    with pytest.raises(error, match=f"{name}: .*{words}"):
        bp.data.open(tmp_path)


def test_npy_shards_that_do_not_fit_are_named(tmp_path, data):
    write_npy(tmp_path, *data[:2])
    whole = (tmp_path / "targ-03.npy").read_bytes()
    (tmp_path / "targ-03.npy").unlink()
    with pytest.raises(DataError, match=r"targ-03\.npy: is missing, expected it beside its x"):
        bp.data.open(tmp_path)
    (tmp_path / "targ-03.npy").write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"targ-03\.npy: shape: \(1, 2\) of float32 takes 8 bytes, found 7"):
        bp.data.open(tmp_path)
    (tmp_path / "targ-03.npy").write_bytes(whole)
    (tmp_path / "x-03.npy").unlink()
    with pytest.raises(DataError, match=r"x-03\.npy: is missing, and targ-03\.npy is there"):
        bp.data.open(tmp_path)
    np.save(tmp_path / "other.npy", data[0])
    with pytest.raises(DataError, match=r"other\.npy: found this name, expected one that begins with x, targ"):
        bp.data.open(tmp_path)


def test_parquet_files_that_do_not_fit_are_named(tmp_path, data):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write_parquet(tmp_path, data[0], data[1][:, 0])
    first, second = tmp_path / "0.parquet", tmp_path / "1.parquet"
    whole = parquet.read_table(second)
    with pytest.raises(ValueError, match="found no target; name its column"):
        bp.data.open(tmp_path)
    with pytest.raises(DataError, match=r"0\.parquet: found the columns f0, .*, expected one of the name 'price'"):
        bp.data.open(tmp_path, target="price")

    def changed(values):
        return lambda: parquet.write_table(whole.set_column(0, "f0", [pa.array(values)]), second)

    wrong = [
        (lambda: cut(second), DataError, "cannot be read by pyarrow"),
        (lambda: parquet.write_table(whole.drop(["f1"]), second), bp.ShapeError, "3 features, expected 4"),
        (lambda: parquet.write_table(whole.rename_columns([*"abcd", "t"]), second), DataError, "columns a, b"),
        (changed(whole["f0"].to_numpy().astype("f8")), bp.DTypeError, "found x of float64, expected float32"),
        (changed(["a"] * 80), bp.DTypeError, "column 'f0': found string"),
    ]
    for write, error, words in wrong:
        write()
        with pytest.raises(error, match=rf"1\.parquet: .*{words}"):
            bp.data.open(tmp_path, target="t")
    values = whole["f0"].to_pylist()
    values[40] = None
    parquet.write_table(whole.set_column(0, "f0", [pa.array(values, pa.float32())]), second, row_group_size=30)
    with pytest.raises(DataError, match=r"1\.parquet: column 'f0': found 1 missing numbers, the first at row 40"):
        new_plan(outputs=1).fit(bp.data.open(tmp_path, target="t"), epochs=1)
    assert not threads()
    assert first.exists()


def test_a_missing_library_is_told(tmp_path, data, monkeypatch):
    write_parquet(tmp_path, data[0], data[1])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"0\.parquet: needs the library pyarrow: pip install '.*\[parquet\]'"):
        bp.data.open(tmp_path, target="t")


def test_what_is_no_place_for_rows(tmp_path):
    for path, words in (
        (tmp_path / "none.npz", "none.npz: cannot be read: No such file"),
        (tmp_path, "found no shards, expected"),
        ([], "found no files"),
        ("rows.txt", "found files of .txt, expected one of"),
        (["a.npz", "b.npy"], "found files of .npy, .npz"),
    ):
        with pytest.raises(DataError, match=words):
            bp.data.open(path)
    np.savez(tmp_path / "a.npz", x=np.zeros((0, 3)), targ=np.zeros(0))
    with pytest.raises(DataError, match="found no rows"):
        bp.data.open(tmp_path)
    for option in ({"window": 0}, {"block_rows": 5}, {"target": "t"}, {"targ": "t.npy"}):
        with pytest.raises(ValueError, match=f"data.open: .*{next(iter(option))}"):
            bp.data.open(tmp_path / "a.npz", **option)


def assert_refused_before_a_step(rows, error, words, plan=None, **options):
    plan = plan or new_plan()
    before = state(plan)
    with pytest.raises(error, match=words):
        plan.fit(rows, epochs=1, **options)
    for p, q in zip(state(plan), before, strict=True):
        assert_same_bits(p, q)
    assert not threads()


def test_files_that_have_changed_since(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]))
    (tmp_path / "part-02.npz").rename(tmp_path / "away")
    assert_refused_before_a_step(rows, DataError, r"part-02\.npz: cannot be read: No such file")
    (tmp_path / "away").rename(tmp_path / "part-02.npz")
    cut(tmp_path / "part-05.npz")
    assert_refused_before_a_step(rows, DataError, r"part-05\.npz: found \d+ bytes, expected \d+, as when it was opened")
    assert_refused_before_a_step(data[0], DataError, r"part-05\.npz", targ=data[1], validation=rows)


def test_what_does_not_fit_the_model(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]))
    wide, narrow = bp.mlp([5, 2]), bp.mlp([4, 3])
    for model, words in (
        (wide, "part-00.npz: found rows of 4 features, expected 5"),
        (narrow, r"part-00.npz: found targ \(180, 2\), expected \(180, 3\)"),
    ):
        plan = bp.compile(model, batch=8, optimizer=bp.SGD(lr=0.1))
        assert_refused_before_a_step(rows, bp.ShapeError, words, plan)
        assert_refused_before_a_step(np.zeros((3, model.layers[0].w.shape[0])), bp.ShapeError, words, plan,
                                     targ=np.zeros((3, model.layers[0].w.shape[1])), validation=rows)  # fmt: skip
    with pytest.raises(bp.ShapeError, match=r"plan\.predict: .*part-00\.npz: found rows of 4"):
        bp.compile(wide, batch=8).predict(rows)
    for option in ({"validation_split": 0.2}, {"sample_weight": data[2]}, {"batch": 17}):
        assert_refused_before_a_step(rows, ValueError, f"plan.fit: found {next(iter(option))}", **option)
    assert_refused_before_a_step(rows, TypeError, "leave targ out", targ=data[1])


def test_a_shard_that_is_damaged_inside(tmp_path, data):
    """Its size and header are right: it is noticed when it is read, and named."""
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=1, shuffle=False)
    path = tmp_path / "part-02.npz"
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    plan, twin = new_plan(1), new_plan(1)
    with pytest.raises(DataError, match=r"part-02\.npz: x\.npy: Bad CRC-32"):
        plan.fit(rows, epochs=1)
    assert not threads()
    twin.fit([(data[0][k : k + 1], data[1][k : k + 1]) for k in range(42)], epochs=1)
    for p, q in zip(state(plan), state(twin), strict=True):  # the windows before it have been trained on
        assert_same_bits(p, q)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (save(x=lambda x: np.where(np.arange(4) == 2, np.float32(np.nan), x)), "x: found nan at row 0, column 2"),
        (save(targ=lambda t: t * np.float32(np.inf)), "targ: found"),
    ],
)
def test_numbers_that_are_not_finite(tmp_path, data, write, words):
    name = spoil_at(write_npz(tmp_path, *data[:2]), 3, write)
    rows = bp.data.open(tmp_path)
    assert_refused_before_a_step(rows, ValueError, f"plan.fit: .*{name}: {words}")
    assert_refused_before_a_step(*data[:1], ValueError, f"validation: .*{name}: {words}", targ=data[1], validation=rows)


def test_labels_that_are_none_and_numbers_that_are_too_large(tmp_path, data):
    targ = np.zeros(180, np.int64)
    targ[170] = 2
    rows = bp.data.open(write_npz(tmp_path, data[0], targ))
    assert_refused_before_a_step(rows, ValueError, r"plan.fit: .*part-05\.npz: ", new_plan(loss=bp.CrossEntropy()))
    rows = bp.data.open(write_npz(tmp_path, data[0] * np.float64(1e300), data[1]))
    assert_refused_before_a_step(rows, bp.DTypeError, r"part-0\d\.npz: x: .*too large for float32")


def test_divergence_names_the_step(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, *data[:2]), window=2)
    plan = new_plan(optimizer=bp.SGD)
    plan.optimizer.lr = 1e30
    with pytest.raises(bp.DivergedError, match=r"at step \d \(epoch 1\)"):
        plan.fit(rows, epochs=1)
    assert not threads()


def test_what_it_says_of_itself(tmp_path, data):
    rows = bp.data.open(write_npz(tmp_path, data[0], data[1][:, 0]))
    assert repr(rows) == (
        "RowBlocks(x (180, 4) of float32, targ (180,) of float32; 2,880 bytes of x in 6 blocks of 6 files)"
    )
    assert len(rows) == 180


def test_shards_of_several_folders_are_paired_by_their_folder(tmp_path):
    """Though the files of the folders have the same names."""
    paths, x, targ = [], [], []
    for k, name in enumerate("ab"):
        folder = tmp_path / name
        folder.mkdir()
        for kind, array, all_of_it in (("x", np.full((4, 2), k + 1.0), x), ("targ", np.full((4, 1), 10.0 * k), targ)):
            np.save(folder / f"{kind}-01.npy", array.astype("f"))
            paths.append(folder / f"{kind}-01.npy")
            all_of_it.append(array)
    rows = bp.data.open(paths, shuffle=False)
    results = []
    for given in ((rows,), (np.concatenate(x), np.concatenate(targ))):
        model = bp.mlp([2, 3, 1], seed=0)
        plan = bp.compile(model, batch=8, optimizer=bp.SGD(lr=0.0))
        results.append(plan.fit(*given, epochs=1)[0].loss)
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_weights_beside_shards_are_refused_as_an_option(tmp_path, data):
    write_npy(tmp_path, *data[:2])
    with pytest.raises(ValueError, match=r"found sample_weight=.* with shards of \.npy files"):
        bp.data.open(tmp_path, sample_weight=tmp_path / "w.npy")


def test_a_shard_that_lost_its_targets_is_named(tmp_path, data):
    """It was replaced after it was opened, by a file of the same size."""
    write_npz(tmp_path, *data[:2])
    rows = bp.data.open(tmp_path)
    shard = tmp_path / "part-00.npz"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes().replace(b"targ.npy", b"tarx.npy"))
    assert shard.stat().st_size == size
    plan = bp.compile(bp.mlp([4, 2]), batch=8, optimizer=bp.SGD(lr=0.1))
    with pytest.raises(DataError, match=r"part-00\.npz.*found no targ"):
        plan.fit(rows, epochs=1)
