"""python -m pybackprop"""

from __future__ import annotations

import os
import sys


def run() -> None:
    """The console script."""
    _open_standard_streams()
    from pybackprop.cli.main import main

    sys.exit(main())


def _open_standard_streams() -> None:
    """A stream that whoever started us has closed, as in `pybackprop info >&-`, is the null device."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  open as long as the process
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


if __name__ == "__main__":
    run()
