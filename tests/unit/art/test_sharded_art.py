"""ShardedART: any single estimator on two levels, from arrays and files, resumed, extended."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_mutual_info_score

from csrms_dist.art import AdaptiveVigilanceART, FuzzyART, ShardedART, SphericalART, SphericalKMeans
from csrms_dist.art.scaling import MinMaxScaling, SphericalScaling
from csrms_dist.art.two_level.executors import SerialExecutor, ThreadExecutor
from csrms_dist.errors import ConfigError, DataError

X, Y = load_digits(return_X_y=True)
SPHERE = SphericalScaling.fit(X).transform_block(X)
BYTES = MinMaxScaling.fit(X).transform_block(X)
FLOATS = (BYTES / 255).astype(np.float32)
SINGLES = [
    pytest.param(SphericalART(0.6), SPHERE, id="spherical"),
    pytest.param(SphericalKMeans(80), SPHERE, id="kmeans"),
    pytest.param(FuzzyART(0.7), BYTES, id="fuzzy"),
    pytest.param(FuzzyART(0.7), FLOATS, id="fuzzy-float"),
    pytest.param(AdaptiveVigilanceART("hi", 0.7), BYTES, id="adaptive"),
]


def facts(found: ShardedART) -> tuple[bytes, ...]:
    arrays = (found.labels_, found.scores_, found.below_vigilance_, found.prototypes_, found.sizes_)
    return tuple(array.tobytes() for array in arrays)


@pytest.mark.parametrize(("single", "rows"), SINGLES)
def test_it_finds_the_digits_and_nothing_is_left_over(single, rows):
    found = ShardedART(single, learn_rows=900).fit(rows)
    assert found.labels_.min() == 0
    assert found.sizes_.sum() == len(rows)
    assert found.sizes_.min() > 0
    assert (np.diff(found.sizes_) <= 0).all()
    assert adjusted_mutual_info_score(Y, found.labels_) > 0.35
    assert found.predict(rows, nearest=True).tolist() == found.labels_.tolist()
    assert (found.predict(rows) == np.where(found.below_vigilance_, -1, found.labels_)).all()
    assert found.score_samples(rows).tolist() == found.scores_.tolist()


@pytest.mark.parametrize(("single", "rows"), SINGLES)
def test_arrays_npy_and_parquet_give_the_same(single, rows, tmp_path):
    expected = facts(ShardedART(single).fit(rows))
    np.save(tmp_path / "rows.npy", rows)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    pq.write_table(pa.table({"vector": vectors}), tmp_path / "rows.parquet", row_group_size=500)
    for name in ("rows.npy", "rows.parquet"):
        assert facts(ShardedART(single).fit(tmp_path / name)) == expected
    assert facts(ShardedART(single, executor=ThreadExecutor(2)).fit(rows)) == expected
    assert {path.name for path in tmp_path.iterdir()} == {"rows.npy", "rows.parquet"}


@pytest.mark.parametrize(("single", "rows"), SINGLES)
def test_rows_may_lie_in_any_order_under_their_ids(single, rows):
    order = np.random.default_rng(0).permutation(600)
    names = [f"image-{k}" for k in range(600)]
    for ids, shuffled in ((names, [names[k] for k in order]), (np.arange(600) * 7, order * 7)):
        found = ShardedART(single, learn_rows=300).fit(rows[:600], ids=ids)
        other = ShardedART(single, learn_rows=300).fit(rows[:600][order], ids=shuffled)
        assert other.prototypes_.tobytes() == found.prototypes_.tobytes()
        assert other.labels_.tolist() == found.labels_[order].tolist()


def test_a_number_of_patterns_is_searched_for():
    found = ShardedART(SphericalART(), n_patterns=50).fit(SPHERE)
    assert abs(len(found.sizes_) - 50) <= 5
    assert len(found.tried_) >= 1
    assert found.vigilance_ == {n: rho for rho, n in found.tried_}[len(found.sizes_)]


@pytest.mark.parametrize(("single", "rows"), SINGLES)
def test_recentred_patterns_are_more_even(single, rows):
    plain, moved = (ShardedART(single, recentre=n, min_size=1).fit(rows) for n in (0, 3))
    assert moved.sizes_.sum() == len(rows)
    assert moved.predict(rows, nearest=True).tolist() == moved.labels_.tolist()
    if isinstance(single, SphericalART):
        assert np.var(moved.sizes_ / len(rows)) < np.var(plain.sizes_ / len(rows))


@pytest.mark.parametrize(("single", "rows"), SINGLES)
def test_new_rows_move_nothing_that_is_there(single, rows):
    found = ShardedART(single).fit(rows[:1500])
    before, labels = found.prototypes_.copy(), found.predict(rows[:1500], nearest=True)
    if rows.dtype == np.int8:
        strange = -rows[1500:]
    else:
        strange = (255 - rows[1500:]) if rows.dtype == np.uint8 else 1 - rows[1500:]
    added = np.concatenate([rows[1500:], strange])
    found.partial_fit(added)
    j = len(before)
    assert found.prototypes_[:j].tobytes() == before.tobytes()
    assert len(found.labels_) == len(added)
    assert found.sizes_.sum() == 1500 + len(added)
    known = found.labels_[: len(rows) - 1500]
    again = ShardedART(single).fit(rows[:1500]).predict(rows[1500:])
    assert (known[again >= 0] == again[again >= 0]).all()  # whom an old pattern takes, it keeps
    assert labels.tolist() == np.where(labels < j, labels, -1).tolist()
    drift = found.drift_
    assert drift.rows == len(added)
    assert drift.new_patterns == len(found.prototypes_) - j
    assert drift.founders == (found.labels_ >= j).sum()
    assert 0 < drift.shift <= 1
    if not isinstance(single, SphericalKMeans):
        assert drift.new_patterns > 0
        assert drift.founders > 0
    assert f"{len(added):,} new rows" in str(drift)


def test_rows_like_the_old_show_no_drift():
    found = ShardedART(SphericalART(0.5)).fit(SPHERE)
    found.partial_fit(SPHERE)
    assert (found.drift_.new_patterns, found.drift_.shift) == (0, 0.0)
    assert found.drift_.below == found.drift_.below_before


@settings(deadline=None, max_examples=25)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(0, 255)),
    st.sampled_from([0.0, 0.6, 0.9, 1.0]),
    st.integers(1, 5),
    st.sampled_from([1, 7, 100]),
)
def test_fuzzy_rows_are_covered(rows, rho, shards, learn_rows):
    found = ShardedART(FuzzyART(rho), shards, learn_rows=learn_rows).fit(rows)
    codes = np.concatenate([rows, 255 - rows], axis=1).astype(np.int64)
    boxes = found.prototypes_.astype(np.int64)[found.labels_]
    assert (np.minimum(codes, boxes).sum(axis=1) >= rho * 255 * rows.shape[1]).all()
    assert not found.below_vigilance_.any()


class Dying(SerialExecutor):
    """Ends the fit after a number of tasks."""

    def __init__(self, tasks: int) -> None:
        self.left = tasks

    def map(self, function, tasks, after=lambda number: None):
        results = []
        for task in tasks:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            results += super().map(function, [task], after)
        return results


@pytest.mark.parametrize(("single", "rows"), SINGLES)
def test_a_stopped_fit_goes_on_in_its_folder(single, rows, tmp_path):
    expected = facts(ShardedART(single, recentre=2).fit(rows))
    for tasks in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            ShardedART(single, recentre=2, executor=Dying(tasks), folder=tmp_path).fit(rows)
    assert list((tmp_path / "steps").iterdir())
    assert facts(ShardedART(single, recentre=2, folder=tmp_path).fit(rows)) == expected
    assert not list(tmp_path.iterdir())


def test_it_is_an_estimator():
    found = ShardedART(SphericalART(0.7), 2).fit(SPHERE[:100])
    copied = clone(found)
    assert copied.get_params()["estimator__vigilance"] == 0.7
    assert not hasattr(copied, "labels_")
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert again.predict(SPHERE).tolist() == found.predict(SPHERE).tolist()
    assert found.fit_predict(SPHERE[:100]).tolist() == found.labels_.tolist()
    found.set_params(estimator__vigilance=0.2).fit(SPHERE[:100])
    assert found.vigilance_ == 0.2


def test_two_fits_at_once_do_not_meet():
    results: dict[int, tuple[bytes, ...]] = {}

    def work(k: int) -> None:
        results[k] = facts(ShardedART(SphericalART(0.6)).fit(SPHERE[k * 400 : k * 400 + 400]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(3):
        assert results[k] == facts(ShardedART(SphericalART(0.6)).fit(SPHERE[k * 400 : k * 400 + 400]))


@pytest.mark.parametrize("rows", [np.zeros((1, 1)), np.zeros((6, 2)), np.ones((5, 3)), np.eye(3), np.eye(2)[:1]])
@pytest.mark.parametrize("single", [SphericalART(0.5), SphericalART(0), SphericalART(1), FuzzyART(0.5), FuzzyART(1.0)])
def test_degenerate_rows(rows, single):
    found = ShardedART(single, 4).fit(rows)
    assert found.labels_.min() == 0
    if len(np.unique(rows, axis=0)) == 1:
        assert len(found.sizes_) == 1


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"estimator": 5}, "estimator"),
        ({"n_shards": 0}, "shards"),
        ({"learn_rows": 0}, "learn_rows"),
        ({"recentre": -1}, "recentre"),
        ({"n_patterns": 0}, "n_patterns"),
        ({"estimator": FuzzyART(), "min_size": 3}, "cover their rows"),
        ({"estimator": SphericalART(1.5)}, "vigilance"),
        ({"estimator": FuzzyART(choice=-1)}, "choice"),
        ({"estimator": AdaptiveVigilanceART(learning_rate=2)}, "learning_rate"),
        ({"estimator": AdaptiveVigilanceART("best")}, "kind"),
        ({"estimator": AdaptiveVigilanceART(sigma="much")}, "sigma"),
    ],
)
def test_wrong_parameters_are_refused(options, what):
    with pytest.raises(ConfigError, match=what):
        ShardedART(**options).fit(SPHERE)


def test_wrong_rows_are_refused():
    with pytest.raises(DataError, match="row 3"):
        ShardedART().fit(np.where(np.arange(12).reshape(6, 2) == 7, np.nan, 1.0))
    with pytest.raises(DataError, match=r"numbers in \[0, 1\]"):
        ShardedART(FuzzyART()).fit(np.array([[0.0, 2.0]]))
    with pytest.raises(DataError, match="'a' twice"):
        ShardedART().fit(SPHERE[:2], ids=["a", "a"])
    with pytest.raises(DataError, match="1 ids"):
        ShardedART().fit(SPHERE[:2], ids=["a"])
    found = ShardedART(FuzzyART()).fit(BYTES[:50])
    with pytest.raises(DataError, match="uint8 as in fit"):
        found.predict(FLOATS)
    with pytest.raises(DataError, match="expecting 64 features"):
        found.predict(BYTES[:, :3])
    with pytest.raises(DataError, match="call fit first"):
        ShardedART().predict(SPHERE)


IDS = [
    pytest.param(list(range(9)), id="ints"),
    pytest.param(range(9), id="range"),
    pytest.param(tuple(np.arange(9)), id="numpy ints"),
    pytest.param(pa.array(range(9)), id="arrow ints"),
    pytest.param(pa.chunked_array([range(4), range(4, 9)]), id="arrow chunks"),
]


@pytest.mark.parametrize("ids", IDS)
def test_whole_ids_are_the_same_in_any_container(ids):
    expected = facts(ShardedART(SphericalART(0.6)).fit(SPHERE[:9], ids=np.arange(9)))
    assert facts(ShardedART(SphericalART(0.6)).fit(SPHERE[:9], ids=ids)) == expected


@pytest.mark.parametrize(
    "texts",
    [
        lambda names: (name for name in names),
        np.array,
        lambda names: np.array(names, object),
        pa.array,
        lambda names: pa.array(names).dictionary_encode(),
    ],
)
def test_texts_are_the_same_in_any_container(texts):
    names = [f"image-{k}" for k in range(9)]
    expected = facts(ShardedART(SphericalART(0.6)).fit(SPHERE[:9], ids=names))
    assert facts(ShardedART(SphericalART(0.6)).fit(SPHERE[:9], ids=texts(names))) == expected


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        ([0.5, 1.5, 2.5], "ids: got 0.5 for row 0, expected one text or whole number for each row"),
        (np.arange(3.0), r"ids: got np.float64\(0.0\) for row 0"),
        (["a", None, "b"], "ids: got None for row 1"),
        (pa.array(["a", None, "b"]), "ids: got 1 nulls"),
        (pa.array([0.5, 1.5, 2.5]), "ids: got Arrow's double"),
        (["a", 1, "b"], "ids: got texts and numbers together"),
        ([2**70, 1, 2], "ids: got whole numbers beyond 64 bits"),
        ([True, False, True], "ids: got True for row 0"),
        ("abc", "ids: got 'abc'"),
        (3, "ids: got 3"),
        ([1, 2, 1], "ids: got '1' twice"),
        ((str(k) for k in range(2)), "ids: got 2 ids, expected 3"),
    ],
)
def test_what_names_no_rows_is_refused(ids, what):
    with pytest.raises(DataError, match=what):
        ShardedART().fit(SPHERE[:3], ids=ids)


def test_ids_of_new_rows_are_distinct():
    found = ShardedART().fit(SPHERE[:50])
    with pytest.raises(DataError, match="'a' twice"):
        found.partial_fit(SPHERE[:2], ids=["a", "a"])


@pytest.mark.parametrize(("single", "rows"), SINGLES)
def test_files_are_placed_as_arrays_are(single, rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    pq.write_table(pa.table({"id": range(len(rows)), "vector": vectors}), tmp_path / "rows.parquet")
    found = ShardedART(single).fit(rows[:900])
    expected, scores = found.predict(rows).tolist(), found.score_samples(rows).tolist()
    for path in (tmp_path / "rows.npy", str(tmp_path / "rows.parquet")):
        assert found.predict(path).tolist() == expected
        assert found.score_samples(path).tolist() == scores
        copied = pickle.loads(pickle.dumps(found))  # noqa: S301
        assert facts(copied.partial_fit(path)) == facts(pickle.loads(pickle.dumps(found)).partial_fit(rows))  # noqa: S301
    np.save(tmp_path / "narrow.npy", rows[:, :5])
    for method in ("predict", "partial_fit"):
        with pytest.raises(DataError, match="5 features, but ShardedART is expecting 64"):
            getattr(found, method)(tmp_path / "narrow.npy")


def test_boxes_of_floats_place_no_bytes():
    found = ShardedART(FuzzyART()).fit(FLOATS[:50])
    for method in ("predict", "partial_fit"):
        with pytest.raises(DataError, match=r"X: got uint8, expected numbers in \[0, 1\] as in fit"):
            getattr(found, method)(BYTES)


def test_a_number_of_patterns_that_is_missed_is_said():
    with pytest.warns(UserWarning, match="1 patterns were found, not 15"):
        ShardedART(n_patterns=15).fit(np.ones((20, 3)))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", 3):
        with pytest.raises(ConfigError, match="ShardedART: folder: got "):
            ShardedART(folder=folder).fit(SPHERE[:5])


def test_truth_values_in_a_file_are_refused_by_its_name(tmp_path):
    np.save(tmp_path / "truths.npy", SPHERE > 0)
    with pytest.raises(DataError, match=r"truths\.npy: got bool"):
        ShardedART().fit(tmp_path / "truths.npy")
