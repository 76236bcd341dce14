"""Which classes look alike: the figures by plain loops, and cases in which the order must turn."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, factorial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.hierarchy.look_alikes import KEPT, LEVEL, look_alikes


def lower(images: int, level: float) -> float:
    """The mean at which a Poisson variable reaches `images` with the probability `level`, by bisection."""
    low, high = 0.0, float(images)
    for _ in range(200):
        mean = (low + high) / 2
        at_least = 1 - sum(exp(-mean) * mean**n / factorial(n) for n in range(images))
        low, high = (mean, high) if at_least < level else (low, mean)
    return low


def figures(pattern: Sequence[int], labels: Sequence[Sequence[int]], n_classes: int, a: int, b: int) -> Any:
    """(weight, reverse, lift, images, bound) of two classes, or None where none of their images lie together."""
    only_a = [a in row and b not in row for row in labels]
    only_b = [b in row and a not in row for row in labels]
    together, images = 0.0, 0
    for k in set(pattern):
        inside = [p == k for p in pattern]
        n_ka = sum(x and y for x, y in zip(inside, only_a, strict=True))
        n_kb = sum(x and y for x, y in zip(inside, only_b, strict=True))
        together += n_ka * n_kb / sum(inside)
        images += min(n_ka, n_kb)
    if not images:
        return None
    weight, reverse = together / sum(only_a), together / sum(only_b)
    lift = weight / (sum(only_b) / len(pattern))
    level = LEVEL / (n_classes * (n_classes - 1) / 2)
    return weight, reverse, lift, images, lift * lower(images, level) / images


def rows_of(graph: Any) -> dict[tuple[int, int], Any]:
    found = look_alikes(graph)
    ends = zip(found.source.tolist(), found.target.tolist(), strict=True)
    numbers = zip(found.weight, found.reverse, found.lift, found.images, found.bound, strict=True)
    return dict(zip(ends, numbers, strict=True))


@given(data=st.data())
def test_look_alikes_equal_plain_loops(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    found, classes = rows_of(case.graph), range(case.n_classes)
    assert list(found) == sorted(found)
    for a in classes:
        full = {
            b: numbers
            for b in classes
            if b != a and (numbers := figures(case.pattern, case.labels, case.n_classes, a, b))
        }
        assert {b for c, b in found if c == a} == set(sorted(full, key=lambda b: (-round(full[b][-1], 9), b))[:KEPT])
        for b in full:
            if (a, b) in found:
                assert found[a, b] == pytest.approx(full[b], abs=1e-9)


def test_what_is_seen_often_comes_before_what_was_seen_once() -> None:
    """Classes 0 and 1 share 30 of their images; 4 and 5, of one image each, meet with far more lift."""
    pattern = [0] * 60 + [1] * 300 + [2] * 300 + [3] * 2
    labels = [0] * 30 + [1] * 30 + [2] * 300 + [3] * 300 + [4, 5]
    found = rows_of(hierarchy_of(pattern, labels))
    often, once = found[0, 1], found[4, 5]
    assert once[2] > 10 * often[2]
    assert often[-1] > once[-1]
    assert (often[3], once[3]) == (30, 1)


def test_the_order_turns_when_the_rare_pair_is_seen_often_enough() -> None:
    def bounds(n: int) -> tuple[float, float]:
        pattern = [0] * 60 + [1] * 300 + [2] * 300 + [3] * 2 * n
        labels = [0] * 30 + [1] * 30 + [2] * 300 + [3] * 300 + [4] * n + [5] * n
        found = rows_of(hierarchy_of(pattern, labels))
        return found[0, 1][-1], found[4, 5][-1]

    assert bounds(1)[0] > bounds(1)[1]
    assert bounds(10)[0] < bounds(10)[1]


def test_a_class_that_is_everywhere_is_like_none() -> None:
    """Class 0 is on half of the images of every pattern: it meets class 1 often, as often as chance makes."""
    pattern = [0] * 40 + [1] * 40 + [2] * 40
    labels = [[0]] * 20 + [[1]] * 20 + [[0]] * 20 + [[2]] * 10 + [[3]] * 10 + [[0]] * 20 + [[2]] * 10 + [[3]] * 10
    found = rows_of(hierarchy_of(pattern, labels))
    everywhere, alike = found[2, 0], found[2, 3]
    assert everywhere[0] == pytest.approx(0.5)
    assert everywhere[2] == pytest.approx(1.0)
    assert alike[0] == pytest.approx(0.25)
    assert alike[2] == pytest.approx(1.5)
    assert alike[-1] > everywhere[-1]


def test_images_that_carry_both_classes_say_nothing() -> None:
    both = [[0, 1]] * 50
    assert rows_of(hierarchy_of([0] * 50 + [1, 1], [*both, [2], [2]])) == {}
    found = rows_of(hierarchy_of([0] * 60, [*both, *[[0]] * 5, *[[1]] * 5]))
    assert found[0, 1][3] == 5
    assert found[0, 1][0] == pytest.approx(5 / 60)


def test_both_directions_are_right_where_one_alone_is_stored() -> None:
    """Class 0 meets six others; the one that is not among its five keeps class 0 and the weights of both directions."""
    pattern = [k for k in range(6) for _ in range(2 + k)]
    labels = [label for k in range(6) for label in [0, *[k + 1] * (1 + k)]]
    found = rows_of(hierarchy_of(pattern, labels))
    alone = [(a, b) for a, b in found if (b, a) not in found]
    assert alone
    for a, b in alone:
        expected = figures(pattern, [[y] for y in labels], 7, a, b)
        assert found[a, b] == pytest.approx(expected)
        assert expected[1] > 0
