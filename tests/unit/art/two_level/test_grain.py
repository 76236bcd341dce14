"""Rows that lie in groups have a grain, which is found without labels; other rows are not said to have one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_swiss_roll

from csrms_dist.art.two_level.driver import Search
from csrms_dist.art.two_level.grain import LEVELS, Partition, agreement, find_grain, in_another_order, shared
from tests.unit.art.runs import run, saved

DRAW = np.random.default_rng


def planted(groups, dimension, noise, rows=None, *, uneven=False, kind=np.float32, seed=0):
    """Rows around random centres, and the centre of each."""
    draw = DRAW(seed)
    n = rows or 20 * groups
    centres = draw.normal(size=(groups, dimension))
    shares = np.maximum(draw.dirichlet(np.ones(groups)), 6 / n) if uneven else np.ones(groups)
    label = np.concatenate(
        [np.repeat(np.arange(groups), 6), draw.choice(groups, n - 6 * groups, p=shares / shares.sum())]
    )
    tightness = draw.uniform(0.3, 1, groups) if uneven else np.ones(groups)
    x = centres[label] + noise * tightness[label, None] * draw.normal(size=(n, dimension))
    return x.astype(kind), label


def purity(pattern, label):
    table = np.zeros((pattern.max() + 1, label.max() + 1), int)
    np.add.at(table, (pattern, label), 1)
    return table.max(axis=1).sum() / len(label)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize(
    ("groups", "dimension", "noise", "rows", "uneven", "kind"),
    [
        (20, 32, 0.3, 1000, False, np.float32),
        (5, 8, 0.2, 400, False, np.float64),
        (5, 32, 0.8, 400, False, np.float32),
        (20, 64, 0.8, 400, True, np.float16),
        (60, 32, 0.2, 900, False, np.float16),
        (30, 256, 0.6, 900, True, np.float32),
        (20, 1280, 1.0, 500, False, np.float32),
    ],
)
def test_groups_that_lie_apart_are_the_patterns(groups, dimension, noise, rows, uneven, kind, classes):
    x, label = planted(groups, dimension, noise, rows, uneven=uneven, kind=kind)
    found = run(x, n_classes=groups if classes else None)
    assert found.grain is not None
    assert found.grain.low <= found.vigilance == found.grain.vigilance <= found.grain.high
    assert found.tried == ()
    assert groups <= found.n_patterns <= groups + 1
    assert purity(found.pattern, label) >= 0.99


def test_many_groups_are_found_too():
    x, label = planted(200, 64, 0.3, 2000)
    found = run(x)
    assert found.grain is not None
    assert abs(found.n_patterns - 200) <= 2
    assert purity(found.pattern, label) >= 0.99


def hidden(groups, dimension, noise, rows, spread, fewest_rows, seed):
    """Groups of very uneven sizes: shares from a flat distribution (spread 1), or a few groups with nearly all rows."""
    draw = DRAW(seed)
    centres, shares = draw.normal(size=(groups, dimension)), draw.dirichlet(np.full(groups, spread))
    some = draw.choice(groups, rows - fewest_rows * groups, p=shares)
    label = np.concatenate([np.repeat(np.arange(groups), fewest_rows), some])
    tightness = draw.uniform(0.3, 1, groups)
    x = centres[label] + noise * tightness[label, None] * draw.normal(size=(rows, dimension))
    return x.astype(np.float32), label


@pytest.mark.parametrize(
    ("groups", "dimension", "noise", "rows", "spread", "fewest_rows", "seed"),
    [
        (80, 256, 1.7, 1000, 1, 3, 1),  # the middle of the interval loses two of three rows
        (10, 8, 0.19, 1500, 0.3, 10, 1),  # the finest levels cut the largest group into pieces
        (40, 64, 1.0, 1500, 0.3, 6, 0),
        (40, 32, 0.9, 3000, 1, 6, 1),  # groups that touch
        (150, 256, 1.7, 1900, 100, 3, 1),  # groups so loose that every level dissolves some
    ],
)
def test_groups_of_few_rows_are_patterns_too(groups, dimension, noise, rows, spread, fewest_rows, seed):
    x, label = hidden(groups, dimension, noise, rows, spread, fewest_rows, seed)
    found = run(x)
    assert found.grain is not None
    assert groups <= found.n_patterns <= groups + 1
    assert purity(found.pattern, label) >= 0.99


def test_rows_between_the_groups_hide_nothing():
    x, label = planted(20, 32, 0.3, 1500)
    strays = DRAW(1).normal(size=(60, 32)).astype(np.float32)
    found = run(np.concatenate([x, strays]))
    assert found.grain is not None
    assert 20 <= found.n_patterns <= 22  # some strays lie near to each other
    assert purity(found.pattern[: len(x)], label) == 1


def no_groups():
    """Rows without groups, by name."""
    draw = DRAW(3)
    t = draw.uniform(-1, 1, 400)
    sphere = draw.normal(size=(400, 24))
    other = DRAW(5)
    a, rod, ends = other.uniform(0, 2 * np.pi, 400), other.integers(0, 10, 400), other.normal(size=(2, 10, 20))
    return {
        "digits": load_digits().data,
        "iris": load_iris().data,
        "tumours": load_breast_cancer().data,
        "a sphere": sphere / np.linalg.norm(sphere, axis=1, keepdims=True),
        "a blob": draw.normal(size=(400, 16)) + 3,
        "a flat blob": draw.normal(size=(400, 2)) + 3,
        "a long blob": draw.normal(size=(400, 5)) * [10, 1, 0.1, 0.1, 0.1] + 20,
        "a wide blob": draw.normal(size=(400, 256)),
        "a cube": draw.uniform(size=(400, 6)),
        "a curve": np.stack([t, t**2, t**3], axis=1) + 0.02 * draw.normal(size=(400, 3)),
        "a swiss roll": make_swiss_roll(400, random_state=0)[0],
        "heavy tails": draw.standard_t(2, size=(400, 8)),
        "a ring that bends": np.stack([np.cos(a), np.sin(a), np.cos(3 * a)], axis=1)
        + 0.02 * draw.normal(size=(400, 3)),
        "mixtures of topics": draw.dirichlet(np.full(15, 0.3), 400),
        "rods": ends[0][rod] + ends[1][rod] * t[:, None] + 0.1 * draw.normal(size=(400, 20)),
        "counts": draw.poisson(0.3, size=(400, 20)),
        "one group of all rows": 1 + 1e-3 * draw.normal(size=(400, 12)),
    }


@pytest.mark.parametrize("name", no_groups())
def test_rows_without_groups_have_no_grain(name):
    x = np.asarray(no_groups()[name], np.float32)
    found = run(x)
    assert found.grain is None
    assert found.tried


def test_without_a_grain_a_number_is_aimed_at_as_if_it_were_asked_for():
    x = load_digits().data
    assert saved(run(x, n_classes=10)) == saved(run(x, n_patterns=len(x) // 20))


def test_a_grain_coarser_than_the_classes_is_not_taken():
    x, _ = planted(6, 32, 0.3, 600)
    assert run(x, n_classes=6).grain is not None
    assert run(x, n_classes=50).grain is None


@pytest.mark.parametrize(
    "choice", [{"n_patterns": 40}, {"vigilance": 0.8}, {"algorithm": "kmeans", "kmeans_start": "random"}]
)
def test_what_is_asked_for_is_not_looked_for(choice):
    x, _ = planted(10, 16, 0.2, 400)
    assert run(x, **choice).grain is None


def test_kmeans_starts_from_the_grain():
    x, label = planted(12, 32, 0.3, 600, uneven=True)
    found = run(x, algorithm="kmeans")
    assert found.grain is not None
    assert found.n_patterns == 12
    assert purity(found.pattern, label) == 1


def test_the_grain_depends_on_the_rows_and_their_ids_alone():
    x, _ = planted(15, 24, 0.3, 700)
    ids = [f"row{k}" for k in range(700)]
    found, order = run(x, ids), DRAW(2).permutation(700)
    other = run(x[order], [ids[k] for k in order])
    assert other.grain == found.grain
    assert other.pattern.tolist() == found.pattern[order].tolist()


def test_a_sample_of_the_rows_has_the_grain_of_all():
    x, label = planted(20, 32, 0.3, 3000)
    found = run(x, learn_rows=500)
    assert found.grain is not None
    assert found.n_patterns == 20
    assert purity(found.pattern, label) == 1


# --- the rule, by itself ---


def partitions_of(patterns_at, taken_at=lambda rho: 1.0, between=0.0, n=1200):
    """Partitions of n rows in as many equal pieces as patterns_at(rho)."""

    def partitions(rhos):
        return [
            Partition(
                (np.arange(n) * patterns_at(rho) // n).astype(np.int32),
                patterns_at(rho),
                np.arange(n) < n * taken_at(rho),
                np.arange(n) < n * between,
            )
            for rho in rhos
        ]

    return partitions


def steps(rho):
    """3 patterns, then 12 on an interval, then ever more."""
    return 3 if rho < 0.5 else 12 if rho < 0.8 else int(20 / (1 - rho))


def test_the_finest_interval_counts_and_its_middle_is_the_vigilance():
    grain = find_grain(partitions_of(steps), partitions_of(steps), 1)
    inside = [rho for rho in LEVELS if 0.5 <= rho < 0.8]
    assert grain == (inside[(len(inside) - 1) // 2], 12, inside[0], inside[-1])


def some_merged(n=2400):
    """12 groups of 190 rows and 12 of ten: at the coarse levels these are in one of the others, at the fine in none."""
    large, tiny = np.repeat(np.arange(12), 190), np.repeat(np.arange(12, 24), 10)

    def partitions(rhos):
        parts = []
        for rho in rhos:
            alone = 12 if 0.6 <= rho < 0.75 else 9 if 0.5 <= rho < 0.8 else 0
            labels = np.concatenate([large, np.where(tiny < 12 + alone, tiny, tiny - 12)]).astype(np.int32)
            parts.append(Partition(labels, 12 + alone, np.ones(n, bool), np.zeros(n, bool)))
        return parts

    return partitions


def test_groups_of_few_rows_decide_the_level():
    parts = some_merged()
    grain = find_grain(parts, parts, 1)
    inside = [rho for rho in LEVELS if 0.6 <= rho < 0.75]
    assert (grain.vigilance, grain.patterns) == (inside[(len(inside) - 1) // 2], 24)

    def without(rhos):
        """Another order, which finds none of the smallest three."""
        return [
            at._replace(labels=np.where(at.labels > 20, at.labels - 12, at.labels), patterns=21) for at in parts(rhos)
        ]

    grain = find_grain(parts, without, 1)
    assert (grain.patterns, inside[0] <= grain.vigilance <= inside[-1]) == (21, False)


def test_a_piece_of_a_group_decides_nothing():
    parts, rows = some_merged(), np.arange(2400)

    def touching(rhos):
        """At 0.6 to 0.75 two of the ten rows of the smallest three lie between them and the pattern beside."""
        return [
            at._replace(between=(rows >= 2370) & (rows % 10 < 2)) if at.patterns == 24 else at for at in parts(rhos)
        ]

    assert find_grain(touching, parts, 1).patterns == 21


def test_rows_that_reach_no_vigilance_are_compared_with_none():
    own = partitions_of(lambda rho: 12)
    draw = DRAW(0)

    def with_strays(rhos):
        """A tenth of the rows lie now here, now there."""
        found = own(rhos)
        strays = np.arange(1200) % 10 == 0
        return [
            at._replace(labels=np.where(strays, draw.integers(0, 12, 1200), at.labels).astype(np.int32), taken=~strays)
            for at in found
        ]

    def taken(rhos):
        return [at._replace(taken=np.ones(1200, bool)) for at in with_strays(rhos)]

    assert find_grain(with_strays, with_strays, 1).patterns == 12
    assert find_grain(taken, taken, 1) is None


def test_many_patterns_may_touch_a_little():
    def grain(patterns, between):
        own = partitions_of(lambda rho: patterns, between=between)
        return find_grain(own, own, 1)

    assert grain(9, 0.004).patterns == 9
    assert grain(9, 0.015) is None
    assert grain(10, 0.015).patterns == 10
    assert grain(10, 0.03) is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_shared_patterns_against_a_plain_loop(rows):
    a, b, taken = (np.array(side) for side in zip(*rows, strict=True))
    one, other = (Partition(side.astype(np.int32), 5, taken, taken & False) for side in (a, b))

    def sets(labels):
        return [{k for k in range(len(rows)) if labels[k] == j and taken[k]} for j in range(5)]

    mine, theirs = sets(a), sets(b)
    expected = [any(2 * len(x & y) > len(x | y) for y in theirs) for x in mine]
    assert shared(one, other).tolist() == expected
    assert shared(one, one).tolist() == [bool(x) for x in mine]


def test_an_interval_counts_only_with_all_that_makes_a_grain():
    own = partitions_of(steps)
    scrambled = DRAW(0).permutation(1200)

    def differs(rhos):
        return [at._replace(labels=at.labels[scrambled]) for at in own(rhos)]

    def none_taken(rho):
        return 0.5

    assert find_grain(own, differs, 1) is None  # another order gives others
    assert find_grain(own, own, 13) is None  # too few patterns
    assert find_grain(partitions_of(steps, between=0.1), own, 1) is None  # they touch
    assert find_grain(partitions_of(steps, none_taken), own, 1) is None  # most rows belong to none
    never = partitions_of(lambda rho: int(5 / (1 - rho)))
    assert find_grain(never, never, 1) is None  # it never stays
    narrow = partitions_of(lambda rho: 12 if 0.5 <= rho < 0.56 else int(5 / (1 - rho)))
    assert find_grain(narrow, narrow, 1) is None
    assert find_grain(partitions_of(steps, n=60), partitions_of(steps, n=60), 4) is None  # five rows a pattern


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), min_size=1, max_size=30))
def test_agreement_against_a_plain_loop(pairs):
    a, b = (np.array(side, np.int32) for side in zip(*pairs, strict=True))

    def held(one, other):
        return sum(max(((one == k) & (other == m)).sum() for m in set(other.tolist())) for k in set(one.tolist()))

    assert agreement(a, b) == pytest.approx(min(held(a, b), held(b, a)) / len(a))
    assert agreement(a, b) == agreement(b, a)
    assert agreement(a, a) == 1


@given(st.integers(1, 200), st.integers(1, 9))
def test_another_order_deals_every_row_once(n, shards):
    parts = in_another_order(n, shards)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert n < 20 or np.concatenate(parts).tolist() != list(range(n))


def test_a_vigilance_that_was_given_was_not_sought():
    assert Search(0.5) == (0.5, (), None, False)
