"""The sharded clustering: what must hold for any rows, any number of shards, any executor and any order of work."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_digits

from csrms_dist.art import Clustering, cluster
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.two_level.executors import SerialExecutor
from csrms_dist.art.two_level.plan import PHASES
from csrms_dist.basics.hashing import hash_ids, hash_order
from csrms_dist.errors import DataError
from tests.unit.art.runs import run, saved

PROPERTY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


class ShuffledExecutor:
    """Runs the tasks in another order, some of them twice, through pickles as another process would."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def map(self, function, tasks, after=lambda number: None):
        results = [None] * len(tasks)
        for k in [*self.rng.permutation(len(tasks)), *self.rng.integers(0, max(1, len(tasks)), 1)]:
            if len(tasks):
                again, task = pickle.loads(pickle.dumps((function, tasks[k])))  # noqa: S301
                assert len(pickle.dumps(task)) < 2000  # paths and numbers, never arrays
                results[k] = pickle.loads(pickle.dumps(again(*task)))  # noqa: S301
        for k in range(len(tasks)):
            after(k)
        return results


class ProcessExecutor:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def map(self, function, tasks, after=lambda number: None):
        results = []
        for number, future in enumerate([self.pool.submit(function, *task) for task in tasks]):
            results.append(future.result())
            after(number)
        return results


def check_any(result: Clustering, X) -> None:
    """What holds for both algorithms."""
    sizes = result.sizes()
    assert result.pattern.dtype == np.int32
    assert result.score.dtype == np.float32
    assert result.pattern.shape == result.score.shape == result.below_vigilance.shape == (len(X),)
    assert sizes.sum() == len(X)
    assert sizes.min() > 0
    assert (np.diff(sizes) <= 0).all()
    assert len({p.tobytes() for p in result.prototypes}) == result.n_patterns
    pattern, score = result.predict(X)  # idempotent
    assert pattern.tolist() == result.pattern.tolist()
    assert score.tolist() == result.score.tolist()
    label = {}
    for row, k in zip(X, result.pattern, strict=True):
        assert label.setdefault(row.tobytes(), k) == k


def check_spherical(result: Clustering, X, min_size: int) -> None:
    check_any(result, X)
    q, p = result.scaling.transform_block(X).astype(np.int64), result.prototypes.astype(np.int64)
    nonzero = q.any(axis=1)
    assert result.zero_rows == (~nonzero).sum()
    assert (result.pattern[~nonzero] == 0).all()
    assert (result.below_vigilance[~nonzero] == (result.vigilance > 0)).all()
    lengths = np.sqrt((p * p).sum(axis=1).astype(np.float64))
    values = (q @ p.T) / np.where(lengths > 0, lengths, 1)
    chosen = values[np.arange(len(X)), result.pattern]
    assert (chosen == values.max(axis=1))[nonzero].all()  # optimal
    cosine = chosen[nonzero] / np.sqrt((q * q).sum(axis=1)[nonzero].astype(np.float64))
    assert (cosine.astype(np.float32) == result.score[nonzero]).all()
    clear = np.abs(cosine - result.vigilance) > 1e-9
    assert (result.below_vigilance[nonzero] == (cosine < result.vigilance))[clear].all()
    if nonzero.sum() >= min_size:
        assert np.bincount(result.pattern[nonzero], minlength=result.n_patterns).min() >= min_size


def check_fuzzy(result: Clustering, X) -> None:
    """Exact in whole numbers: 255 stands for 1."""
    check_any(result, X)
    assert not result.below_vigilance.any()
    x = result.scaling.transform_block(X).astype(np.int64)
    codes, w, dimension = np.concatenate([x, 255 - x], axis=1), result.prototypes.astype(np.int64), x.shape[1]
    assert result.prototypes.dtype == np.uint8
    assert (w.sum(axis=1) >= np.float64(255 * dimension) * result.vigilance - 1e-9).all()
    assert (w[:, :dimension] + w[:, dimension:] <= 255).all()
    for row, k, score in zip(codes, result.pattern, result.score, strict=True):
        common = np.minimum(row, w).sum(axis=1)
        passing = common >= result.vigilance * (255 * dimension)
        assert passing[k]  # cover
        choice = common / (255 * result.choice + w.sum(axis=1))
        assert choice[k] == choice[passing].max()  # optimal
        assert score == np.float32(choice[k])


def matrices(max_rows=24):
    shape = st.tuples(st.integers(1, max_rows), st.integers(1, 4))
    whole = st.integers(-3, 3).map(float)
    return shape.flatmap(lambda s: hnp.arrays(np.float32, s, elements=whole))


CHOICES = st.fixed_dictionaries(
    {
        "vigilance": st.sampled_from([0.0, 0.3, 0.7, 0.95, 1.0, "auto"]),
        "shards": st.integers(1, 6),
        "learn_rows": st.sampled_from([1, 5, 12, 100]),
        "recentre": st.integers(0, 3),
        "min_size": st.integers(1, 4),
    }
)


