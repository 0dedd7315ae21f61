"""The ledger: what it says of buffers, steps and peaks, predicted and of a real run."""

import contextlib
import json
import threading

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.core import native, observer
from pybackprop.engine import one_pass
from pybackprop.memory import schemes
from pybackprop.memory.buffers import PASS, BufferLog
from pybackprop.nn import network

pytestmark = pytest.mark.usefixtures("usual_tiles")

LESSON = [784, 50, 1]


@pytest.fixture
def lesson():
    return bp.mlp(LESSON, seed=0)


# ---- a log ----


def test_the_peak_is_the_worst_moment_between_making_and_freeing():
    log = BufferLog()
    a = log.make("a", (10,), "activations")
    log.step("one", a)
    b = log.make("b", (5,), "temporary")
    log.step("two", a, b)
    log.free(b)
    c = log.make("c", (3,), "activations")
    log.step("three", a, c)
    assert [step.alive for step in log.steps] == [40, 60, 52]
    found = bp.Ledger("x", log)
    assert (found.peak, found.peak_step.number, found.peak_step.operation) == (60, 2, "two")
    assert [buffer.name for buffer in found.at_peak] == ["a", "b"]
    assert found.freed() == {2: ["b"]}


def test_a_step_that_makes_nothing_has_what_is_left():
    log = BufferLog()
    a, b = (log.make(name, (10,), "temporary") for name in "ab")
    log.step("one", a, b)
    log.free(a)
    log.step("two", b)
    assert [step.alive for step in log.steps] == [80, 40]


def test_held_buffers_and_shared_ones_add_nothing():
    log = BufferLog(np.float64)
    x = log.hold("x", (4, 2), "data")
    a = log.make("a", (4,), "activations")
    g = log.share("a.g", (4,), "activation gradients", a)
    log.step("one", x, g)
    log.free(a)
    found = bp.Ledger("x", log)
    assert (found.peak, found.held, found.whole) == (32, 64, 96)
    assert (g.shares, g.freed, a.last_use) == ("a", 1, 1)


# ---- predicted ----


def test_a_model_says_what_its_step_needs(lesson):
    found = lesson.memory(batch=50_000)
    names = {buffer.name: buffer for buffer in found.buffers}
    assert names["x"].nbytes == 50_000 * 784 * 4
    assert names["w1"].nbytes == names["w1.g"].nbytes == 784 * 50 * 4
    assert names[PASS].shares is None
    assert names["l1"].shares == PASS
    assert names["l1"].shape == (50_000, 50)
    assert found.totals["data"] == 50_000 * 785 * 4
    assert found["parameters"] == found["gradients"] == sum(p.nbytes for p in lesson.parameters())
    assert found["total"] == found.whole == found.held + found.peak
    assert 20 * 10**6 < found.peak < 33 * 10**6


def test_the_first_version_has_an_array_of_rows_by_inputs_by_outputs(lesson):
    first = lesson.memory(50_000).alternatives["first"]
    top = first.at_peak[0]
    assert top.shape == (50_000, 784, 50)
    assert top.nbytes == 7_840_000_000
    assert 7.84e9 < first.peak < 7.9e9
    assert top.freed is not None


def test_alternatives_are_in_the_order_that_a_learner_expects(lesson):
    peaks = {name: other.peak for name, other in lesson.memory(50_000).alternatives.items()}
    assert list(peaks) == schemes.NAMES
    order = ["first", "matmul", "functions", "inplace", "model_inplace", "plan"]
    assert sorted(order, key=lambda name: -peaks[name]) == order
    assert peaks["plan"] < 4 * 10**6
    inplace = lesson.memory(50_000).alternatives["model_inplace"]
    packed = sum(
        buffer.nbytes for buffer in inplace.at_peak if buffer.kind == "workspace"
    )  # as large as the caches say
    assert inplace.peak - packed < 0.6 * peaks["numpy"]


