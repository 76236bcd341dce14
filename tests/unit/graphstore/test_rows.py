"""Rows in blocks."""

from __future__ import annotations

import pyarrow as pa
import pytest

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.hierarchy.snapshot import fingerprint_of
from graphstore.schema import SCHEMA
from graphstore.store import Repeated
from graphstore.tables import content_fingerprint, publication_tables
from tests.unit.graphstore.making import publication, whole


@pytest.mark.parametrize("block", [1, 3, 4])
def test_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = publication(ids=pa.chunked_array([["w"], ["x", "y\n"], ["z"]]), split=Repeated("train", 4))
    at_once, content = whole(given), content_fingerprint(given)
    monkeypatch.setattr("graphstore.rows.BLOCK", block)
    for name, rows in publication_tables(given, SCHEMA).items():
        assert pa.concat_tables(list(rows.blocks())).equals(at_once[name])
        assert all(part.num_rows <= block for part in rows.blocks())
    assert content_fingerprint(given) == content
    names = [given.dataset_key, ["cat", "dog"], ["w", "x", "y\n", "z"], ["train"] * 4]
    assert content == fingerprint(names, fingerprint_of(given.hierarchy))


def test_a_repeated_text_is_a_sequence_in_no_memory() -> None:
    some = Repeated("train", 10**9)
    assert len(some) == 10**9
    assert some[5] == some[-1] == "train"
    assert list(some[3:6]) == ["train"] * 3
    with pytest.raises(IndexError):
        some[10**9]
