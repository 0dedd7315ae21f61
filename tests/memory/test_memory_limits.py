"""What cannot fit is refused before anything is taken; memory that fails changes nothing."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from helpers.preload import HERE, run
from helpers.processes import python
from pybackprop.core import available_memory
from pybackprop.core.units import bytes_text, parse_bytes
from pybackprop.memory import fits, schemes
from pybackprop.nn import network

pytestmark = pytest.mark.usefixtures("usual_tiles")

GB = 10**9


@pytest.fixture
def little(monkeypatch):
    """A machine with 100 MB."""
    monkeypatch.setattr(available_memory, "available", lambda: 100 * 10**6)
    return 100 * 10**6


def huge(*shape):
    """An array that takes no memory, whatever its shape."""
    return np.broadcast_to(np.float32(1), shape)


# ---- how much there is ----


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's /proc")
def test_available_is_at_most_what_the_machine_has():
    table = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    assert 0 < available_memory.available() <= int(table["MemTotal"].split()[0]) * 1024


def test_the_smallest_limit_counts(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    monkeypatch.setattr(available_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(available_memory, "CGROUP", tmp_path / "none")
    monkeypatch.setattr(available_memory, "_own_limit", lambda: iter([]))
    assert available_memory.available() == 8000 * 1024
    monkeypatch.setattr(available_memory, "_own_limit", lambda: iter([5000]))
    assert available_memory.available() == 5000


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_has_its_share(monkeypatch, tmp_path, version):
    root = tmp_path if version == 2 else tmp_path / "memory"
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    folder = root / "outer" / "inner"
    folder.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/outer/inner\n" if version == 2 else "5:cpu:/x\n4:memory:/outer/inner\n")
    for place, limit, used in ((folder, "max", 10), (folder.parent, 1000, 400)):
        (place / names[0]).write_text(f"{limit}\n")
        (place / names[1]).write_text(f"{used}\n")
    (folder.parent / "memory.stat").write_text("anon 5\ninactive_file 100\n")
    monkeypatch.setattr(available_memory, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(available_memory, "CGROUPS", tmp_path)
    assert list(available_memory._container()) == [700]


def test_nobody_knows(monkeypatch, tmp_path):
    for name in ("MEMINFO", "CGROUP", "STATUS"):
        monkeypatch.setattr(available_memory, name, tmp_path / "none")
    monkeypatch.setattr(available_memory, "_own_limit", lambda: iter([]))
    assert available_memory.available() is None
    available_memory.check("x", 10**20)
    with pytest.raises(ValueError, match="memory='2GB'"):
        bp.fits(bp.mlp([2, 1]))


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * GB), ("1.5GiB", 3 * 2**29), (" 512 mb ", 512 * 10**6), ("100", 100), (7, 7), ("1e3 kB", 10**6)],
)
def test_sizes_are_read(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "nanGB", "infGB", "2 parsecs", 0, True, "1e400"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="memory: found"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (7_840_000_000, "7.84 GB"), (999_999, "1 MB")],
)
def test_sizes_are_said(count, words):
    assert bytes_text(count) == words


# ---- refused ----


def test_a_batch_that_cannot_fit_is_refused_by_a_model(little):
    model = bp.mlp([4, 500, 500, 1])
    before = [p.data.copy() for p in model.parameters()]
    model(np.ones((3, 4), np.float32), np.ones((3, 1), np.float32))
    model.backward()
    gradients = [p.g.data.copy() for p in model.parameters()]
    x, targ = np.ones((50_000, 4), np.float32), np.ones((50_000, 1), np.float32)
    with pytest.raises(bp.OutOfMemoryError) as caught:
        model(x, targ)
    error = caught.value
    assert isinstance(error, MemoryError)
    assert error.needed > little == error.available
    assert f"{error.needed:,} bytes" in str(error)
    assert "100,000,000 bytes" in str(error)
    assert f"{error.largest:,} would fit" in str(error)
    for p, value, g in zip(model.parameters(), before, gradients, strict=True):
        assert (p.data == value).all()
        assert (p.g.data == g).all()
    model(x[: error.largest], targ[: error.largest])  # that does fit
    with pytest.raises(bp.OutOfMemoryError):
        model(x[: int(error.largest * 1.1)], targ[: int(error.largest * 1.1)])


@pytest.mark.parametrize("strategy", ["layers", "split"])
def test_a_plan_that_cannot_fit_is_refused(little, strategy):
    model = bp.mlp([4, 500, 500, 1])
    values = [(p, p.data, p.data.copy()) for p in model.parameters()]
    with pytest.raises(bp.OutOfMemoryError, match="compile: needs") as caught:
        bp.compile(model, batch=10**6, strategy=strategy)
    for p, array, value in values:
        assert p.data is array
        assert (array == value).all()
        assert p.g is None
    plan = bp.compile(model, batch=caught.value.largest, strategy=strategy)
    assert plan.memory().peak <= little + 2 * 10**6


def test_a_fused_plan_needs_no_more_for_more_rows(little):
    assert bp.compile(bp.mlp([4, 50, 1]), batch=10**12, strategy="fused").memory().peak < 10**7


def test_a_gathered_batch_that_cannot_fit(little, rng):
    plan = bp.compile(bp.mlp([40, 1]), batch=10**6, optimizer=bp.SGD(lr=0.1), strategy="fused")
    before = plan.model.layers[0].w.data.copy()
    with pytest.raises(bp.OutOfMemoryError, match="fit: needs"):
        plan.fit(huge(10**6, 40), huge(10**6, 1), epochs=1)
    assert (plan.model.layers[0].w.data == before).all()


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("lin", lambda: bp.lin(np.ones((10**6, 1), np.float32), np.ones((1, 100), np.float32))),
        ("@", lambda: bp.as_tensor(np.ones((10**6, 1), np.float32)) @ np.ones((1, 100), np.float32)),
        ("tensor", lambda: bp.tensor(huge(10**5, 1000))),
        ("tensor", lambda: bp.relu(huge(10**5, 1000))),
        ("tensor", lambda: bp.tensor(np.broadcast_to(np.uint8(1), (10**5, 1000)))),
        ("plan.predict", lambda: bp.compile(bp.mlp([1, 100]), batch=8).predict(np.ones((10**6, 1), np.float32))),
    ],
)
def test_operations_refuse_what_cannot_fit(little, operation, call):
    with pytest.raises(bp.OutOfMemoryError, match=f"{operation}: needs 400 MB"):
        call()


def test_small_arrays_do_not_ask(monkeypatch):
    monkeypatch.setattr(available_memory, "available", lambda: pytest.fail("asked"))
    bp.relu(np.ones((1000, 1000), np.float32))


def test_the_error_can_be_sent_to_another_process(little):
    with pytest.raises(bp.OutOfMemoryError) as caught:
        bp.tensor(huge(10**5, 1000))
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (str(twin), twin.needed, twin.largest) == (str(caught.value), caught.value.needed, caught.value.largest)


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v counts there")
def test_a_limit_of_the_process_itself_is_seen():
    program = (
        "import resource, numpy as np, pybackprop as bp\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 10**9, 3 * 10**9))\n"
        "try: bp.lin(np.ones((10**6, 1)), np.ones((1, 1000)))\n"
        "except bp.OutOfMemoryError as error: print(error.needed, error.available < 3 * 10**9)\n"
    )
    done = python(program)
    assert done.stdout.split() == ["8000000000", "True"], done.stderr


# ---- fits ----


@pytest.mark.parametrize("memory", ["2GB", 10**7, "100MB"])
@pytest.mark.parametrize("widths", [[784, 50, 1], [5, 4, 3, 2]])
def test_fits_is_the_largest(memory, widths):
    model, room = bp.mlp(widths), parse_bytes(memory)
    found = bp.fits(model, memory=memory)
    assert list(found) == schemes.NAMES
    net = network.of_sizes(widths)
    for name, batch in found.items():
        way = schemes.named(name)
        assert batch == 0 or way.ledger(net, batch).whole <= room
        assert way.ledger(net, batch + 1).whole > room
    assert found["first"] < found["matmul"] < found["functions"] < found["plan"]


def test_nothing_fits_in_nothing():
    assert set(fits.of_network(network.of_sizes([784, 50, 1]), 1000).values()) == {0}


def test_fits_in_what_is_available(little):
    assert bp.fits(bp.mlp([784, 50, 1])) == bp.fits(bp.mlp([784, 50, 1]), memory=little)


# ---- memory that fails ----

FAIL = """
import ctypes, json, sys
import numpy as np
import pybackprop as bp

