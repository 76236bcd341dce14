"""The settings of given vectors reach the stage, and a change of either file makes it anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from csrms_dist.artefacts.names import HELD_OUT
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.labels import label_lists
from tests.end_to_end.harness import CONFIG
from tests.unit.ray_jobs.conftest import Cli

SETTINGS = ("path=v.npy", "rows_path=rows.npz", "id_column=key", "label_column=kind", "split_column=part")


def test_an_array_and_the_table_of_its_rows(cli: Cli, tmp_path: Path) -> None:
    def run() -> str:
        given = [word for setting in SETTINGS for word in ("--set", f"features.{setting}")]
        said = cli("features", CONFIG, *given, "--out", "run")
        assert said.code == 0, said.err
        return said.out

    vectors = np.arange(12, dtype=np.float16).reshape(6, 2)
    np.save(tmp_path / "v.npy", vectors)
    rows = {"key": np.array(list("abcdef")), "part": np.array(["train", "train", "Test", "train", "train", "dev"])}
    np.savez(tmp_path / "rows.npz", kind=[0.0, 1.0, 1.0, np.nan, 1.0, 0.0], **rows)
    run()
    train = FeatureTable.load(tmp_path / "run" / "features")
    beside = FeatureTable.load(tmp_path / "run" / "features" / HELD_OUT)
    assert (train.id_list(), label_lists(train.labels)) == (["a", "b", "e"], [[0], [1], [1]])
    assert np.array_equal(train.vectors, vectors[[0, 1, 4]])
    assert (beside.id_list(), label_lists(beside.labels)) == (["c", "d", "f"], [[1], [], [0]])
    assert beside.split_names.to_pylist() == ["test", "unlabelled", "val"]
    assert "done already" in run()
    np.savez(tmp_path / "rows.npz", kind=[0, 1, 1, 0, 1, 0], **rows)
    assert "done already" not in run()
    assert FeatureTable.load(tmp_path / "run" / "features").id_list() == ["a", "b", "d", "e"]
