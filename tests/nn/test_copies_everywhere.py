"""Copies in the middle of things: tied parameters, accumulating passes, callbacks, other processes."""

import copy
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest

import pybackprop as bp
from helpers.optimizers import KINDS

WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda pair: pickle.loads(pickle.dumps(pair))}


def samples(n=16, m=8, h=4):
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, m)).astype(np.float32), rng.standard_normal((n, h)).astype(np.float32)


def made():
    model = bp.mlp([8, 16, 4], seed=2)
    return model, bp.SGD(model, lr=0.05, momentum=0.9)


def steps(pair, count):
    for _ in range(count):
        pair[0](*samples())
        pair[0].backward()
        pair[1].step()
    return [p.data.tobytes() for p in pair[0].parameters()]


@pytest.mark.parametrize("way", WAYS)
def test_parameters_tied_between_layers_stay_tied(way):
    w, b = bp.param(np.full((4, 4), 0.1, np.float32)), bp.param(np.ones(4, np.float32))
    model = bp.Model([bp.Lin(w, b), bp.Relu(), bp.Lin(w, b)])
    pair = WAYS[way]((model, bp.SGD(model, lr=0.1, momentum=0.5)))
    first, last = pair[0].layers[0], pair[0].layers[2]
    assert first.w is last.w
    assert first.b is last.b
    data = samples(8, 4, 4)
    for twin in (pair, (model, bp.SGD(model, lr=0.1, momentum=0.5))):
        for _ in range(3):
            twin[0](*data)
            twin[0].backward()
            twin[1].step()
    assert first.w.data.tobytes() == w.data.tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_between_two_accumulating_passes_adds_to_the_same(way):
    model, _ = made()
    x, t = samples()
    model(x, t)
    model.backward()
    twin = WAYS[way](model)
    for each in (model, twin):
        each(x[::-1].copy(), t)
        each.backward(accumulate=True)
    assert [p.g.data.tobytes() for p in twin.parameters()] == [p.g.data.tobytes() for p in model.parameters()]


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_made_in_a_callback_continues_as_fit_does(way):
    pair, twins = made(), []
    plan = bp.compile(pair[0], batch=8, optimizer=pair[1])

    def callback(moment):
        if moment.done is not None and moment.epoch == 3:
            twins.append(WAYS[way](pair))

    plan.fit(*samples(40), epochs=6, seed=5, callback=callback)
    expected = [p.data.tobytes() for p in pair[0].parameters()]
    (twin,) = twins
    bp.compile(twin[0], batch=8, optimizer=twin[1]).fit(*samples(40), epochs=6, done=3, seed=5)
    assert [p.data.tobytes() for p in twin[0].parameters()] == expected


def test_a_shallow_copy_of_an_optimizer_has_momentum_of_its_own():
    pair = made()
    steps(pair, 2)
    w = pair[0].layers[0].w
    old = copy.copy(pair[1])
    before = pair[1].velocity(w).data.copy()
    assert old.velocity(w) is not pair[1].velocity(w)
    steps(pair, 1)
    assert np.array_equal(old.velocity(w), before)
    assert old.parameters[0] is w


@pytest.mark.parametrize("of", ["model", "plan"])
def test_a_ledger_is_copied_and_pickled(of):
    model, sgd = made()
    ledger = model.memory(4) if of == "model" else bp.compile(model, batch=4, optimizer=sgd).memory()
    for twin in (copy.copy(ledger), copy.deepcopy(ledger), pickle.loads(pickle.dumps(ledger))):
        assert (twin.peak, twin.totals, str(twin)) == (ledger.peak, ledger.totals, str(ledger))