def test_nothing_of_that_is_allocated_or_run(lesson):
    """A batch that no machine has memory for."""
    found = lesson.memory(10**12)
    assert found.peak > 10**13
    assert found.alternatives["first"].peak > 10**17
    assert found.alternatives["plan"].peak < 10**8


@pytest.mark.parametrize("widths", [[3, 2], [5, 4, 3, 2], [7, 7, 7, 7, 7, 1]])
def test_any_depth_and_dtype(widths, dtype):
    model = bp.mlp(widths, dtype=dtype)
    small, large = (model.memory(batch).alternatives for batch in (1000, 100_000))
    for name in schemes.NAMES:
        if name != "plan":  # it may choose another strategy, which needs less
            assert 0 < small[name].peak <= large[name].peak
    assert model.memory(1000).alternatives["first"].log.dtype == dtype


def test_layers_without_bias_and_relu_at_the_end(rng):
    model = bp.Model([bp.Lin(rng.normal(size=(4, 3)).astype("f")), bp.Relu()])
    found = model.memory(10)
    assert "b1" not in {buffer.name for buffer in found.buffers}
    assert all(other.peak > 0 for other in found.alternatives.values())


@pytest.mark.parametrize("batch", [0, -1, 2.5, True, None])
def test_a_batch_is_a_whole_number(lesson, batch):
    with pytest.raises(ValueError, match="memory: batch"):
        lesson.memory(batch)


def test_another_model_is_told_to_count_a_real_step():
    model = bp.Model([bp.Lin(np.ones((2, 2), np.float32)), lambda x: x + 1])
    with pytest.raises(TypeError, match=r"layers\[1\] is <lambda>.*bp.ledger"):
        model.memory(4)
    with pytest.raises(TypeError, match=r"expected a bp\.Model"):
        bp.fits(3)


# ---- a plan ----


@pytest.mark.parametrize("strategy", ["layers", "split", "fused"])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_a_plan_lists_all_that_it_has(strategy, momentum):
    model = bp.mlp([30, 20, 10, 3])
    plan = bp.compile(model, batch=700, optimizer=bp.SGD(lr=0.1, momentum=momentum), strategy=strategy)
    found = plan.memory()
    assert found.peak == found["workspace"] == plan.layout.values.nbytes + plan.layout.workspace.nbytes
    assert sum(b.nbytes for b in found.buffers if b.kind == "parameters") == plan.arena.values.nbytes
    assert sum(b.nbytes for b in found.buffers if b.kind == "momentum") == found["momentum"]
    assert (found["momentum"] > 0) is (momentum > 0)
    assert found["total"] == sum(found[name] for name in ("parameters", "gradients", "momentum", "workspace"))
    if strategy != "fused":
        assert sum(b.shares is not None for b in found.buffers) == 6  # each layer's z and dz


@pytest.mark.parametrize("strategy", ["layers", "split", "fused", None])
def test_a_plan_is_predicted_as_it_is(strategy, dtype):
    model = bp.mlp([30, 20, 10, 3], dtype=dtype)
    plan = bp.compile(model, batch=2000, strategy=strategy)
    name = "plan" if strategy is None else f"plan_{strategy}"
    assert plan.memory().alternatives[name].peak == plan.memory().peak


def test_a_gathered_batch_is_listed_after_a_fit(rng):
    plan = bp.compile(bp.mlp([3, 2]), batch=16, optimizer=bp.SGD(lr=0.1))
    before = plan.memory().peak
    plan.fit(rng.normal(size=(40, 3)).astype("f"), rng.normal(size=(40, 2)).astype("f"), epochs=1)
    found = plan.memory()
    (gathered,) = (b for b in found.buffers if b.name == "a gathered batch")
    assert found.peak == before + gathered.nbytes


# ---- a real run ----


