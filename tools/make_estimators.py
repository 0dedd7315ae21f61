"""Compares the estimators with scikit-learn's on five of its data sets, and writes the table of docs/scikit-learn.md.

    python tools/make_estimators.py

The settings are the defaults, but for max_iter; the data are standardised. Scores are the mean of 5-fold
cross-validation over 5 values of random_state; of the classifiers it is the accuracy, of the regressor R². Times are of
one fit on all of the data, the median of REPEATS, alternating, each engine in a process of its own, on a machine that
should be quiet.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import pybackprop as bp

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scikit-learn.md"
TABLE = re.compile(r"(<!-- estimators -->\n).*?(<!-- end -->)", re.DOTALL)
REPEATS, SEEDS, EPOCHS = 5, 5, 400
SETS = ("iris", "wine", "breast_cancer", "digits", "diabetes")
ENGINES = {
    "scikit-learn": ("sklearn.neural_network", {}),
    "float64": ("pybackprop.sklearn", {}),
    "float32": ("pybackprop.sklearn", {"dtype": "float32"}),
}


def measure(data: str, engine: str, scores: bool) -> dict[str, Any]:
    """Scores, or the seconds of a fit, in this process."""
    from importlib import import_module

    import numpy as np
    from sklearn import datasets
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    warnings.simplefilter("ignore")  # not converged, said of some
    x, y = getattr(datasets, f"load_{data}")(return_X_y=True)
    module, options = ENGINES[engine]
    kind = getattr(import_module(module), "MLPRegressor" if data == "diabetes" else "MLPClassifier")
    if data == "diabetes":
        options = {**options, "learning_rate_init": 0.01, "early_stopping": True}  # its targets are around 150

    def estimator(seed: int) -> Any:
        return kind(random_state=seed, max_iter=EPOCHS, **options)

    if scores:
        of_seeds = [
            cross_val_score(make_pipeline(StandardScaler(), estimator(seed)), x, y).mean() for seed in range(SEEDS)
        ]
        return {"score": float(np.mean(of_seeds)), "spread": float(np.std(of_seeds))}
    x = StandardScaler().fit_transform(x)
    estimator(0).set_params(max_iter=2).fit(x, y)
    begin = perf_counter()
    fitted = estimator(0).fit(x, y)
    return {"seconds": perf_counter() - begin, "epochs": fitted.n_iter_}


def in_process(*arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def row(data: str) -> str:
    """A line of the table."""
    scores = {engine: in_process(data, engine, "scores") for engine in ENGINES}
    times: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(REPEATS):
        for engine in ENGINES:
            found = in_process(data, engine, "seconds")
            times[engine].append(found["seconds"] / found["epochs"])
    middle = {engine: statistics.median(seconds) for engine, seconds in times.items()}
    cells = [data]
    cells += [f"{scores[e]['score']:.4f} ± {scores[e]['spread']:.4f}" for e in ENGINES]
    cells += [f"{middle[e] * 1e3:.3g}" for e in ENGINES]
    cells += [f"{middle['scikit-learn'] / middle[e]:.1f}x" for e in ("float64", "float32")]
    return f"| {' | '.join(cells)} |"


def table() -> str:
    titles = ["data", *(f"score, {e}" for e in ENGINES), *(f"ms an epoch, {e}" for e in ENGINES)]
    titles += ["faster, float64", "float32"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *map(row, SETS)]
    about, load = bp.info(), os.getloadavg()[0]
    machine = f"{about['cpu']}, {bp.threads()} threads, kernel {about['kernel']}, load {load:.1f}"
    return "\n".join(["", *lines, "", f"Measured by `tools/make_estimators.py` with {versions()} on {machine}.", ""])


def versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "numpy"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], sys.argv[2], sys.argv[3] == "scores")))
    else:
        PAGE.write_text(TABLE.sub(lambda match: match[1] + table() + match[2], PAGE.read_text("utf-8")), "utf-8")