@PROPERTY
@given(matrices(), CHOICES, st.randoms(use_true_random=False))
def test_spherical_invariants(X, choices, random):
    ids = [f"row{i}" for i in range(len(X))]
    result = run(X, ids, 2, algorithm="spherical", **choices)
    check_spherical(result, X, choices["min_size"])
    # Permuting the rows under their ids changes nothing; nor do the order and the repetition of the work.
    order = list(range(len(X)))
    random.shuffle(order)
    shuffled = ShuffledExecutor(random.randrange(1000))
    other = run(X[order], [ids[k] for k in order], 2, shuffled, algorithm="spherical", **choices)
    assert other.prototypes.tobytes() == result.prototypes.tobytes()
    assert other.pattern.tolist() == result.pattern[order].tolist()
    assert other.score.tolist() == result.score[order].tolist()
    assert other.tried == result.tried


@PROPERTY
@given(matrices(), CHOICES, st.randoms(use_true_random=False))
def test_fuzzy_invariants(X, choices, random):
    ids = [f"row{i}" for i in range(len(X))]
    choices["recentre"] = "auto"
    choices["adaptation"] = random.choice(["none", "am", "cm", "hi"])
    choices["scaling"] = random.choice(["min_max", "clipped_min_max"])
    result = run(X, ids, 2, algorithm="fuzzy", **choices)
    check_fuzzy(result, X)
    order = list(range(len(X)))
    random.shuffle(order)
    shuffled = ShuffledExecutor(random.randrange(1000))
    other = run(X[order], [ids[k] for k in order], 2, shuffled, algorithm="fuzzy", **choices)
    assert other.prototypes.tobytes() == result.prototypes.tobytes()
    assert other.pattern.tolist() == result.pattern[order].tolist()
    assert other.tried == result.tried


@PROPERTY
@given(matrices(), CHOICES, st.sampled_from(["fuzzy", "kmeans"]), st.sampled_from(["art", "random"]))
def test_what_holds_where_covering_is_given_up(X, choices, algorithm, start):
    """Re-centred boxes and k-means: rows are with their nearest, small patterns are gone, schedules change nothing."""
    if algorithm == "fuzzy":
        choices["recentre"] = max(1, choices["recentre"])
    else:
        choices.update(kmeans_start=start, n_patterns=3, vigilance="auto")
    result = run(X, n_classes=2, algorithm=algorithm, **choices)
    check_any(result, X)
    assert saved(run(X, None, 2, ShuffledExecutor(1), algorithm=algorithm, **choices)) == saved(result)
    directed = result.scaling.transform_block(X).any(axis=1) if algorithm == "kmeans" else np.ones(len(X), bool)
    if directed.sum() >= choices["min_size"]:
        assert np.bincount(result.pattern[directed], minlength=result.n_patterns).min() >= choices["min_size"]
    if algorithm == "kmeans":
        assert not result.below_vigilance.any()
        assert result.n_patterns <= max(3, len(X))


@PROPERTY
@given(matrices(), st.integers(1, 5))
def test_fuzzy_vigilance_one_makes_one_pattern_for_each_row(X, shards):
    result = run(X, algorithm="fuzzy", vigilance=1.0, shards=shards)
    assert result.n_patterns == len({row.tobytes() for row in result.scaling.transform_block(X)})


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def pool():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        yield ProcessExecutor(pool)


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
def test_schedules_and_processes_give_the_same_bytes(algorithm, pool):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(30, 110))[rng.integers(0, 30, 20_000)] + 0.5 * rng.normal(size=(20_000, 110))
    X = X.astype(np.float32)
    chosen = ClusterSettings(algorithm=algorithm, n_patterns=30, learn_rows=1000, shards=5, recentre=2)
    expected = saved(run(X, settings=chosen))
    assert saved(run(X, settings=chosen, executor=ShuffledExecutor(0))) == expected
    assert saved(run(X, settings=chosen, executor=pool)) == expected


def purity(pattern, y):
    return sum(np.bincount(y[pattern == k]).max() for k in np.unique(pattern)) / len(y)


def test_spherical_art_finds_the_digits(digits):
    X, y = digits
    result = run(X, n_classes=10, n_patterns=120)
    assert abs(result.n_patterns - 120) <= 6
    assert purity(result.pattern, y) > 0.95
    assert result.below_vigilance.mean() < 0.1
    check_spherical(result, X, 3)


def test_fuzzy_art_covers_the_digits(digits):
    X, y = digits
    result = run(X, n_classes=10, n_patterns=200, algorithm="fuzzy")
    assert abs(result.n_patterns - 200) <= 20
    assert purity(result.pattern, y) > 0.8
    check_fuzzy(result, X)


def test_a_sample_of_the_rows_is_learnt_and_all_are_placed(digits):
    X, y = digits
    for algorithm, vigilance in (("spherical", 0.6), ("fuzzy", 0.7)):
        result = run(X, n_classes=10, vigilance=vigilance, learn_rows=300, algorithm=algorithm)
        assert result.sizes().sum() == len(X)
        assert purity(result.pattern, y) > 0.75


def test_the_class_in_the_id_does_not_leak(digits):
    """Rows are learnt in the order of a hash, so ids that sort by class change no more than any others do."""
    y = digits[1]
    named = [f"train/{k}/{i:04d}" for i, k in enumerate(y)]
    assert np.abs(np.corrcoef(y[hash_order(hash_ids(named, "order"), named)], np.arange(len(y)))[0, 1]) < 0.1


