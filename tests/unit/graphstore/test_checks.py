"""Rows that may not be stored."""

from __future__ import annotations

import pyarrow as pa
import pytest

from csrms_dist.errors import DataError
from graphstore.checks import check_tables
from graphstore.rows import Rows
from graphstore.schema import SCHEMA
from tests.unit.graphstore.making import with_rows


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (with_rows("Class", key="d@00000000#1"), "Class: got 1 rows too many"),
        (with_rows("Class", name=None), "Class.name: got a null"),
        (with_rows("Instance.HAS_LABEL.Class", to="nowhere"), "HAS_LABEL.Class.to: got 'nowhere'"),
        (with_rows("Pattern.OF_RUN.Run", **{"from": "nowhere"}), "OF_RUN.Run.from: got 'nowhere'"),
        (with_rows("Pattern.COVERS.Class", **{"from": "d@00000000:aaaaaaaaaaaaaaaa#1"}), "COVERS.Class: got 1 rows"),
        ({**with_rows("Class"), "Class": pa.table({"key": ["x"]})}, "columns of Class"),
    ],
)
def test_rows_that_a_bulk_load_would_choke_on_are_found(tables: dict[str, pa.Table], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_tables({name: Rows.of(table) for name, table in tables.items()}, SCHEMA, tables)
