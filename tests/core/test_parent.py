"""Processes that compute end with the one that started them, also where that was killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from helpers.processes import is_running, python
from pybackprop.core.parent import STARTED_BY, started_by_this

CHILD = "import time; from pybackprop.core import parent; {}; print('ready', flush=True); time.sleep(600)"
BY_THE_SYSTEM = "parent.end_with_parent()"
BY_LOOKING = "parent.sys.platform = 'elsewhere'; parent.end_with_parent()"
PARENT = """
import subprocess, sys, time
from pybackprop.core.parent import started_by_this
import os
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True,
                         env={**os.environ, **started_by_this()}, start_new_session=True)
print(child.stdout.readline().strip(), child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [BY_THE_SYSTEM, BY_LOOKING])
def test_a_child_ends_when_its_parent_is_killed(how):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD.format(how)], stdout=subprocess.PIPE, text=True)
    try:
        word, pid = parent.stdout.readline().split()
        assert word == "ready"
        assert is_running(pid)
        os.kill(parent.pid, signal.SIGKILL)
        until = time.monotonic() + 60
        while is_running(pid):
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.communicate()


@pytest.mark.parametrize("how", [BY_THE_SYSTEM, BY_LOOKING])
def test_a_child_whose_parent_has_ended_before_it_began(how):
    assert int(started_by_this()[STARTED_BY]) == os.getpid()
    gone = python("import os; print(os.getpid())")
    assert python(CHILD.format(how), **{STARTED_BY: gone.stdout.strip()}).returncode == -signal.SIGKILL
