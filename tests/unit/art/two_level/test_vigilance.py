"""The bisection: it always ends, with the best vigilance that it has tried."""

from __future__ import annotations

import pytest

from csrms_dist.art.two_level.vigilance import HIGHEST, MAX_STEPS, bisect, target_patterns


@pytest.mark.parametrize(
    ("asked", "rows", "classes", "expected"),
    [
        ("auto", 50_000, 10, 120),
        ("auto", 1_000, 10, 50),
        ("auto", 100, 10, 10),
        ("auto", 3, None, 1),
        ("auto", 10**6, None, 1000),
        (7, 3, 10, 7),
    ],
)
def test_target(asked, rows, classes, expected):
    assert target_patterns(asked, rows, classes) == expected


@pytest.mark.parametrize("target", [1, 20, 300, 900])
def test_a_monotone_count_is_hit_within_five_percent_or_by_the_last_step(target):
    rho, tried = bisect(lambda rho: (int(1000 * rho), False), target)
    assert len(tried) <= MAX_STEPS
    assert abs(1000 * rho - target) <= max(0.05 * target, 1000 * HIGHEST / 2**MAX_STEPS)


def test_an_unreachable_target_ends_with_the_best_tried():
    rho, tried = bisect(lambda rho: (min(9, int(1000 * rho)), False), 500)
    assert len(tried) == MAX_STEPS
    assert dict(tried)[rho] == 9
    assert rho == min(value for value, count in tried if count == 9)  # ties: the smaller
    assert bisect(lambda rho: (0, False), 5)[1][-1][1] == 0


def test_where_patterns_are_too_small_the_search_goes_down():
    # Above .4 nearly everything is dissolved, so that the count falls again.
    rho, tried = bisect(lambda rho: (int(1000 * rho), False) if rho < 0.4 else (3, True), 200)
    assert abs(dict(tried)[rho] - 200) <= 10
