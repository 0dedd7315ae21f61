"""What a test runs on several ranks: trains and prints one JSON line on each rank."""

import hashlib
import json
import sys

import numpy as np
from mpi4py import MPI

import pybackprop as bp


def digest(model):
    return hashlib.sha256(b"".join(p.data.tobytes() + p.g.data.tobytes() for p in model.parameters())).hexdigest()


def trained(comm, case):
    """Losses and the digest after fit, steps and gradients."""
    dtype, n, batch = np.dtype(case["dtype"]), case["rows"], case["batch"]
    rng = np.random.default_rng(7)
    x = rng.standard_normal((n, 11)).astype(dtype)
    labels = case["loss"] == "CrossEntropy"
    targ = rng.integers(3, size=n) if labels else rng.random((n, 3)).astype(dtype)
    layers = [bp.Lin(11, 17, seed=1, dtype=dtype), bp.Relu(), bp.Lin(17, 3, seed=2, dtype=dtype)]
    model = bp.Model(layers, loss=getattr(bp, case["loss"])())
    optimizer = getattr(bp, case["optimizer"])(model, lr=0.01)
    options = {"strategy": case.get("strategy"), "clip_norm": case.get("clip_norm"), "comm": comm}
    plan = bp.compile(model, batch=batch, optimizer=optimizer, **options)
    weight = rng.random(n).astype(dtype) if case.get("weights") else None
    schedule = bp.CosineLR(0.02) if case.get("schedule") else None
    fit = {"seed": 3, "sample_weight": weight, "schedule": schedule, "validation_split": case.get("validation_split")}
    history = plan.fit(x, targ, epochs=3, patience=2 if case.get("validation_split") else None, **fit)
    first = [plan.step(x[:batch], targ[:batch]), plan.grads(x[:batch], targ[:batch])]
    first.append(plan.grads(x[: batch // 2 + 1], targ[: batch // 2 + 1], accumulate=True))
    outputs = [plan.predict(some).data.tobytes() for some in (x, x[:1], x[:512], x[:513], x.astype("f8"))]
    predicted = hashlib.sha256(b"".join(outputs)).hexdigest()
    return {"losses": [e.loss for e in history], "valid": [e.validation for e in history], "first": first,
            "predicted": predicted, "digest": digest(model)}  # fmt: skip


def refused(comm, what):
    """What the ranks say when one of them does something else."""
    odd = comm.Get_rank() == comm.Get_size() - 1
    x, targ = np.zeros((600, 4), "f"), np.zeros((600, 2), "f")
    seed, batch = (1 if odd and what == "model" else 0), (64 if odd and what == "batch" else 600)
    model = bp.mlp([4, 5, 2], seed=seed)
    plan = bp.compile(model, batch=batch, optimizer=bp.SGD(lr=0.1), comm=comm)
    if odd and what == "data":
        x[3, 1] = 1
    callback = None
    if odd and what == "callback":
        callback = lambda epoch: 1 / 0  # noqa: E731
    plan.fit(x, targ, epochs=2, seed=5 if odd and what == "seed" else 0, on_epoch=callback)


def different(comm, what):
    """The digest after a training in which the last rank does something else."""
    odd = comm.Get_rank() == comm.Get_size() - 1
    x = np.random.default_rng(0).standard_normal((2048, 4)).astype("f")
    targ = x[:, :1].copy()
    model = bp.mlp([4, 3, 1], seed=0)
    plan = bp.compile(model, batch=1024, optimizer=bp.SGD(lr=0.1), comm=comm)
    options = {"epochs": 3}
    if what == "a bar on one rank":
        options["progress"] = not odd
    if what == "a callback on one rank":
        options["callback"] = (lambda moment: None) if odd else None
    if what == "clipping":
        options["clip_norm"] = 1e-3 if odd else None
    if what == "a schedule":
        options["schedule"] = (lambda epoch: 0.2) if odd else (lambda epoch: 0.1)
    if what == "the rate of a step":
        plan.optimizer.lr = 0.2 if odd else 0.1
        plan.step(x[:1024], targ[:1024])
    if what == "rows of a step":
        plan.grads(x[: 1000 + odd], targ[: 1000 + odd])
    if what == "a step that is refused":
        plan.step(x[:100, : 3 if odd else 4], targ[:100])
    if what == "NaN" and odd:
        x[3, 2] = np.nan
    if what in ("equal copies", "data changed in place"):
        plan.fit(x, targ, **options)
        x = x.copy() if odd and what == "equal copies" else x
        x[5] += odd and what == "data changed in place"
    if what == "validation":
        options |= {"patience": 1, "validation": (x[:10], targ[:10] + 50 * odd)}
    if what == "predictions of one rank":
        plan.step(x[:9], targ[:9]) if odd else plan.predict(x)
    if what == "rows to predict":
        plan.predict(x[odd:])
    if what == "loaders":
        plan.fit([(x[:512], targ[:512])] * (2 if odd else 3), epochs=1)
    plan.fit(x, targ, **options)
    return digest(model)


def main():
    comm, case = MPI.COMM_WORLD, json.loads(sys.argv[1])
    if "refuse" in case or "differ" in case:
        try:
            told = different(comm, case["differ"]) if "differ" in case else refused(comm, case["refuse"])
        except (bp.RankError, ZeroDivisionError, ValueError) as error:
            told = f"{type(error).__name__}: {error}"
    else:
        told = {"one": trained(None, case), "all": trained(comm, case)}
    lines = comm.gather(json.dumps(told))
    if comm.Get_rank() == 0:
        print("\n".join(lines))


main()
