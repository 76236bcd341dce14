from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist.errors import RunDirectoryError
from csrms_dist.hierarchy.snapshot import INDEX, equal, load, save


@given(data=st.data())
def test_load_of_save_is_the_graph_and_equal_graphs_are_equal_bytes(
    tmp_path_factory: pytest.TempPathFactory, hierarchies: Any, data: st.DataObject
) -> None:
    graph = data.draw(hierarchies).graph
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    save(graph, first)
    loaded = load(first)
    assert equal(loaded, graph)
    save(loaded, second)
    files = sorted(path.name for path in first.iterdir())
    assert files == sorted(path.name for path in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


@given(data=st.data())
def test_equal_sees_every_difference(hierarchies: Any, data: st.DataObject) -> None:
    graph = data.draw(hierarchies).graph
    score = graph.score.copy()
    score[-1] = np.nextafter(score[-1], np.float32(2))
    counts, role = graph.counts.copy(), graph.role.copy()
    assert not equal(graph, dataclasses.replace(graph, score=score))
    assert not equal(graph, dataclasses.replace(graph, multi_label=not graph.multi_label))
    assert not equal(graph, dataclasses.replace(graph, dominance_threshold=0.123))
    if counts.nnz:
        counts.data[0] += 1
        role.data[0] = (role.data[0] + 1) % 3
        assert not equal(graph, dataclasses.replace(graph, counts=counts))
        assert not equal(graph, dataclasses.replace(graph, role=role))


@given(data=st.data())
def test_loaded_arrays_are_mapped_and_cannot_be_changed(
    tmp_path_factory: pytest.TempPathFactory, hierarchies: Any, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("graph")
    save(data.draw(hierarchies).graph, folder)
    graph = load(folder)
    for array in (graph.score, graph.pattern, graph.membership.data, graph.counts.indices, graph.role.data):
        if array.size:
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no whole hierarchy"):
        load(tmp_path)
    (tmp_path / INDEX).write_text('{"format": 99}')
    with pytest.raises(RunDirectoryError, match="got format 99, expected 1"):
        load(tmp_path)
