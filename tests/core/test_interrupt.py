"""Ctrl-C inside a running command, where a KeyboardInterrupt would do harm or be lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from pybackprop.core import interrupt

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers as POSIX has them")

AS_COMMAND = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.orig_argv = ["python", "-m", "pybackprop"]
import pybackprop
from pybackprop.core import interrupt
interrupt.raise_again()

def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):  # where Python looks for signals
        pass

"""
WAIT = "    time.sleep(60)\n    print('nothing came')\n"


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", AS_COMMAND + program],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


def test_it_waits_until_an_import_is_done(tmp_path):
    (tmp_path / "part.py").write_text("import __main__\n__main__.ctrl_c()\nwhole = True\n")
    program = (
        f"try:\n    import part\n{WAIT}except KeyboardInterrupt:\n    print('interrupted', sys.modules['part'].whole)"
    )
    assert run(program, PYTHONPATH=str(tmp_path)) == (0, "interrupted True\n", "")


def test_it_still_strikes_if_the_command_ends_with_the_import(tmp_path):
    (tmp_path / "part.py").write_text("import __main__\n__main__.ctrl_c()\n")
    program = (
        "try:\n    import part\n    interrupt.exit_quietly()\n    print('nothing came')\n"
        "except KeyboardInterrupt:\n    print('interrupted')"
    )
    assert run(program, PYTHONPATH=str(tmp_path)) == (0, "interrupted\n", "")


def test_it_is_not_lost_in_a_callback():
    program = (
        "import weakref\nthing = {1}\nkept = weakref.ref(thing, lambda _: ctrl_c())\n"
        f"try:\n    del thing\n{WAIT}except KeyboardInterrupt:\n    print('interrupted')"
    )
    assert run(program) == (0, "interrupted\n", "")


def test_it_strikes_at_once_elsewhere():
    program = "try:\n    ctrl_c()\n    print('too late')\nexcept KeyboardInterrupt:\n    print('interrupted')"
    assert run(program) == (0, "interrupted\n", "")


def test_other_errors_in_callbacks_are_still_shown():
    program = "import weakref\nthing = {1}\nkept = weakref.ref(thing, lambda _: 1 / 0)\ndel thing"
    code, printed, error = run(program)
    assert (code, printed) == (0, "")
    assert "Exception ignored" in error
    assert "ZeroDivisionError" in error


def strike():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_deferred_waits_until_what_belongs_together_is_done():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupt.Deferred():  # noqa: PT012
        done.append(1)
        strike()
        done.append(2)
    assert done == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_deferred_lets_the_second_one_strike_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupt.Deferred():  # noqa: PT012
        strike()
        done.append(1)
        strike()
        done.append(2)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_deferred_raises_nothing_of_its_own():
    with interrupt.Deferred():
        pass
    with pytest.raises(ZeroDivisionError), interrupt.Deferred():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_deferred_calls_a_programs_own_handler_at_its_end():
    seen = []
    own = lambda number, frame: seen.append(number)  # noqa: E731
    signal.signal(signal.SIGINT, own)
    with interrupt.Deferred():
        strike()
        assert seen == []
    assert seen == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is own


def test_deferred_leaves_a_signal_that_is_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupt.Deferred():
        strike()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_deferred_in_another_thread_does_nothing():
    def inside():
        with interrupt.Deferred():
            found.append(signal.getsignal(signal.SIGINT))

    found = []
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
