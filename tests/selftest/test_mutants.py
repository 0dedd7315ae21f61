"""Positive controls: cores with one mistake, which the selftest must find; also mistakes that only threads make."""

import json
import os
import platform

import pytest

from helpers.compile_c import compilers
from helpers.mutants import package
from helpers.processes import run_command

# (file, what it says, what the mutant says instead, the C file that includes it)
MUTANTS = {
    "a thread's share too short": ("runtime/threads.c", "share < more ? share : more", "0", ""),
    "a sum in another order": (
        "internal.h",
        "lane[l] += lane[l + width]",
        "lane[l] = lane[2 * l] + lane[2 * l + 1]",
        "ops/mse.c",
    ),
    "relu' at 0": ("ops/relu.c", "x[i] > 0 ? upstream : 0", "x[i] >= 0 ? upstream : 0", ""),
    "threads that do not wait": ("runtime/team.c", "    wait_for_helpers(count);\n", "", ""),
    "partial sums out of turn": (
        "plan/fused.c",
        "bp_add_in_turn(all->turns, share, segment, NAME(add_segment), &p)",
        "NAME(add_segment)(&p, share, segment)",
        "",
    ),
    "a product that forgets a block": (
        "ops/matmul.c",
        "b.from_c = !w->segmented && (b.p > 0",
        "b.from_c = 0 && (b.p > 0",
        "",
    ),
    "zeros left out of the wrong row": (
        "gemm/masked.h",
        "t->rows + b * t->row_step",
        "t->rows + (b ^ 1) * t->row_step",
        "plan/sparse.c",
    ),
}
ENOUGH = 5000  # cases

pytestmark = [
    pytest.mark.mutations,
    pytest.mark.skipif(
        platform.system() != "Linux" or not compilers(),
        reason="needs a compiler",
    ),
]


def selftest(folder):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    limits = ["--cases", ENOUGH, "--failures", 1]
    done = run_command("selftest", "--only", "bits", *limits, "--seed", 4, "--json", env=environment, cwd=folder)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_an_unchanged_core_passes(builds, tmp_path):
    told = selftest(package(builds, tmp_path))
    assert (told["cases"], told["failures"]) == (ENOUGH, [])


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_found(builds, tmp_path, mutant):
    file, old, new, behind = MUTANTS[mutant]
    assert selftest(package(builds, tmp_path, file, old, new, behind))["failures"]