refuse, largest, refused = (
    ctypes.c_long.in_dll(ctypes.CDLL(None), name) for name in ("refuse_aligned", "largest", "refused")
)
rng = np.random.default_rng(0)
x, targ = rng.standard_normal((3000, 150), np.float32), rng.standard_normal((3000, 3), np.float32)
model, twin = bp.mlp([150, 130, 120, 3]), bp.mlp([150, 130, 120, 3])


def same(a, b, what):
    return all((np.asarray(getattr(p, what)) == np.asarray(getattr(q, what))).all() for p, q in zip(a, b))


def tape(one):
    w1, b1, w2, b2, w3, b3 = one.parameters()
    loss = bp.mse(bp.relu(bp.relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3, targ)
    loss.backward()
    return float(loss)


def shortcut(one):
    loss = one(x, targ)
    one.backward()
    return float(loss)


def plan(one):
    return bp.compile(one, batch=3000, strategy="layers").grads(x, targ)


step = {"tape": tape, "model": shortcut, "plan": plan}[sys.argv[1]]
if sys.argv[2] == "in C":
    expected = step(twin)
    refuse.value = 1
    found = step(model)
    refuse.value = 0
    print(json.dumps([refused.value, found == expected, same(model.parameters(), twin.parameters(), "g")]))
else:
    few = x[:5], targ[:5]
    for one in (model, twin):
        one(*few)
        one.backward()
    arrays = [p.data for p in model.parameters()]
    largest.value = int(sys.argv[2])
    error = None
    try:
        step(model)
    except MemoryError as caught:
        error = type(caught).__name__
    largest.value = 2**62
    kept = same(model.parameters(), twin.parameters(), "data") and same(model.parameters(), twin.parameters(), "g")
    kept = kept and all(p.data is a for p, a in zip(model.parameters(), arrays))
    again = step(model) == step(twin) and same(model.parameters(), twin.parameters(), "g")
    print(json.dumps([refused.value, error, kept, again]))
"""


@pytest.fixture
def failing(builds):
    return builds.library("live_malloc")


@HERE
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("form", ["tape", "model"])
def test_a_product_that_gets_no_memory_takes_the_stack(failing, form, threads):
    """The C core's own requests fail: the bits of the results are what they are otherwise."""
    refused, same_loss, same_gradients = run(failing, FAIL, form, "in C", threads=threads)
    assert refused > 0
    assert same_loss
    assert same_gradients


@HERE
def test_a_plan_asks_for_nothing_in_c(failing):
    assert run(failing, FAIL, "plan", "in C") == [0, True, True]


@HERE
@pytest.mark.parametrize("form", ["tape", "model", "plan"])
@pytest.mark.parametrize("most", [10**5, 10**6])
def test_arrays_that_get_no_memory_leave_model_and_gradients_as_they_were(failing, form, most):
    refused, error, kept, again = run(failing, FAIL, form, most)
    assert refused > 0
    assert error in ("MemoryError", "_ArrayMemoryError")
    assert kept
    assert again
