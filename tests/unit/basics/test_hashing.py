"""Draws are hashes: equal to a plain-Python oracle, uniform, independent of order and of one another."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from csrms_dist.basics.hashing import hash_ids, mix, permutation, repeated_ids, text_at, texts, uniform

MASK = (1 << 64) - 1
INT64 = st.integers(-(2**63), 2**63 - 1)


def splitmix64(seed: int) -> int:
    """The first output of SplitMix64 seeded with `seed`, as its authors print it."""
    z = (seed + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def mix_oracle(*parts: int) -> int:
    state = 0
    for part in parts:
        state = splitmix64(state ^ (part & MASK))
    return state


def fraction_of_differing_bits(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> float:
    return float(np.bitwise_count(a ^ b).mean() / 64)


def test_the_oracle_is_splitmix64() -> None:
    # The published first output for seed 0 and for seed 1234567.
    assert splitmix64(0) == 0xE220A8397B1DCDAF
    assert splitmix64(1234567) == 6457827717110365317


@given(st.lists(INT64, min_size=1, max_size=5))
def test_mix_of_integers_equals_the_loop(parts: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mix(*parts).tolist() == [mix_oracle(*parts)]


@given(
    hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=5), elements=INT64),
    st.integers(0, 2**31),
    st.sampled_from([np.int8, np.int32, np.uint16, np.uint32, np.uint64]),
)
def test_mix_of_arrays_equals_the_loop_element_by_element(array: npt.NDArray[np.int64], seed: int, dtype: type) -> None:
    other = array.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = mix(seed, array, other)
    assert mixed.shape == array.shape
    assert mixed.dtype == np.uint64
    for place in np.ndindex(*array.shape):
        assert int(mixed[place]) == mix_oracle(seed, int(array[place]), int(other[place]))


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63), 2**63, MASK])
def test_overflow_wraps_without_a_warning(value: int) -> None:
    forms = [value, np.array([value], dtype=np.uint64 if value > 0 else np.int64)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="raise"):
            assert [int(mix(form, form)[0]) for form in forms] == [mix_oracle(value, value)] * 2


@given(st.integers(1, 5), st.integers(1, 5), INT64)
def test_mix_broadcasts(rows: int, columns: int, seed: int) -> None:
    i, j = np.arange(rows)[:, None], np.arange(columns)[None, :]
    table = mix(seed, i, j)
    assert table.shape == (rows, columns)
    assert np.array_equal(table, np.stack([mix(seed, np.full(columns, r), np.arange(columns)) for r in range(rows)]))


def test_the_order_of_the_parts_matters() -> None:
    assert mix(1, 2) != mix(2, 1)
    assert mix(0) != mix(0, 0)
    assert len(np.unique(mix(np.arange(300)[:, None], np.arange(300)[None, :]))) == 300 * 300


def test_every_input_bit_flips_half_of_the_output() -> None:
    values = np.arange(20_000, dtype=np.uint64)
    for bit in range(0, 64, 7):
        assert fraction_of_differing_bits(
            mix(3, values), mix(3, values ^ (np.uint64(1) << np.uint64(bit)))
        ) == pytest.approx(0.5, abs=0.005)


def test_uniform_is_uniform_on_consecutive_integers() -> None:
    n, bins = 100_000, 100
    for seed in range(3):
        draws = uniform(seed, np.arange(n))
        assert draws.dtype == np.float64
        assert draws.min() >= 0
        assert draws.max() < 1
        counts = np.histogram(draws, bins=bins, range=(0, 1))[0]
        chi2 = float(((counts - n / bins) ** 2 / (n / bins)).sum())
        # 99 degrees of freedom: mean 99, standard deviation 14.
        assert 50 < chi2 < 170
        # Neighbours in the input are not neighbours in the output.
        assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02


@given(INT64)
def test_uniform_takes_the_upper_53_bits(value: int) -> None:
    assert uniform(value).tolist() == [(mix_oracle(value) >> 11) / 2**53]


@given(st.lists(st.text()), st.text(alphabet=st.characters(max_codepoint=127), max_size=16))
def test_hash_ids_equals_blake2b(ids: list[str], purpose: str) -> None:
    expected = [
        int.from_bytes(hashlib.blake2b(i.encode(), digest_size=8, person=purpose.encode()).digest(), "little")
        for i in ids
    ]
    hashed = hash_ids(ids, purpose)
    assert hashed.dtype == np.uint64
    assert hashed.shape == (len(ids),)
    assert hashed.tolist() == expected


def test_hashes_never_change() -> None:
    # Splits and shards on disk depend on these values.
    assert hash_ids(["a", "img/0001.png", "é"], "split").tolist() == [
        1594665237138885296,
        13756015203106068755,
        14077872311775488632,
    ]
    assert mix(7, np.arange(3)).tolist() == [13309476754707697221, 4414019431610648415, 5090977316425868581]


def test_purposes_are_independent() -> None:
    ids = [f"image-{i}" for i in range(20_000)]
    hashes = {purpose: hash_ids(ids, purpose) for purpose in ("split", "shard", "order")}
    for one, two in (("split", "shard"), ("split", "order"), ("shard", "order")):
        assert fraction_of_differing_bits(hashes[one], hashes[two]) == pytest.approx(0.5, abs=0.005)
        # Held out in a split says nothing about the shard: the joint share is the product.
        joint = float(((hashes[one] % 10 == 0) & (hashes[two] % 4 == 0)).mean())
        assert joint == pytest.approx(1 / 40, abs=0.005)


@given(st.lists(st.text(), unique=True))
def test_the_hash_of_an_id_does_not_depend_on_the_others(ids: list[str]) -> None:
    alone = {i: int(hash_ids([i], "order")[0]) for i in ids}
    shuffled = sorted(ids, key=lambda i: alone[i])
    assert dict(zip(shuffled, hash_ids(shuffled, "order").tolist(), strict=True)) == alone
    assert hash_ids(iter(ids), "order").tolist() == [alone[i] for i in ids]


@given(st.integers(0, 300), st.lists(INT64, max_size=3))
def test_permutation_is_a_permutation_of_its_parts_alone(n: int, parts: list[int]) -> None:
    order = permutation(n, *parts)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order, permutation(n, *parts))


def test_permutations_of_different_parts_differ_and_are_fair() -> None:
    first = np.array([permutation(5, seed, 9)[0] for seed in range(5_000)])
    assert np.bincount(first, minlength=5) == pytest.approx(1000, abs=150)
    assert not np.array_equal(permutation(50, 1), permutation(50, 2))


@given(st.lists(st.text(max_size=3), max_size=30))
def test_arrow_strings_hash_as_python_strings_do(ids: list[str]) -> None:
    ids = [i.encode(errors="replace").decode() for i in ids]
    for arrow in (pa.array(ids, pa.string()), pa.chunked_array([ids[:7], ids[7:]], pa.large_string())):
        assert list(texts(arrow)) == ids
        assert [text_at(arrow, k) for k in range(len(ids))] == ids
        assert hash_ids(arrow, "order").tolist() == hash_ids(ids, "order").tolist()
        assert repeated_ids(arrow) == repeated_ids(ids)


@given(st.lists(st.sampled_from("abcdefgh"), max_size=9))
def test_repeated_ids_come_with_their_first_row(ids: list[str]) -> None:
    assert repeated_ids(ids) == [(ids.index(name), k) for k, name in enumerate(ids) if name in ids[:k]]
