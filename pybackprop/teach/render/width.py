"""How wide text is: as the terminal, or WIDTH columns elsewhere."""

from __future__ import annotations

import os
import sys

WIDTH = 100
NARROWEST = 40


def text_width() -> int:
    """The columns of the terminal that stdout is, at least NARROWEST and at most WIDTH; elsewhere WIDTH."""
    try:
        if not sys.stdout.isatty():
            return WIDTH
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (AttributeError, ValueError, OSError):  # stdout is closed, or a notebook's or a test's stream
        return WIDTH
    return max(NARROWEST, min(columns, WIDTH)) if columns else WIDTH
