"""Rows on disk take the memory that docs/everyday.md says: two windows and a block, whatever the size of the files."""

import json
import sys

import numpy as np
import pytest

from helpers.processes import python
from pybackprop.bench import resident_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")

MB = 10**6
FEATURES, ROWS = 250, 400_000  # 400 MB of float32
BLOCK = 8_000  # rows: 8 MB
WINDOW = 2

PROGRAM = """
import json, resource, sys
import numpy as np
import pybackprop as bp
from pybackprop.bench import resident_memory

x, targ, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = bp.mlp([250, 4, 1], seed=0)
plan = bp.compile(model, batch=500, optimizer=bp.SGD(lr=1e-3))
warm = np.zeros((500, 250), "f"), np.zeros((500, 1), "f")
plan.fit(*warm, epochs=1)
if limit:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
told = {}
if sys.argv[4] == "whole":
    try:
        plan.fit(np.load(x), np.load(targ), epochs=1)
    except MemoryError as error:
        told["error"] = type(error).__name__
else:
    pair = x.endswith("x.npy")
    rows = bp.data.open(x, targ, window=2, block_rows=8000) if pair else bp.data.open(x, target=targ or None, window=2)
    told["rows"] = rows.rows
    call = {"fit": lambda: plan.fit(rows, epochs=1), "predict": lambda: plan.predict(rows),
            "validation": lambda: plan.fit(*warm, epochs=1, validation=rows)}[sys.argv[4]]
    told["extra"] = resident_memory.extra(call)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """x and targ of zeros, with one number in them: files that take no room on disk."""
    folder = tmp_path_factory.mktemp("large")
    for name, shape in (("x", (ROWS, FEATURES)), ("targ", (ROWS, 1))):
        held = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
        held[-1, -1] = 1
        held.flush()
        del held
    return folder / "x.npy", folder / "targ.npy"


def told(files, limit, what):
    done = python(PROGRAM, *files, limit, what, PYBACKPROP_THREADS="1")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("what", ["fit", "predict", "validation"])
def test_a_limited_address_space_is_enough_for_rows_on_disk(files, what):
    """200 MB more than the process had: half of the data."""
    found = told(files, 200 * MB, what)
    assert found["rows"] == ROWS
    if found["extra"] is None:
        pytest.skip("the peak is not known")
    block = BLOCK * FEATURES * 4
    blocks = 2 * WINDOW + 1 if what == "fit" else 2
    of_targets = 3 * 4 * ROWS if what != "fit" else 0  # outputs, targets, and these while they are put together
    assert found["extra"] < blocks * block + of_targets + 4 * MB
    if what == "fit":
        assert found["extra"] > 2 * WINDOW * block - MB  # otherwise this would measure nothing


COMMANDS = """
import json, resource, sys
from pybackprop.cli.main import main

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 10**6, used + 200 * 10**6))
x, saved = sys.argv[1:]
train = ["train", "--epochs", "1", "--batch", "500", "--hidden", "4", "--window", "2", "--scale", "standard"]
codes = [main([*train, "--data", x, "--save", saved, "--quiet"]), main(["predict", "--model", saved, "--data", x])]
sys.exit(max(codes))
"""


def test_a_limited_address_space_is_enough_for_the_commands(files, tmp_path):
    done = python(COMMANDS, files[0], tmp_path / "model.npz", PYBACKPROP_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == ROWS


def test_the_same_limit_is_not_enough_for_the_data_in_memory(files):
    assert told(files, 200 * MB, "whole")["error"] in ("MemoryError", "_ArrayMemoryError", "OutOfMemoryError")


@pytest.mark.parametrize("kind", ["npz", "compressed", "parquet"])
def test_shards_and_row_groups_take_two_windows_and_a_block(tmp_path, rng, kind):
    """Of 12 blocks of 8 MB."""
    x = rng.random((BLOCK, FEATURES), np.float32)
    targ = x[:, :1]
    if kind == "parquet":
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        table = pa.table({f"f{k}": x[:, k] for k in range(FEATURES)} | {"t": targ[:, 0]})
        with parquet.ParquetWriter(tmp_path / "rows.parquet", table.schema) as writer:
            for _ in range(12):
                writer.write_table(table)
    else:
        for k in range(12):
            (np.savez if kind == "npz" else np.savez_compressed)(tmp_path / f"{k:02}.npz", x=x, targ=targ)
    found = told((tmp_path, "t" if kind == "parquet" else ""), 0, "fit")
    assert found["rows"] == 12 * BLOCK
    block = BLOCK * FEATURES * 4
    libraries = 70 * MB if kind == "parquet" else 8 * MB  # pyarrow itself; zlib
    assert found["extra"] is None or found["extra"] < (2 * WINDOW + 1) * block + libraries


def test_the_peak_is_known_here():
    assert resident_memory.extra(lambda: None) is not None
