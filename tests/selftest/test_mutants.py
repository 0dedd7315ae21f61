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
    "a label's one forgotten": ("ops/cross_entropy.c", "(of_label - 1) * factor", "of_label * factor", ""),
    "probabilities taken to add up to 1": (
        "ops/cross_entropy.c",
        "fma(r.weight[i], r.sum[i], -r.picked[i])",
        "r.sum[i] - r.picked[i]",
        "",
    ),
    "targets of a loss in rows of another width": ("ops/loss.c", "labels ? 1 : h) +", "labels ? h : h) +", ""),
    "a loss over elements, not rows": ("ops/loss.c", "per_element ? n * h : n", "per_element ? n * h : n * h", ""),
    "tanh' from the output taken for the input": (
        "ops/tanh.c",
        "dx[i] = dout[i] * NAME(bp_tanh_slope)(out[i])",
        "dx[i] = dout[i] * NAME(bp_tanh_slope)(NAME(bp_tanh_one)(out[i]))",
        "",
    ),
    "Adam's first step taken for the second": ("ops/adam.c", "o->steps + 1", "o->steps + 2", ""),
    "AdamW's decay in the gradient": ("ops/adam.c", ".decoupled = o->decoupled", ".decoupled = 0", ""),
    "Nesterov's step without its momentum": ("ops/optimizer.c", "if (nesterov)", "if (0)", ""),
    "weight decay forgotten beside momentum": (
        "ops/optimizer.c",
        "if (decay != 0) step",
        "if (decay != 0 && !v) step",
        "",
    ),
    "an update that a plan does not count": ("plan/update.c", "if (plan->optimizer) plan->optimizer->steps++;", "", ""),
    "a norm without the last gradient": (
        "plan/update.c",
        "one < end; one++)\n        sum +=",
        "one < end - (end > plan->clipped + 1); one++)\n        sum +=",
        "",
    ),
    "the rate of the first step at every step": ("plan/plan.c", "at->rates[at->steps]", "at->rates[0]", ""),
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