# --- degenerate input ---


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
@pytest.mark.parametrize("vigilance", [0.5, "auto"])
@pytest.mark.parametrize(
    "X",
    [
        np.zeros((5, 3)),
        np.zeros((1, 1)),
        np.ones((1, 4)),
        np.ones((7, 130)),
        np.tile([[0.1, 0.2, 0.7]], (9000, 1)),
        np.array([[1], [-1], [2], [-3]]),
        np.eye(3, dtype=np.float16),
        np.array([[1e300, 1e-300], [1e-300, 1e300]]),
    ],
    ids=["zeros", "zero", "one-row", "equal-wide", "equal-many", "one-column", "fewer-rows-than-shards", "extreme"],
)
def test_degenerate_rows(X, algorithm, vigilance):
    result = run(X, algorithm=algorithm, vigilance=vigilance, shards=4, min_size=1)
    check_any(result, X)
    if len(np.unique(X, axis=0)) == 1:
        assert result.n_patterns == 1
    assert np.isfinite(result.score).all()


def test_rows_that_cancel_keep_their_prototype():
    X = np.array([[1.0, 0.0], [-1.0, 0.0]] * 4)
    result = run(X, vigilance=1.0, min_size=5, recentre=2)  # both patterns are too small: one takes all
    check_spherical(result, X, 5)
    assert result.below_vigilance.sum() == 4


def test_more_patterns_than_distinct_rows_end_with_the_best_tried():
    X = np.repeat(np.eye(4), 5, axis=0)
    for algorithm in ("spherical", "fuzzy"):
        assert run(X, algorithm=algorithm, n_patterns=1000).n_patterns == 4


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy"])
@pytest.mark.parametrize("learn_rows", [4, 100])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named(algorithm, learn_rows, value):
    X = np.random.default_rng(0).normal(size=(30, 3))
    X[17, 1] = value
    with pytest.raises(DataError, match="'row17'"):
        run(X, algorithm=algorithm, learn_rows=learn_rows)


@pytest.mark.parametrize(
    ("X", "ids", "what"),
    [
        (np.zeros((0, 3)), [], "shape"),
        (np.zeros((2, 0)), ["a", "b"], "shape"),
        (np.zeros(3), ["a"] * 3, "shape"),
        (np.array([["a"]]), ["a"], "shape"),
        (np.ones((2, 2)), ["a"], "1 ids"),
    ],
)
def test_files_that_cannot_be_clustered_are_refused(X, ids, what):
    with pytest.raises(DataError, match=what):
        run(X, ids)


# --- phases, and going on after a stop ---


def test_phases_are_reported_in_order_and_the_hook_follows_each(tmp_path, digits):
    np.save(tmp_path / "vectors.npy", digits[0][:200])
    ids = [str(i) for i in range(200)]
    for algorithm in ("spherical", "fuzzy"):
        seen, after = [], []
        cluster(
            tmp_path / "vectors.npy",
            ids,
            ClusterSettings(algorithm=algorithm),
            10,
            tmp_path / "work",
            SerialExecutor(),
            lambda *event, seen=seen: seen.append(event),
            after.append,
        )
        assert tuple(after) == PHASES
        assert list(dict.fromkeys(name for name, _, _ in seen)) == list(PHASES)
        for name in PHASES:
            steps = [(done, total) for phase, done, total in seen if phase == name]
            assert steps[0][0] == 0
            assert steps[-1][0] == steps[-1][1]
            assert [done for done, _ in steps] == sorted({done for done, _ in steps})


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("algorithm", ["spherical", "fuzzy", "kmeans"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_stopped_run_goes_on_from_its_last_phase(algorithm, phase, tmp_path, digits):
    np.save(tmp_path / "vectors.npy", digits[0][:400])
    ids, chosen = [str(i) for i in range(400)], ClusterSettings(algorithm=algorithm, learn_rows=200)

    class Counting(SerialExecutor):
        ran = ()

        def map(self, function, tasks, after=lambda number: None):
            self.ran = (*self.ran, function.__name__)
            return super().map(function, tasks, after)

    def go(executor=None, stop="", inputs=None):
        def after_phase(name):
            if name == stop:
                raise StoppedError

        where = (tmp_path / "vectors.npy", ids, chosen, 10, tmp_path / "work", executor)
        return saved(cluster(*where, after_phase=after_phase, inputs=inputs))

    whole = Counting()
    expected = go(whole)
    with pytest.raises(StoppedError):
        go(stop=phase)
    assert (tmp_path / "work").exists()
    rest = Counting()
    assert go(rest) == expected
    assert len(rest.ran) < len(whole.ran)
    if phase in ("learn", "merge", "assign", "recentre", "finish"):
        assert not {"prepare", "learn"} & set(rest.ran)
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.npy"]
    with pytest.raises(StoppedError):
        go(stop=phase)
    other = Counting()
    assert go(other, inputs="other rows") == expected  # what others left is not used
    assert other.ran == whole.ran
