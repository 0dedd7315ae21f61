"""The threads by themselves, from C: regions from several threads, in forked children; what idle helpers cost."""

import os

import pytest

from helpers.compile_c import SANITIZE, compilers
from helpers.processes import ended

COMPILERS = compilers()
pytestmark = [
    pytest.mark.skipif(not COMPILERS, reason="no C compiler here"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks"),
]
CONDITIONS = "-DBP_NO_FUTEX"  # sleeping with condition variables, as where there are no futexes
RACES = ["-O1", "-g", "-fsanitize=thread"]
WITH_FORKS = {**os.environ, "TSAN_OPTIONS": "die_after_fork=0"}


def check(builds, compiler, *flags):
    done = ended([builds.program("test_team.c", compiler, flags)], env=WITH_FORKS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("0 failures, "), done.stdout
    return done.stdout


def test_regions(builds):
    assert ", 0 shares" not in check(builds, COMPILERS[0], "-O3")


def test_regions_of_a_serial_build(builds):
    assert ", 0 shares" in check(builds, COMPILERS[0], "-O3", "-DBP_SERIAL")


@pytest.mark.parametrize("sleep", ["", CONDITIONS], ids=["futex", "condition"])
def test_idle_helpers_use_no_processor(builds, sleep):
    """Less than 3 of 300 ms, though the process itself wakes once in them."""
    done = ended([builds.program("test_team.c", COMPILERS[0], ["-O3", sleep]), "--idle"])
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 3000


@pytest.mark.compilers
@pytest.mark.parametrize("sleep", ["", CONDITIONS], ids=["futex", "condition"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_regions_by_every_compiler(builds, compiler, sleep):
    check(builds, compiler, "-O3", sleep)


@pytest.mark.sanitizers
@pytest.mark.parametrize("sleep", ["", CONDITIONS], ids=["futex", "condition"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_sanitizers_find_nothing_in_regions(builds, compiler, sleep):
    check(builds, compiler, *SANITIZE, sleep)
    check(builds, compiler, *RACES, sleep)


@pytest.mark.sanitizers
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_sanitizer_finds_a_race(builds, compiler):
    done = ended([builds.program("test_team.c", compiler, RACES), "--race"])
    assert done.returncode != 0
    assert "data race" in done.stderr