def test_a_real_run_names_what_it_made(rng):
    x, targ = rng.normal(size=(2000, 30)).astype("f"), rng.normal(size=(2000, 2)).astype("f")
    model = bp.mlp([30, 20, 2])
    with bp.ledger() as led:
        model(x, targ)
        model.backward()
    names = {buffer.name: buffer for buffer in led.buffers}
    assert {"w1.g", "b1.g", "w2.g", "b2.g", PASS} <= names.keys()
    assert names["w1.g"].made_by == "Model: backward"
    assert names["w1.g"].kind == "gradients"
    assert names["l1"].shares == PASS
    assert [step.operation for step in led.steps] == ["Model: forward", "Model: backward"]
    assert (names[PASS].first_use, names[PASS].last_use) == (1, 2)
    with bp.ledger() as again:
        model(x, targ)
        model.backward()
    assert again.peak < 2 * 10**6  # the workspace is there, and so are the gradients; what products pack may be new


def test_a_real_run_says_what_went_when():
    a = np.ones((200, 50), np.float32)
    with bp.ledger() as led:
        first = bp.relu(a)
        second = bp.relu(first)
        del first
        third = bp.relu(second)
    made = [buffer for buffer in led.buffers if buffer.made_by == "relu"]
    assert [buffer.freed for buffer in made] == [2, None, None]
    assert [(buffer.first_use, buffer.last_use) for buffer in made] == [(1, 2), (2, 3), (3, 3)]
    assert led.peak == 2 * a.nbytes
    assert led.freed() == {2: ["relu"]}
    assert third.shape == second.shape


def test_values_in_the_same_memory_are_said_to_share_it():
    x, w = np.ones((100, 20), np.float32), np.ones((20, 30), np.float32)
    with bp.ledger() as led:
        out = bp.lin(x, w)
        bp.relu_(out)
        bp.mse_grad(out, np.zeros((100, 30), np.float32), inplace=True)
    shared = {buffer.name: buffer.shares for buffer in led.buffers if buffer.shares}
    assert shared == {"relu_": "lin", "mse_grad": "lin"}
    assert led.peak < 2 * out.nbytes


def test_every_product_into_a_given_out_is_a_step(rng):
    a, b, c = (bp.tensor(rng.standard_normal((4, 4))) for _ in range(3))
    bp.matmul(a, b, out=c)
    with bp.ledger() as led:
        for _ in range(3):
            bp.matmul(a, b, out=c)
        bp.matmul(a.data, b, transpose_a=True, out=c)
    assert [step.operation for step in led.steps] == ["matmul"] * 4


def test_views_are_no_buffers():
    t = bp.tensor(np.ones((100, 20), np.float32))
    with bp.ledger() as led:
        kept = t[3:], t.T, t.reshape(20, 100), t.unsqueeze(0)
    assert led.buffers == []
    assert led.peak == 0
    assert len(kept) == 4


def test_a_compile_and_a_fit_in_a_ledger(rng):
    x, targ = rng.normal(size=(900, 30)).astype("f"), rng.normal(size=(900, 2)).astype("f")
    model = bp.mlp([30, 20, 2])
    with bp.ledger() as led:
        plan = bp.compile(model, batch=100, optimizer=bp.SGD(lr=0.01, momentum=0.5), strategy="split")
        plan.fit(x, targ, epochs=2)
    assert [step.operation for step in led.steps][:1] == ["compile"]
    assert {"the plan's parameters", "the plan's momentum"} <= {buffer.name for buffer in led.buffers}
    assert led.peak >= plan.memory()["total"]


def test_nothing_is_left_behind_when_it_closes():
    tables = dict(native.linear_forward), one_pass.PassWorkspace.forward, bp.Plan.step
    with contextlib.suppress(ZeroDivisionError), bp.ledger() as led:
        bp.relu(np.ones((100, 100), np.float32))
        raise ZeroDivisionError
    assert observer.active is None
    assert (dict(native.linear_forward), one_pass.PassWorkspace.forward, bp.Plan.step) == tables
    assert len(led.buffers) == 1
    bp.relu(np.ones((100, 100), np.float32))
    assert len(led.buffers) == 1


