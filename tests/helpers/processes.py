"""Programs in processes of their own: fresh interpreters, and the command line as people run it."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "pybackprop"]
TIMEOUT = 1800  # seconds after which a process hangs, on the busiest machine


def python(code, *arguments, **environment):
    """Runs a program in a fresh interpreter."""
    return ended([sys.executable, "-c", code, *map(str, arguments)], env={**os.environ, **environment})


def run_command(*arguments, **options):
    """Runs pybackprop with these arguments; options: those of subprocess.run."""
    return ended([*COMMAND, *map(str, arguments)], **options)


def ended(command, **options):
    """A finished process with what it said."""
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, **options)


def cpu_seconds(pid):
    """What a process has used of its processors, whoever else uses them; 0 where there is no /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_children():
    """What processes have used that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def is_running(pid):
    """Whether a process is there that is more than a zombie; where there is no /proc, whether there is one."""
    if not Path("/proc/self/stat").exists():
        return ended(["ps", "-p", str(pid)]).returncode == 0
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
