"""python -m pybackprop"""

from __future__ import annotations

import sys


def run() -> None:
    """The console script."""
    from pybackprop.cli.main import main

    sys.exit(main())


if __name__ == "__main__":
    run()