def test_ledgers_may_be_open_together_and_close_in_any_order():
    a = np.ones((100, 100), np.float32)
    outer, inner = bp.ledger(), bp.ledger()
    one = outer.__enter__()
    bp.relu(a)
    two = inner.__enter__()
    bp.relu(a)
    outer.__exit__(None, None, None)
    bp.relu(a)
    inner.__exit__(None, None, None)
    assert (len(one.buffers), len(two.buffers)) == (2, 2)
    assert observer.active is None


def test_other_threads_are_heard():
    a = np.ones((100, 100), np.float32)

    def work():
        for _ in range(50):
            bp.relu(a)

    with bp.ledger() as led:
        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert len(led.buffers) == 200
    assert all(buffer.freed is not None for buffer in led.buffers)
    assert a.nbytes <= led.peak <= 4 * a.nbytes


def test_a_ledger_changes_no_bit(rng):
    x, targ = rng.normal(size=(50, 8)).astype("f"), rng.normal(size=(50, 2)).astype("f")
    model, twin = bp.mlp([8, 6, 2]), bp.mlp([8, 6, 2])
    with bp.ledger():
        model(x, targ)
        model.backward()
    twin(x, targ)
    twin.backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert (p.g.data == q.g.data).all()


# ---- as text, numbers and pictures ----


def test_it_is_said_as_a_table(lesson):
    said = str(lesson.memory(50_000))
    for words in (
        "Model: 50,000 rows of 784→50→1, float32",
        "50000\N{MULTIPLICATION SIGN}784 float32",
        "157 MB",
        "peak:",
        "created by",
    ):
        assert words in said
    assert max(map(len, said.splitlines())) <= 110


def test_show_prints_the_same(lesson, capsys):
    found = lesson.memory(50_000)
    found.show()
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert printed == str(found)


def test_as_json_it_has_everything(lesson):
    found = json.loads(lesson.memory(50_000).to_json())
    assert found["peak"] == lesson.memory(50_000).peak
    assert found["alternatives"]["first"] > 7.84e9
    keys = {"name", "kind", "shape", "dtype", "bytes", "created_by", "created", "first_use", "last_use"}
    assert found["buffers"][0].keys() == keys | {"freed_after", "shares_storage_with"}
    assert found["peak_step"]["alive"] == found["peak"]


@pytest.mark.parametrize("name", schemes.NAMES)
def test_the_picture_has_a_bar_for_each_buffer_and_the_peak(tmp_path, name):
    pytest.importorskip("matplotlib")
    ledger = schemes.named(name).ledger(network.of_sizes([20, 10, 2]), 5000)
    figure = ledger.plot(tmp_path / "lives.png")
    above, below = figure.axes
    assert (tmp_path / "lives.png").stat().st_size > 10_000
    assert len(above.patches) == len(ledger.steps) + 1
    named = [label.get_text() for label in below.get_yticklabels()]
    assert len(named) == sum(not b.held for b in ledger.buffers)
    assert f"step {ledger.peak_step.number}" in above.texts[0].get_text()


def test_a_notebook_gets_table_and_picture(lesson):
    pytest.importorskip("matplotlib")
    shown = lesson.memory(1000)._repr_html_()
    assert shown.count("<tr") == len(lesson.memory(1000).buffers) + 1
    assert "<svg" in shown
    assert PASS in shown


def test_an_empty_ledger_is_said_and_drawn():
    pytest.importorskip("matplotlib")
    with bp.ledger() as led:
        pass
    assert led.peak == 0
    assert "peak: 0 bytes" in str(led)
    led.plot()
    assert "<table>" in led._repr_html_()


def test_a_plot_goes_to_a_picture(tmp_path, lesson):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"\.png"):
        lesson.memory(10).plot(tmp_path / "lives.txt")
