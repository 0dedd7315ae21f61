"""The ladders' table: rungs from the naive loop to the top, each a C file of rungs/, and why it is faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pybackprop.core.suggestions import suggest_among
from pybackprop.lab.operation import Operation
from pybackprop.lab.operations import LINEAR_BACKWARD_W, LINEAR_FORWARD, MATMUL, STEP

FOLDER = Path(__file__).with_name("rungs")
SCALAR = ("-fno-tree-vectorize", "-fno-tree-slp-vectorize")
ZEROS = 0.8  # of the first operand, as of the pixels of the lesson's digits
MATMUL_, LINEAR, BACKWARD_W, STEP_ = "matmul", "linear", "backward_w", "step"
ALL = (MATMUL_, LINEAR, BACKWARD_W, STEP_)


@dataclass(frozen=True)
class Tile:
    """A tile of the rungs that compute in registers, as rungs/vectors.h has it for an instruction set."""

    rows: int
    lanes: int


@dataclass(frozen=True)
class Rung:
    """One way to compute a product.

    name    as `lab show` takes it
    file    in rungs/
    why     one sentence: what is different, and why that is faster (or slower)
    moves   bytes that are loaded and stored for one multiply-add, counted in the source
    flags   of the compiler
    within  the ladders that have it
    """

    name: str
    file: str
    why: str
    moves: Callable[[Tile], float]
    flags: tuple[str, ...] = ()
    within: tuple[str, ...] = ALL


@dataclass(frozen=True)
class Ladder:
    """What is computed. wrapper: the C file that makes the operation from a rung's product."""

    name: str
    op: Operation
    wrapper: str

    @property
    def rungs(self) -> list[Rung]:
        return [rung for rung in RUNGS if self.name in rung.within]


def _tile(tile: Tile) -> float:
    return 4 / tile.rows + 4 / (2 * tile.lanes)


def _terms(note: float) -> Callable[[Tile], float]:
    """note: bytes of the notes of which terms there are, for each number of a; they are read for each 4 vectors."""
    return lambda tile: (1 - ZEROS) * (4 + 4 / (4 * tile.lanes)) + note / (4 * tile.lanes)


SEGMENTS = (BACKWARD_W, STEP_)  # ladders that add up segments of rows


RUNGS = (
    Rung(
        "naive",
        "naive.c",
        "Three loops as in the definition: each addition waits for the one before, and b is read down its columns.",
        lambda tile: 8,
        SCALAR,
    ),
    Rung(
        "broadcast",
        "broadcast.c",
        "The lesson's unsqueeze, row by row: no column is read, but for each row an array of b's size is written.",
        lambda tile: 20,
        SCALAR,
    ),
    Rung(
        "order",
        "order.c",
        "The two inner loops change places: everything is read along rows, nothing waits, and no array is made.",
        lambda tile: 12,
        SCALAR,
    ),
    Rung(
        "auto",
        "order.c",
        "The same file with vectors by the compiler: neighbours in a row are independent chains, so lanes hold them.",
        lambda tile: 12,
    ),
    Rung(
        "blocked",
        "blocked.c",
        "A piece of b that fits into the first cache serves all rows; sums still go to memory and back for each term.",
        lambda tile: 12,
    ),
    Rung(
        "unrolled",
        "unrolled.c",
        "Four terms for each load and store of a sum: what limits now is how much is loaded, not where it lies.",
        lambda tile: 6,
    ),
    Rung(
        "tile",
        "tile.c",
        "Vectors by hand: a tile of sums stays in registers, so each number that is loaded is used many times.",
        _tile,
    ),
    Rung(
        "packed",
        "packed.c",
        "Operands are copied first, so that tiles read line after line: no page is missed, and none is read in vain.",
        _tile,
    ),
    Rung(
        "kept",
        "kept.c",
        "Blocks of k whose panel fits into the first cache; sums are kept tile by tile until the last block.",
        _tile,
    ),
    Rung(
        "fetched",
        "kept.c",
        "The panel is fetched in the loop over k: the hardware foresees it anyway, and an instruction more costs.",
        _tile,
        ("-DIN_LOOP",),
    ),
    Rung(
        "prefetch",
        "kept.c",
        "Out of that loop: the tile of the result that is written next, as nobody foresees where it begins.",
        _tile,
        ("-DAHEAD",),
    ),
    Rung(
        "threads",
        "threads.c",
        "Each thread has rows of its own: no locks, and nobody waits but at the end.",
        _tile,
    ),
    Rung(
        "fused",
        "threads.c",
        "The bias is added to tiles while they are in registers: the result is written once, and not read again.",
        _tile,
        ("-DFUSED",),
        (LINEAR,),
    ),
    Rung(
        "fused",
        "kept.c",
        "A segment of rows goes through all operations while it is in the caches; each thread takes whole segments.",
        _tile,
        ("-DSEGMENTS", "-DAHEAD"),
        (STEP_,),
    ),
    Rung(
        "turns",
        "kept.c",
        "Threads take whole segments, and add each when it is its turn: one that is held up makes the others wait.",
        _tile,
        ("-DSEGMENTS", "-DAHEAD", "-DTURNS"),
        SEGMENTS,
    ),
    Rung(
        "published",
        "kept.c",
        "Nobody waits for a turn: finished segments are published, and added in order by whoever comes.",
        _tile,
        ("-DSEGMENTS", "-DAHEAD", "-DPUBLISHED"),
        SEGMENTS,
    ),
    Rung(
        "lists",
        "lists.c",
        "Terms that are exactly zero are left out: the same bits, past the peak of dense arithmetic. Lists say which.",
        _terms((1 - ZEROS) * 4),
        ("-DFUSED", "-DSEGMENTS", "-DPUBLISHED"),
    ),
    Rung(
        "masks",
        "masks.c",
        "Bit masks instead of lists of what is not zero: a bit for each number, made a vector at a time.",
        _terms(1 / 8),
        ("-DFUSED", "-DSEGMENTS", "-DPUBLISHED"),
    ),
)

LADDERS = {
    ladder.name: ladder
    for ladder in (
        Ladder(MATMUL_, MATMUL, "matmul.c"),
        Ladder(LINEAR, LINEAR_FORWARD, "linear.c"),
        Ladder(BACKWARD_W, LINEAR_BACKWARD_W, "backward_w.c"),
        Ladder(STEP_, STEP, "step.c"),
    )
}


def shown(name: str, ladder: str | None = None) -> str:
    """The source of a rung, or of what turns its product into a ladder's operation.

    name: a rung, a ladder, or a header that one of them includes. Raises ValueError for anything else.
    """
    files = {path.name: path for path in sorted(FOLDER.iterdir())}
    if name in LADDERS:
        return files[LADDERS[name].wrapper].read_text("utf-8")
    if name in files:
        return files[name].read_text("utf-8")
    found = [rung for rung in RUNGS if rung.name == name and (ladder is None or ladder in rung.within)]
    if not found:
        known = list(dict.fromkeys([*(rung.name for rung in RUNGS), *LADDERS]))
        suggestion = suggest_among(name, [*known, *files])
        raise ValueError(
            f"lab show: found {name!r}, expected one of {', '.join(known)}, or {', '.join(files)}{suggestion}"
        )
    flags = " ".join(found[0].flags)
    return f"/* {name}: {found[0].why}{' Compiled with ' + flags + '.' if flags else ''} */\n" + files[
        found[0].file
    ].read_text("utf-8")
