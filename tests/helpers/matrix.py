"""The axes of test_matmul_matrix.py and how their values are drawn; memory laid out in all ways."""

import numpy as np

from helpers.compare import bits, special

VECTOR = {"generic": 16, "avx2": 32, "avx512": 64, "neon": 16}  # bytes
TILE_ROWS = {"generic": 4, "avx2": 6, "avx512": 14, "neon": 12}
TILES = [(None, None), (4096, 8), (5000, 25), (4096, 2048), (65536, 65), (4194304, 16), (524288, 512)]
KINDS = ["plain", "odd", "small"]
LONG = [511, 512, 513, 1025]  # around the end of a segment, where sums are long
THREADS = [1, 2, 3, 8]


def lanes_of(kernel, dtype):
    return VECTOR[kernel] // np.dtype(dtype).itemsize


def edges(kernel, dtype):
    """Sizes around the edges of vectors and tiles, and primes."""
    lanes = lanes_of(kernel, dtype)
    around = {size + off for size in (lanes, 2 * lanes, 4 * lanes, *TILE_ROWS.values()) for off in (-1, 0, 1)}
    return sorted(around - {0} | {1, 2, 3, 7, 31, 61})


def numbers(rng, shape, dtype, kind):
    """odd: NaN, infinities, -0, ... in a part of the rows, lest all be NaN; small: products that underflow."""
    values = rng.standard_normal(shape).astype(dtype)
    if kind == "odd":
        places = rng.random(shape) < 8 / max(shape)
        values[places] = special(rng, shape, dtype)[places]
    if kind == "small":
        tiny = np.finfo(dtype).tiny
        scale = [tiny**0.5, tiny**0.5, tiny**0.5 / 64, tiny * 64, tiny, 0, np.finfo(dtype).smallest_subnormal]
        values *= rng.choice(np.array(scale, dtype), shape)
    return values


def inset(array):
    """The array as part of a larger one that holds NaN."""
    rows, cols = array.shape
    whole = np.full((rows + 3, cols + 5), np.nan, array.dtype)
    whole[2:-1, 3:-2] = array
    return whole[2:-1, 3:-2]


def strided(down, right):
    def lay(array):
        rows, cols = array.shape
        whole = np.full((rows * abs(down), cols * abs(right)), np.nan, array.dtype)
        whole[::down, ::right] = array
        return whole[::down, ::right]

    return lay


def shifted(array):
    """The array one byte off its alignment."""
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
    view = memory.view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = {
    "C order": lambda array: array,
    "Fortran order": np.asfortranarray,
    "longer rows": inset,
    "longer columns": lambda array: inset(array.T).T,
    "every other row": strided(2, 1),
    "every third column": strided(1, 3),
    "rows backwards": strided(-1, 1),
    "columns backwards": strided(1, -1),
    "both backwards": strided(-2, -3),
    "unaligned": shifted,
}
AXES = {
    "kind": KINDS,
    "tiles": TILES,
    "threads": THREADS,
    "left": list(LAYOUTS),
    "right": list(LAYOUTS),
    "how": ["new", "@", "array", "tensor"],
    "step": [0, 1, 2],  # between out's rows in a larger array; 0: out is the whole one
}


def same(found, expected):
    return found.tobytes() == expected.tobytes() or bool((bits(found) == bits(expected)).all())


def deck(rng, values, count):
    """count values in random order, each about equally often."""
    rounds = -(-count // len(values))
    return [values[k] for _ in range(rounds) for k in rng.permutation(len(values))][:count]


def cases(seed, count, **axes):
    """count cases: a value of each axis, by name."""
    rng = np.random.default_rng([*map(int, seed), 20240502])
    decks = [deck(rng, values, count) for values in axes.values()]
    return [dict(zip(axes, drawn, strict=True)) for drawn in zip(*decks, strict=True)]