def test_masks_operations_and_descriptions_are_copied():
    mask = bp.tensor([[1.0, -1.0]]) > 0
    told = bp.data.digits_description()
    network = bp.compile(made()[0], batch=4).layout.network
    for act in (copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        assert np.array_equal(act(mask).data, mask.data)
        assert act(told) == told
        assert str(act(network)) == str(network)


def test_memory_that_others_own_or_map_becomes_the_copys_own():
    w = bp.param(np.ones((600, 600), np.float32), name="w")
    buffers = []
    content = pickle.dumps(w, 5, buffer_callback=buffers.append)
    shared = [bytearray(buffer.raw()) for buffer in buffers]
    twin = pickle.loads(content, buffers=shared)
    shared[0][:4] = b"\0\0\0\0"
    assert np.array_equal(twin, w)
    assert twin.data.flags.writeable
    assert twin.data.ctypes.data % 64 == 0
    twin = pickle.loads(content, buffers=[bytes(each) for each in shared])
    twin -= 1.0  # from memory that is read-only


def test_joblib(tmp_path):
    joblib = pytest.importorskip("joblib")
    expected = steps(made(), 4)
    pair = made()
    steps(pair, 2)
    joblib.dump(pair, tmp_path / "pair")
    for mode in (None, "r", "c"):
        assert steps(joblib.load(tmp_path / "pair", mmap_mode=mode), 2) == expected


# ---- classifications, by each optimizer ----


def classes(kind, activation=bp.Tanh):
    layers = [bp.Lin(8, 16, seed=2), activation(), bp.Lin(16, 4, seed=3)]
    model = bp.Model(layers, loss=bp.CrossEntropy())
    return model, KINDS[kind](model)


def labelled(n=16):
    return samples(n)[0], np.arange(n) % 4


class Loop:
    """Steps of a Model and its optimizer, with clipping and a schedule."""

    def __init__(self, pair):
        self.model, self.optimizer = pair

    def run(self, count):
        schedule = bp.CosineLR(0.05, 40)
        for _ in range(count):
            self.optimizer.lr = schedule(self.optimizer.steps)
            self.model(*labelled()).backward()
            bp.clip_grad_norm(self.model, 0.5)
            self.optimizer.step()


class Compiled(Loop):
    """The same by a plan, step by step."""

    def __init__(self, pair):
        super().__init__(pair)
        self.plan = bp.compile(self.model, batch=16, optimizer=self.optimizer, clip_norm=0.5)

    def run(self, count):
        schedule = bp.CosineLR(0.05, 40)
        for _ in range(count):
            self.optimizer.lr = schedule(self.optimizer.steps)
            self.plan.step(*labelled())


def joblib_dump(pair, folder):
    joblib = pytest.importorskip("joblib")
    joblib.dump(pair, folder / "pair", compress=3)
    return joblib.load(folder / "pair")


def joblib_map(pair, folder):
    joblib = pytest.importorskip("joblib")
    joblib.dump(pair, folder / "pair")
    return joblib.load(folder / "pair", mmap_mode="r")


COPIES = {name: (lambda pair, folder, way=way: way(pair)) for name, way in WAYS.items()}
COPIES |= {"joblib": joblib_dump, "joblib, mapped": joblib_map}


def state(pair):
    model, optimizer = pair
    kept = [k.data.tobytes() for p in model.parameters() for k in (optimizer.kept(p) if optimizer.keeps else ())]
    return [p.data.tobytes() for p in model.parameters()], kept, optimizer.steps, optimizer.options()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(("before", "after"), [(Loop, Loop), (Loop, Compiled), (Compiled, Loop), (Compiled, Compiled)])
def test_a_classification_goes_on_in_a_copy(tmp_path, kind, copied, before, after):
    """Both the copy and the original, after 0 and after 3 steps; a step of one does not touch the other."""
    whole = classes(kind)
    Loop(whole).run(7)
    for done in (0, 3):
        pair = classes(kind)
        training = before(pair)
        training.run(done)
        twin = copied(pair, tmp_path)
        assert state(twin) == state(pair)
        at_the_copy = state(pair)
        after(twin).run(7 - done)
        assert state(pair) == at_the_copy
        assert state(twin) == state(whole)
        training.run(7 - done)
        assert state(pair) == state(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("activation", [bp.Tanh, bp.Sigmoid, bp.LeakyRelu])
def test_a_copy_between_epochs_of_fit(kind, way, activation):
    """A schedule of steps, clipping and momentum go on where they were."""
    pair, twins = classes(kind, activation), []
    plan = bp.compile(pair[0], batch=8, optimizer=pair[1])
    options = {"epochs": 6, "seed": 5, "clip_norm": 0.5, "schedule": bp.OneCycleLR(0.02, 30)}
    plan.fit(
        *labelled(40),
        **options,
        callback=lambda moment: (
            twins.append(WAYS[way](pair)) if moment.done is not None and moment.epoch == 3 else None
        ),
    )
    (twin,) = twins
    assert twin[1].steps == 15
    bp.compile(twin[0], batch=8, optimizer=twin[1]).fit(*labelled(40), **options, done=3)
    assert state(twin) == state(pair)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_between_forward_and_backward_has_no_pending_pass(way):
    pair = classes("adam")
    Loop(pair).run(2)
    pair[0](*labelled())
    twin = WAYS[way](pair)
    with pytest.raises(bp.GradientError, match="no loss yet"):
        twin[0].backward()
    pair[0].backward()
    pair[1].step()
    twin[0](*labelled()).backward()
    twin[1].step()
    assert state(twin) == state(pair)


PROGRAM = """
import multiprocessing, sys
import numpy as np
import pybackprop as bp

def train(pair, count=2):
    rng = np.random.default_rng(3)
    x, t = rng.standard_normal((16, 8)).astype(np.float32), rng.standard_normal((16, 4)).astype(np.float32)
    if isinstance(pair[0].loss, bp.CrossEntropy):
        t = t.argmax(1)
    for _ in range(count):
        pair[0](x, t); pair[0].backward(); pair[1].step()
    return pair

def bits(pair):
    return [p.data.tobytes() for p in pair[0].parameters()]

def made(kind):
    if kind == "SGD":
        model = bp.mlp([8, 16, 4], seed=2)
        return model, bp.SGD(model, lr=0.05, momentum=0.9)
    model = bp.Model([bp.Lin(8, 16), bp.Tanh(), bp.Lin(16, 4, seed=1)], loss=bp.CrossEntropy())
    return model, getattr(bp, kind)(model, lr=0.01, weight_decay=0.1)

if __name__ == "__main__":
    for kind in ("SGD", "Adam", "AdamW"):
        pair, whole = train(made(kind)), train(made(kind), 6)
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            pair = pool.apply(train, (pair,))
        assert bits(train(pair)) == bits(whole)
        assert pair[1].steps == whole[1].steps == 6
        print("equal")
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_training_goes_on_in_another_process_and_back(method, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.returncode) == ("equal\n" * 3, 0), done.stderr
