"""Programs in processes of their own: fresh interpreters, and the command line as people run it."""

import os
import subprocess
import sys

COMMAND = [sys.executable, "-m", "pybackprop"]


def python(code, **environment):
    """Runs a program in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
