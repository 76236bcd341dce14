"""Every Arrow type of texts, bytes and lists becomes one, with the same values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.basics import arrow
from csrms_dist.basics.arrow import as_text, is_bytes, is_list, is_text, joined_texts, plain
from csrms_dist.basics.parquet import batches, open_parquet, texts_of
from csrms_dist.errors import DataError

TEXTS: dict[str, Callable[[list[Any]], pa.Array]] = {
    "string": lambda values: pa.array(values, pa.string()),
    "large_string": lambda values: pa.array(values, pa.large_string()),
    "string_view": lambda values: pa.array(values, pa.string_view()),
    "categories": lambda values: pa.array(values, pa.string()).dictionary_encode(),
    "unsigned categories": lambda values: pa.array(values, pa.string()).cast(
        pa.dictionary(pa.uint32(), pa.large_string())
    ),
}
BYTES: dict[str, Callable[[list[Any]], pa.Array]] = {
    "binary": lambda values: pa.array(values, pa.binary()),
    "large_binary": lambda values: pa.array(values, pa.large_binary()),
    "binary_view": lambda values: pa.array(values, pa.binary_view()),
    "fixed size": lambda values: pa.array(values, pa.binary(2)),
    "categories": lambda values: pa.array(values, pa.binary()).dictionary_encode(),
    "extension": lambda values: pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "x", "y"), pa.array(values)),
}
LISTS: list[Callable[[pa.DataType], pa.DataType]] = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_texts(make: Callable[[list[Any]], pa.Array]) -> None:
    array = make(["b", None, "é", "", "b"])
    assert is_text(array.type)
    assert plain(array).type == pa.large_string()
    assert plain(array[1:]).to_pylist() == as_text(array[1:]).to_pylist() == [None, "é", "", "b"]


@pytest.mark.parametrize("make", BYTES.values(), ids=BYTES)
def test_bytes(make: Callable[[list[Any]], pa.Array]) -> None:
    array = make([b"ab", None, b"cd"])
    assert is_bytes(array.type)
    assert plain(array).type == pa.large_binary()
    assert plain(array[1:]).to_pylist() == [None, b"cd"]
    assert as_text(array).to_pylist() == ["ab", None, "cd"]


@given(st.lists(st.none() | st.lists(st.none() | st.sampled_from("abc"), max_size=3), max_size=6), st.integers(0, 3))
def test_lists_of_any_length(rows: list[list[str | None] | None], start: int) -> None:
    for wrap in LISTS:
        for kind in (pa.string(), pa.string_view()):
            array = pa.array(rows, wrap(kind))[start:]
            assert is_list(array.type)
            assert plain(array).type == pa.large_list(pa.large_string())
            assert plain(array).to_pylist() == rows[start:]


@given(st.lists(st.none() | st.lists(st.integers(0, 9), min_size=2, max_size=2), max_size=6), st.integers(0, 3))
def test_lists_of_one_length(rows: list[list[int] | None], start: int) -> None:
    array = pa.array(rows, pa.list_(pa.uint8(), 2))[start:]
    assert plain(array).to_pylist() == rows[start:]
    assert plain(array).flatten().type == pa.uint8()


def test_lists_of_categories() -> None:
    words = pa.array(["a", "b", None]).dictionary_encode()
    array = pa.ListArray.from_arrays(pa.array([0, 1, 3]), words)
    assert plain(array).to_pylist() == [["a"], ["b", None]]


def test_numbers_and_categories_of_them_stay_numbers() -> None:
    assert plain(pa.array([1, None], pa.uint16())).type == pa.uint16()
    assert plain(pa.array([5, None, 5]).dictionary_encode()).to_pylist() == [5, None, 5]
    assert as_text(pa.array([5, None])).to_pylist() == ["5", None]


def test_what_is_no_text_is_refused_with_its_row() -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    )
    for array in (broken, pa.array([b"a", b"\xff"])):
        with pytest.raises(DataError, match=r"x: column id: got bytes that are no UTF-8 in row 8, expected text or"):
            texts_of(Path("x"), "id", array, 7)
    with pytest.raises(DataError, match=r"x: column id: got list<item: int64>, expected text or"):
        texts_of(Path("x"), "id", pa.array([[1]]), 0)


def test_a_damaged_page_is_one_sentence_with_the_rows_that_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": list(range(600))}), path, use_dictionary=False, row_group_size=300)
    facts = pq.ParquetFile(path).metadata.row_group(1).column(0)
    raw = bytearray(path.read_bytes())
    for place in range(facts.data_page_offset, facts.data_page_offset + 20):
        raw[place] ^= 0x5A
    path.write_bytes(raw)
    file = open_parquet(path, "numbers", ["x"])
    with pytest.raises(DataError) as caught:
        list(batches(path, file, 100, ["x"]))
    assert str(caught.value) == (
        f"{path}: column x: got what cannot be read after 300 rows, expected an undamaged Parquet file; "
        "write or copy it again"
    )
    with pytest.raises(DataError, match=r"a\.parquet: got the columns x, expected a column 'y'; rename it"):
        open_parquet(path, "numbers", ["y"])


@pytest.mark.parametrize("content", [b"", b"id,vector\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_file_that_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: got a file that is no Parquet, expected numbers"):
        open_parquet(tmp_path / "a.parquet", "numbers")


def test_texts_are_joined_with_wider_offsets_where_they_need_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pa.array(["a", None]), pa.array(["bc"])
    assert joined_texts([]).type == pa.string()
    assert joined_texts([one]) is one
    assert joined_texts([one, two]).equals(pa.array(["a", None, "bc"]))
    wide = joined_texts([one, two.cast(pa.large_string())])
    assert wide.equals(pa.array(["a", None, "bc"], pa.large_string()))
    monkeypatch.setattr(arrow, "TEXT_BYTES", 2)
    assert joined_texts([one, two]).equals(wide)
