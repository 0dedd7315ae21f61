"""Every wrong kernel is caught and named, and harms nothing."""

import platform

import numpy as np
import pytest

import pybackprop as bp
from helpers.compile_c import compilers, has_openmp
from helpers.wrong_kernels import ON_X86, WITH_OPENMP, WRONG, begun
from pybackprop.lab import compiler, findings
from pybackprop.lab.operation import started
from pybackprop.lab.operations import operation

pytestmark = pytest.mark.skipif(not compilers(), reason="no compiler")
SOON = 2.0  # seconds
SANITIZED = {
    "reads past the end": "heap-buffer-overflow",
    "writes past the end": "heap-buffer-overflow",
    "writes before the beginning": "heap-buffer-overflow",
    "divides by zero": "division by zero",
}


def usable(name):
    if name in ON_X86 and platform.machine() != "x86_64":
        pytest.skip("its instructions are those of x86-64")
    if name in WITH_OPENMP and not has_openmp(compilers()[0]):
        pytest.skip("the compiler has no OpenMP")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_named(name):
    usable(name)
    op, text, kind, words = WRONG[name]
    trial = bp.lab.try_kernel(text, op, limit=SOON, timed=False)
    found = {finding.kind: finding.text for finding in trial.findings}
    assert kind in found, str(trial)
    assert words in found[kind], str(trial)
    assert not trial.ok
    assert trial.is_within_rounding == (kind in findings.WITHIN_ROUNDING)
    assert kind.upper() in str(trial)


@pytest.mark.parametrize("name", SANITIZED)
def test_a_sanitizer_names_the_line(name):
    usable(name)
    try:
        compiler.find().runtime()
    except compiler.CompilerError:
        pytest.skip("the compiler has no AddressSanitizer")
    op, text, _, _ = WRONG[name]
    trial = bp.lab.try_kernel(text, op, sanitize=True)
    (finding,) = trial.findings
    assert finding.kind == findings.SANITIZER
    assert SANITIZED[name] in finding.text
    assert f"{op}.c:" in finding.text


@pytest.mark.parametrize("op", ["matmul", "linear_forward", "linear_backward_x", "linear_backward_w", "relu", "mse"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_file_to_start_from_is_right(op, dtype):
    trial = bp.lab.try_kernel(started(operation(op), dtype), op, dtype=dtype, timed=False)
    assert trial.ok, str(trial)
    assert trial.cases > 20
    assert "BIT-EQUAL" in str(trial)


def test_what_differs_is_measured():
    op, text, _, _ = WRONG["reassociated"]
    trial = bp.lab.try_kernel(text, op, timed=False)
    assert trial.ulps > 0
    assert 0 < trial.relative < 130 * np.finfo(np.float32).eps


def test_where_the_first_difference_lies():
    op, text, _, _ = WRONG["one term too few"]
    finding = bp.lab.try_kernel(text, op, timed=False).findings[0]
    assert finding.text.startswith("c[0,0] is ")
    assert finding.case == "rows=3, inner=17, cols=5, random numbers"


def test_a_slow_kernel_is_not_endless():
    """Many calls together may take longer than one."""
    trial = bp.lab.try_kernel(begun("usleep(20000);"), limit=0.3, timed=False)
    assert trial.ok, str(trial)
