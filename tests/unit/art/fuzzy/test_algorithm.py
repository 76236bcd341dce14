"""Fuzzy ART against loops over one row and one category at a time: bytes bit for bit, floats by their labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score

from csrms_dist.art import FuzzyART
from csrms_dist.art.fuzzy.algorithm import Boxes, assign, assign_points, common_parts, complement_code, learn, merge
from csrms_dist.errors import DataError
from tests.unit.art.fuzzy.points import byte_points, random_bytes

MANY = settings(deadline=None, max_examples=80)
RHO = st.one_of(st.sampled_from([0.0, 0.5, 0.75, 0.9, 1.0]), st.floats(0, 1))
BETA = st.one_of(st.sampled_from([0.5, 1.0]), st.floats(0.001, 1))
ALPHA = st.sampled_from([0.01, 1.0])


def dyadic_points(x):
    """Multiples of 1/16: what few of them add up to, halved a few times, a float32 holds exactly."""
    return (x // 16 / 16).astype(np.float64)


def winner_of(code, categories, rho, alpha, unit):
    """Filter by the vigilance, then the largest choice value, ties to the highest index; -1 where none passes."""
    best, top = -1, -np.inf
    for j, w in enumerate(categories):
        common = np.minimum(code, w).sum()
        if float(common) < (rho if np.isscalar(rho) else rho[j]) * float(unit * (len(code) // 2)):
            continue
        value = float(common) / (unit * alpha + float(w.sum()))
        if value >= top:
            best, top = j, value
    return best, top if best >= 0 else 0.0


def oracle_learn(codes, rho, alpha=0.01, beta=0.5, weights=None):
    """One row at a time, one category at a time; int64 for bytes, float64 for floats."""
    is_bytes = codes.dtype == np.uint8
    categories, counts, labels = [], [], []
    for i, code in enumerate(codes.astype(np.int64 if is_bytes else np.float64)):
        best, _ = winner_of(code, categories, rho, alpha, 255 if is_bytes else 1)
        if best < 0:
            best = len(categories)
            categories.append(code)
            counts.append(0)
        elif is_bytes:
            w = categories[best]
            categories[best] = w - ((round(256 * beta) * (w - np.minimum(code, w)) + 128) >> 8)
        else:
            categories[best] = beta * np.minimum(code, categories[best]) + (1 - beta) * categories[best]
        counts[best] += 1 if weights is None else int(weights[i])
        labels.append(best)
    return np.array(categories), counts, labels


def labels_by_rows(codes, rho, alpha=0.01, beta=0.5):
    """`oracle_learn`'s labels in float64, one row against all categories at a time: for larger sets."""
    w, norms, used = np.empty((len(codes), codes.shape[1])), np.empty(len(codes)), 0
    labels = []
    for code in codes.astype(np.float64):
        common = np.minimum(code, w[:used]).sum(axis=1)
        value = np.where(common >= rho * (len(code) // 2), common / (alpha + norms[:used]), -1.0)
        best = used - 1 - int(value[::-1].argmax()) if used else -1
        if best < 0 or value[best] < 0:
            best = used
            used += 1
            w[best] = code
        else:
            w[best] = beta * np.minimum(code, w[best]) + (1 - beta) * w[best]
        norms[best] = w[best].sum()
        labels.append(best)
    return labels


def scaled(x):
    return (x - x.min(axis=0)) / np.maximum(np.ptp(x, axis=0), 1e-9)


def planted(rows, dimension, centres, noise, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, centres, rows)
    x = rng.random((centres, dimension))[label] + noise * rng.normal(size=(rows, dimension))
    return scaled(x), label


def digits():
    data = load_digits()
    return scaled(PCA(32, svd_solver="full").fit_transform(data.data)), data.target


# --- bytes: bit for bit ---


@MANY
@given(byte_points(), RHO, BETA, ALPHA)
def test_bytes_learn_as_the_loop_does(x, rho, beta, alpha):
    codes = complement_code(x)
    (w, n), labels = learn(codes, rho, choice=alpha, learning_rate=beta)
    expected_w, expected_n, expected_labels = oracle_learn(codes, rho, alpha, beta)
    assert labels.tolist() == expected_labels
    assert w.tolist() == expected_w.tolist()
    assert n.tolist() == expected_n
    assert (w.dtype, n.dtype, labels.dtype) == (np.uint8, np.int64, np.int32)


def test_bytes_learn_as_the_loop_does_when_the_categories_outgrow_their_arrays():
    x = random_bytes(400, 6, 256, 0)
    for rho in (0.9, 0.97):
        (w, _), labels = learn(complement_code(x), rho)
        expected_w, _, expected = oracle_learn(complement_code(x), rho)
        assert (labels.tolist(), w.tolist()) == (expected, expected_w.tolist())
    assert len(w) > 128


@MANY
@given(byte_points(), RHO, ALPHA, st.integers(1, 60), st.integers(1, 3))
def test_bytes_are_assigned_as_the_loop_does(x, rho, alpha, known, threads):
    codes = complement_code(x)
    (w, _), _ = learn(codes[:known], 0.8)
    winner, score = assign_points(x, w, rho, choice=alpha, threads=threads)
    expected = [winner_of(code, w.astype(np.int64), rho, alpha, 255) for code in codes.astype(np.int64)]
    assert winner.tolist() == [j for j, _ in expected]
    assert score.tolist() == np.array([value for _, value in expected], np.float32).tolist()
    assert (winner.dtype, score.dtype) == (np.int32, np.float32)
    again = assign(codes, w, np.full(len(w), rho), choice=alpha)
    assert (again[0].tolist(), again[1].tolist()) == (winner.tolist(), score.tolist())


@pytest.mark.parametrize("dimension", [3, 600])
def test_assignment_is_the_same_across_its_blocks(dimension):
    """300 rows, 700 categories, each with its own vigilance, in more than one block both ways."""
    x, w = random_bytes(300, dimension, 4, 1), complement_code(random_bytes(700, dimension, 4, 2, repeats=0.5))
    codes = complement_code(x).astype(np.int64)
    common = np.stack([np.minimum(code, w).sum(axis=1) for code in codes]).astype(np.float64)
    assert common_parts(x, w).tolist() == common.tolist()
    for some in ([0.0, 0.55, 0.7, 1.0], [0.75, 1.0]):
        rho = np.random.default_rng(3).choice(some, len(w))
        values = common / (2.55 + w.sum(axis=1).astype(np.float64))
        values[common < rho * float(255 * dimension)] = -1
        top = values.max(axis=1)
        expected = np.where(top >= 0, len(w) - 1 - values[:, ::-1].argmax(axis=1), -1)
        winner, score = assign_points(x, w, rho)
        assert winner.tolist() == expected.tolist()
        assert score.tolist() == np.maximum(top, 0).astype(np.float32).tolist()


def test_sums_of_a_hundred_thousand_dimensions_do_not_overflow():
    x = np.zeros((3, 100_000), np.uint8)
    x[1] = 255
    (w, n), labels = learn(complement_code(x), 0.5)
    assert (labels.tolist(), n.tolist()) == ([0, 1, 0], [2, 1])
    assert common_parts(x, w)[:2].tolist() == [[255 * 100_000, 0], [0, 255 * 100_000]]


def test_ties_go_to_the_highest_index_and_a_point_matches_itself_at_vigilance_one():
    x = random_bytes(40, 9, 256, 4)
    for points in (x, x / 255):
        codes = complement_code(points)
        boxes, labels = learn(codes, 1.0)
        assert labels.tolist() == list(range(40))
        twice = np.concatenate([boxes.weights, boxes.weights])
        assert assign(codes, twice, 1.0)[0].tolist() == list(range(40, 80))


# --- floats ---


@MANY
@given(byte_points(14, 4), st.sampled_from([0.0, 0.3, 0.7, 0.9, 1.0]), st.sampled_from([0.5, 1.0]))
def test_floats_are_the_loop_in_float64_where_float32_is_exact(x, rho, beta):
    codes = complement_code(dyadic_points(x))
    (w, n), labels = learn(codes, rho, learning_rate=beta)
    expected_w, expected_n, expected_labels = oracle_learn(codes, rho, beta=beta)
    assert labels.tolist() == expected_labels
    assert w.tolist() == expected_w.tolist()
    assert n.tolist() == expected_n
    assert (codes.dtype, w.dtype) == (np.float32, np.float32)
    winner, score = assign_points(dyadic_points(x), w, rho)
    expected = [winner_of(code, w.astype(np.float64), rho, 0.01, 1) for code in codes.astype(np.float64)]
    assert winner.tolist() == [j for j, _ in expected]
    assert score.tolist() == np.array([value for _, value in expected], np.float32).tolist()


FLOAT_SETS = {
    "digits, .6": (lambda: digits()[0], 0.6, 0.5),
    "digits, .75": (lambda: digits()[0], 0.75, 0.5),
    "raw digits": (lambda: load_digits().data[:900] / 16, 0.7, 0.6),
    "planted, 40": (lambda: planted(1500, 40, 60, 0.08, 0)[0], 0.75, 0.5),
    "planted, 512": (lambda: planted(600, 512, 40, 0.05, 1)[0], 0.74, 1.0),
}


@pytest.mark.parametrize("name", list(FLOAT_SETS))
def test_floats_get_the_labels_of_the_loop_in_float64(name):
    make, rho, beta = FLOAT_SETS[name]
    x = make()
    wide = np.concatenate([x, 1 - x], axis=1)
    expected = labels_by_rows(wide, rho, beta=beta)
    assert expected[:150] == oracle_learn(wide[:150], rho, beta=beta)[2]
    model = FuzzyART(rho, learning_rate=beta).fit(x)
    assert model.labels_.tolist() == expected
    assert 20 < len(model.counts_) < len(x) / 2
    norms = model.weights_.sum(axis=1, dtype=np.float64)
    common = np.stack([np.minimum(row, model.weights_).sum(axis=1, dtype=np.float64) for row in complement_code(x)])
    value = np.where(common >= rho * x.shape[1], common / (0.01 + norms), -1)
    nearest = len(norms) - 1 - value[:, ::-1].argmax(axis=1)
    assert model.predict(x).tolist() == np.where(value.max(axis=1) >= 0, nearest, -1).tolist()


def test_floats_get_the_labels_of_another_program():
    """artlib's Fuzzy ART; it gives ties to the lowest index, so on data without ties."""
    import artlib

    x = planted(400, 30, 25, 0.05, 5)[0]
    codes = np.concatenate([x, 1 - x], axis=1)
    theirs = artlib.FuzzyART(rho=0.8, alpha=0.01, beta=0.5).fit(codes)
    ours = FuzzyART(0.8).fit(x)
    assert ours.labels_.tolist() == theirs.labels_.tolist()
    assert np.abs(ours.weights_ - np.array(theirs.W)).max() < 1e-6
    assert len(ours.counts_) > 25


@pytest.mark.parametrize("name", ["digits", "planted, 64", "planted, 256"])
def test_bytes_cluster_as_floats_do(name):
    sets = {
        "digits": (load_digits().data / 16, load_digits().target, 0.7),
        "planted, 64": (*planted(3000, 64, 30, 0.1, 2), 0.75),
        "planted, 256": (*planted(2000, 256, 100, 0.05, 3), 0.76),
    }
    x, label, rho = sets[name]
    x8 = np.rint(255 * x).astype(np.uint8)
    floats, bytes_ = FuzzyART(rho).fit(x), FuzzyART(rho).fit(x8)
    ami = [adjusted_mutual_info_score(label, model.labels_) for model in (floats, bytes_)]
    assert ami[0] > 0.2
    assert ami[1] == pytest.approx(ami[0], abs=0.02)
    frozen = np.rint(255 * floats.weights_).astype(np.uint8)
    placed = [assign_points(x, floats.weights_, rho - 0.05)[0], assign_points(x8, frozen, rho - 0.05)[0]]
    ami = [adjusted_mutual_info_score(label, winner) for winner in placed]
    assert ami[1] == pytest.approx(ami[0], abs=0.001)


def test_complement_codes_of_floats_add_up_to_exactly_one():
    x = np.concatenate([np.random.default_rng(6).random(1000), [0, 1, 1e-9, 1e-30, 1 - 1e-9]])[:, None]
    codes = complement_code(x).astype(np.float64)
    assert (codes.sum(axis=1) == 1).all()
    assert np.abs(codes[:, 0] - x[:, 0]).max() <= 2**-24
    assert complement_code(np.array([[3, 0]], np.uint8)).tolist() == [[3, 0, 252, 255]]


# --- both: merging, and the properties of boxes ---


@MANY
@given(byte_points(40, 6), st.booleans(), RHO, BETA, st.integers(1, 4))
def test_merge_is_the_loop_on_sorted_boxes_and_contains_them(x, as_floats, rho, beta, shards):
    points = dyadic_points(x) if as_floats else x
    codes, dimension, unit = complement_code(points), x.shape[1], 1 if as_floats else 255
    parts = [learn(codes[k::shards], rho, learning_rate=beta)[0] for k in range(shards)]
    inputs = sorted(
        ((w, int(n)) for part in parts for w, n in zip(part.weights, part.counts, strict=True)),
        key=lambda box: (-box[1], box[0].tobytes()),
    )
    merged = merge(parts, rho)
    assert merged.counts.sum() == len(x)
    for order in (parts[::-1], parts[1:] + parts[:1]):
        again = merge(order, rho)
        assert again.weights.tobytes() == merged.weights.tobytes()
        assert again.counts.tobytes() == merged.counts.tobytes()
    boxes, counts = np.array([w for w, _ in inputs]), np.array([n for _, n in inputs])
    _, labels = learn(boxes, rho, learning_rate=1.0, weights=counts, boxes=True)
    if not as_floats:
        expected_w, expected_n, expected_labels = oracle_learn(boxes, rho, beta=1.0, weights=counts)
        assert labels.tolist() == expected_labels
        assert merged.weights.tolist() == expected_w.tolist()
        assert merged.counts.tolist() == expected_n
    # Geometry: each shard's box lies inside its merged box, boxes are as small as vigilance asks, corners in order.
    w = merged.weights.astype(np.float64)
    assert (merged.weights[labels] <= boxes).all()
    joined = np.bincount(labels) > 1
    assert (w[joined].sum(axis=1) >= rho * unit * dimension - 1e-6 * dimension).all()
    assert (w[:, :dimension] <= unit - w[:, dimension:]).all()


@MANY
@given(byte_points(40, 8), st.booleans(), RHO)
def test_fast_learning_covers_every_row(x, as_floats, rho):
    codes = complement_code(dyadic_points(x) if as_floats else x)
    (w, n), labels = learn(codes, rho, learning_rate=1.0)
    unit, dimension = (1, 1e-6) if as_floats else (255, 0), x.shape[1]
    assert (w[labels] <= codes).all()
    assert (w.sum(axis=1, dtype=np.float64) >= rho * unit[0] * dimension - unit[1] * dimension).all()
    winner, _ = assign(codes, w, rho - unit[1])
    assert (winner >= 0).all()
    assert n.tolist() == np.bincount(labels).tolist()
    _, first, same = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    assert (winner == winner[first][same.ravel()]).all()  # duplicates get one category


@MANY
@given(byte_points(30, 8), st.booleans(), BETA)
def test_weights_only_decrease(x, as_floats, beta):
    points = x / 255 if as_floats else x
    codes, known, labels = complement_code(points), None, []
    for code in codes:
        boxes, label = learn(code[None], 0.6, learning_rate=beta, known=known)
        if known is not None:
            assert (boxes.weights[: len(known.weights)] <= known.weights).all()
        known = boxes
        labels += label.tolist()
    assert isinstance(known, Boxes)
    whole, expected = learn(codes, 0.6, learning_rate=beta)
    assert (known.weights.tobytes(), labels) == (whole.weights.tobytes(), expected.tolist())
    assert known.counts.tolist() == whole.counts.tolist()


@MANY
@given(byte_points(40, 8), st.booleans(), BETA)
def test_vigilance_zero_and_one(x, as_floats, beta):
    codes = complement_code(x / 255 if as_floats else x)
    assert learn(codes, 0.0, learning_rate=beta)[0].counts.tolist() == [len(x)]
    distinct = len(np.unique(x, axis=0))
    boxes, _ = learn(codes, 1.0, learning_rate=beta)
    assert len(boxes.counts) == distinct
    assert len(merge([boxes, boxes], 1.0).counts) == distinct


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_no_rows_and_no_categories(dtype):
    empty = np.zeros((0, 6), dtype)
    boxes, labels = learn(empty, 0.5)
    assert (boxes.weights.shape, boxes.weights.dtype, len(boxes.counts), len(labels)) == ((0, 6), dtype, 0, 0)
    winner, score = assign_points(np.zeros((2, 3), dtype), boxes.weights, 0.5)
    assert (winner.tolist(), score.tolist()) == ([-1, -1], [0, 0])
    assert len(assign_points(np.zeros((0, 3), dtype), np.ones((1, 6), dtype), 0.5)[0]) == 0
    some = learn(np.ones((1, 6), dtype), 0.5)[0]
    assert merge([boxes, some], 0.5).counts.tolist() == [1]


def test_types_and_widths_must_agree():
    boxes = learn(complement_code(np.array([[3, 4]], np.uint8)), 0.5)[0]
    floats = complement_code(np.array([[0.5, 0.5]]))
    with pytest.raises(DataError, match="uint8 of width 4"):
        learn(floats, 0.5, known=boxes)
    with pytest.raises(DataError, match="expected float32 of width 4"):
        assign(floats, boxes.weights, 0.5)
    with pytest.raises(DataError, match="expected uint8 of width 2"):
        assign_points(np.zeros((1, 1), np.uint8), boxes.weights, 0.5)
    with pytest.raises(DataError, match="expected uint8 of width 4"):
        merge([boxes, Boxes(floats, np.ones(1, np.int64))], 0.5)
    with pytest.raises(DataError, match="at most 2000000"):
        learn(np.zeros((1, 4_000_002), np.uint8), 0.5)
