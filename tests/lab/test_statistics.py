"""Intervals, outliers, drift and rank tests, against values known from elsewhere."""

import itertools
import random

import pytest

from pybackprop.lab import statistics


def test_the_interval_of_a_median_is_that_of_tables():
    """Conover, Practical Nonparametric Statistics: the ranks that bound a 95 % interval of the median."""
    for count, ranks in {6: (1, 6), 9: (2, 8), 12: (3, 10), 15: (4, 12), 20: (6, 15), 25: (8, 18)}.items():
        values = list(range(1, count + 1))
        random.Random(count).shuffle(values)
        assert statistics.interval(values) == ranks


def test_few_samples_give_their_whole_range():
    assert statistics.interval([3.0]) == (3.0, 3.0)
    assert statistics.interval([3.0, 1.0, 2.0, 5.0, 4.0]) == (1.0, 5.0)
    with pytest.raises(ValueError, match="no samples"):
        statistics.interval([])


def test_the_interval_covers_the_median_as_often_as_it_says():
    dice = random.Random(0)
    covered = 0
    for _ in range(2000):
        low, high = statistics.interval([dice.expovariate(1.0) for _ in range(15)])
        covered += low <= 0.6931471805599453 <= high
    assert 0.95 <= covered / 2000 <= 0.985  # 96.5 % for 15 samples


def test_outliers_are_far_in_units_of_the_usual_distance():
    assert statistics.outliers([1.0, 1.1, 0.9, 1.05, 0.95, 3.0]) == [5]
    assert statistics.outliers([1.0, 1.0, 1.0]) == []
    assert statistics.outliers([]) == []


def test_drift_is_found_in_order_and_not_in_chance():
    assert statistics.drift([1 + k / 100 for k in range(11)]) == pytest.approx(0.1 / 1.05)
    dice = random.Random(1)
    shuffled = [dice.random() for _ in range(15)]
    assert statistics.drift(shuffled) == 0
    assert statistics.drift([1, 2, 3]) == 0


def by_counting(a, b):
    """The two-sided probability, from all ways to choose which samples are the first set's."""
    every, far = [*a, *b], abs(sum(x > y for x in a for y in b) - len(a) * len(b) / 2)
    extreme = total = 0
    for chosen in itertools.combinations(range(len(every)), len(a)):
        first = [every[k] for k in chosen]
        second = [every[k] for k in range(len(every)) if k not in chosen]
        total += 1
        extreme += abs(sum(x > y for x in first for y in second) - len(a) * len(b) / 2) >= far
    return extreme / total


@pytest.mark.parametrize(
    ("a", "b"), [([1, 2, 3], [4, 5, 6]), ([1, 5, 3, 8], [2, 4, 6]), ([1, 2, 9, 10], [3, 4, 5, 6, 7])]
)
def test_the_rank_test_counts_all_ways(a, b):
    assert statistics.rank_test(a, b) == pytest.approx(by_counting(a, b))
    assert statistics.rank_test(b, a) == pytest.approx(by_counting(a, b))


def test_the_rank_test_with_ties_and_many_samples():
    assert statistics.rank_test([1, 1, 1], [1, 1, 1]) == 1
    many = list(range(40))
    assert statistics.rank_test(many, [value + 0.5 for value in many]) > 0.5
    assert statistics.rank_test(many, [value + 30.5 for value in many]) < 1e-6
    with pytest.raises(ValueError, match="empty"):
        statistics.rank_test([], [1.0])
