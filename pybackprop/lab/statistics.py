"""What a few noisy samples say: intervals of a median, outliers, drift, and whether two sets differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import median
from typing import Any

CONFIDENCE = 0.95
FAR = 5.0  # deviations from the median, beyond which a sample is an outlier
NORMAL = 1.4826  # the standard deviation of normal numbers, over their median absolute deviation
EXACT = 400  # products of two sets' sizes up to which ranks are counted out


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """(low, high) around the median, from order statistics: no distribution is assumed.

    Fewer than six samples cannot give 95 %; then it is their whole range. Raises ValueError for no samples.
    """
    ordered = sorted(values)
    count, below, cut = len(ordered), 0.0, 0
    if not count:
        raise ValueError("interval: found no samples, expected at least one")
    for k in range(count // 2):
        below += math.comb(count, k) / 2**count
        if below > (1 - confidence) / 2:
            break
        cut = k
    return ordered[cut], ordered[count - 1 - cut]


def outliers(values: Sequence[float]) -> list[int]:
    """The places of samples far from the median, in units of the median absolute deviation."""
    if not values:
        return []
    middle = median(values)
    deviation = NORMAL * median(abs(value - middle) for value in values)
    return [k for k, value in enumerate(values) if abs(value - middle) > FAR * deviation > 0]


def drift(values: Sequence[float]) -> float:
    """By which part of their median samples grew from first to last: the median of all slopes (Theil and Sen).

    0 where their order could as well be chance (Kendall's test, 1 %), and for fewer than eight samples.
    """
    count = len(values)
    pairs = [(j - i, values[j] - values[i]) for i in range(count) for j in range(i + 1, count)]
    if count < 8 or not median(values):
        return 0.0
    score = sum((rise > 0) - (rise < 0) for _, rise in pairs)
    spread = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    if abs(score) < 2.576 * spread:
        return 0.0
    return float(median(rise / run for run, rise in pairs) * (count - 1) / median(values))


def rank_test(a: Sequence[float], b: Sequence[float]) -> float:
    """The probability that two sets of samples of one kind lie at least as far apart as these (Mann and Whitney).

    Counted out for few samples without ties, else from the normal distribution. Raises ValueError for an empty set.
    """
    if not a or not b:
        raise ValueError("rank_test: found an empty set of samples, expected at least one in each")
    n, m, values = len(a), len(b), [*a, *b]
    wins = sum((x > y) + (x == y) / 2 for x in a for y in b)
    far = abs(wins - n * m / 2)
    ties = [values.count(value) for value in set(values)]
    if max(ties) == 1 and n * m <= EXACT:
        counts = _ways(n, m)
        extreme = sum(ways for u, ways in enumerate(counts) if abs(u - n * m / 2) >= far)
        return min(1.0, extreme / sum(counts))
    every = n + m
    variance = n * m / 12 * (every + 1 - sum(t**3 - t for t in ties) / (every * (every - 1)))
    return 1.0 if variance <= 0 else math.erfc(max(0.0, far - 0.5) / math.sqrt(2 * variance))


@cache
def _ways(n: int, m: int) -> tuple[int, ...]:
    """In how many orders of n and m samples u of the n*m pairs have the first above, for each u."""
    if n == 0 or m == 0:
        return (1,)
    above, under = _ways(n - 1, m), _ways(n, m - 1)
    counts = [0] * (n * m + 1)
    for u, ways in enumerate(above):
        counts[u + m] += ways
    for u, ways in enumerate(under):
        counts[u] += ways
    return tuple(counts)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Samples in numbers: median, its interval low and high, least and most, how many, how many far away, drift."""
    low, high = interval(values)
    return {
        "median": median(values),
        "low": low,
        "high": high,
        "least": min(values),
        "most": max(values),
        "samples": len(values),
        "outliers": len(outliers(values)),
        "drift": drift(values),
    }
