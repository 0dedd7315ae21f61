"""matplotlib (the extra `plot`), loaded only when something is drawn."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from pybackprop.core.checks import check_folder

FORMATS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Raises ImportError, ValueError or OSError for a plot that could not be written, before any work is done."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"--plot: found {path.name}, expected a name that ends in {', '.join(FORMATS)}")
    check_folder("--plot", path)
    matplotlib_figure()


def matplotlib_figure(asked_by: str = "--plot") -> Any:
    """matplotlib.figure, which draws to a file and needs no display. Raises ImportError, in the name of who asked."""
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError(f"{asked_by}: needs matplotlib; pip install 'pybackprop[plot]'") from error
    return figure


def notebook_figure(asked_by: str, **options: Any) -> Any:
    """A matplotlib Figure that a notebook shows although pyplot was never imported. Raises ImportError."""
    figure = matplotlib_figure(asked_by).Figure(**options)
    figure._repr_png_ = partial(_png, figure)
    return figure


def _png(figure: Any) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()
