"""Feature tables come back as they were saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csrms_dist.features.feature_table import FeatureTable, write_rows
from csrms_dist.labels import LabelSpace
from tests.unit.features.comparing import assert_equal


def table_of(n: int, labels: list[list[int]] | None, parts: int = 1) -> FeatureTable:
    space = LabelSpace(("cat", "dog", "élan"), multi_label=True) if labels is not None else None
    return FeatureTable(
        np.arange(3 * n, dtype=np.float32).reshape(n, 3),
        np.arange(n, dtype=np.int64) // parts,
        (np.arange(n) % parts).astype(np.int32),
        pa.array([f"img/{i // parts}" for i in range(n)], pa.string()),
        space.membership(labels) if space is not None else None,
        space,
    )


@pytest.mark.parametrize("labels", [None, [[0], [], [2, 1], [1]]])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_table_comes_back_as_it_was_saved(tmp_path: Path, labels: list[list[int]] | None, parts: int) -> None:
    table = table_of(4, labels, parts)
    table.save(tmp_path)
    again = FeatureTable.load(tmp_path)
    assert_equal(table, again)
    assert len(again) == 4
    assert again.dimension == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.none() | st.lists(st.lists(st.integers(0, 2), max_size=4), max_size=20), st.integers(0, 20))
def test_any_labels_come_back(tmp_path: Path, labels: list[list[int]] | None, n: int) -> None:
    table = table_of(len(labels) if labels is not None else n, labels)
    (tmp_path / "vectors.npy").unlink(missing_ok=True)
    table.save(tmp_path)
    assert_equal(table, FeatureTable.load(tmp_path))


def test_vectors_are_memory_mapped(tmp_path: Path) -> None:
    table_of(4, None).save(tmp_path)
    vectors = FeatureTable.load(tmp_path).vectors
    assert isinstance(vectors, np.memmap)
    assert not vectors.flags.writeable


def test_topology_and_vectors_travel_apart(tmp_path: Path) -> None:
    table = table_of(3, [[0], [1], [2]])
    np.save(tmp_path / "vectors.npy", table.vectors + 1)
    table.save(tmp_path)
    again = FeatureTable.load(tmp_path)
    assert np.array_equal(again.vectors, table.vectors + 1)
    write_rows(tmp_path, table.instance, table.part, table.ids, None, None)
    assert FeatureTable.load(tmp_path).membership is None
