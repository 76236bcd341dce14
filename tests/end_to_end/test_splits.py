"""The splits that nothing learns from: the graph knows them, training does not. And images without any label."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from csrms_dist.artefacts.names import TEST_IMAGES, TRAIN_IMAGES
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.datasets.image_source import SPLITS, TRAIN, UNLABELLED, VAL, ImageSource
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.errors import ConfigError, DataError
from csrms_dist.labels import LabelSpace, label_lists
from csrms_dist.run_contents import RunContents
from ray_jobs.commands.query import query
from ray_jobs.pipeline import prepare
from ray_jobs.settings import load_settings
from tests.end_to_end.harness import CONFIG, ROOM, SMALL, Run, digests

pytestmark = ROOM


def source_of(table: ImageTable, rows: np.ndarray | None = None) -> ImageSource:
    """The images of a table, or some of them, to be written again."""
    rows = np.arange(len(table)) if rows is None else rows
    return ImageSource(
        table.name, table.label_space, table.ids.take(pa.array(rows)), table.membership[rows], table.split[rows].copy(),
        table.pixels(rows), table.shape,
    )  # fmt: skip


def with_images(run: Run, change: Callable[[ImageSource, ImageSource], tuple[ImageSource, ImageSource]]) -> RunContents:
    """Put other images in the place of a run's, under the same fingerprint, and take away what was made of them."""
    directory = RunDirectory(run.directory)
    before, stamp = RunContents(directory), directory.stamp("images")
    assert stamp is not None
    train, test = change(source_of(before.train_images), source_of(before.test_images))
    facts = {**stamp["facts"], "content_hash": "0" * 32, "classes": train.label_space.n_classes}
    facts |= {"test": len(test), **{name: int((train.split == SPLITS.index(name)).sum()) for name in SPLITS[:2]}}
    with directory.writing("images", stamp["fingerprint"], facts) as folder:
        write_image_table(folder / TRAIN_IMAGES, train)
        write_image_table(folder / TEST_IMAGES, test, shape=before.test_images.shape)
    run.remove("features", "cluster", "graph", "store", "candidates", "train", "control", "evaluate")
    return RunContents(directory)


def test_all_splits_of_images_are_in_the_graph(finished: Run) -> None:
    run = RunContents(RunDirectory(finished.directory))
    train, test = run.train_images, run.test_images
    assert run.held_out is not None
    counts = {"train": 1295, "val": 143, "test": 359}
    assert finished.facts("features")["held_out"] == counts["val"] + counts["test"]
    assert finished.facts("features")["passes"] == {"backward": 0, "forward": counts["train"]}
    found = query(run.directory, cypher="MATCH (i:Instance) RETURN i.split AS split, i.idx AS idx, i.source_id AS id")
    assert {split: found["split"].to_pylist().count(split) for split in counts} == counts
    ids = [*train.ids.to_pylist(), *test.ids.to_pylist()]
    splits = [*(SPLITS[code] for code in train.split), *["test"] * len(test)]
    assert all((ids[row["idx"]], splits[row["idx"]]) == (row["id"], row["split"]) for row in found.to_pylist())
    pattern, score = run.clusters.predict(run.held_out.vectors)
    for place in (0, len(run.held_out) - 1):
        name = run.held_out.ids[place].as_py()
        (row,) = query(run.directory, "instance", {"id": name}).to_pylist()
        assert (row["split"], row["pattern"]) == (splits[run.held_out.instance[place]], pattern[place])
        assert row["score"] == pytest.approx(float(score[place]))
        assert row["class"] == str(label_lists(run.held_out.labels)[place][0])
    assert {row["split"] for row in query(run.directory, "outliers", {"top": 1000}).to_pylist()} == set(counts)


def test_training_is_the_same_bytes_whatever_the_other_splits_are(finished: Run, copied: Run) -> None:
    """Half of the validation images lose their labels, the others swap them; half of the test images go, too."""

    def other(train: ImageSource, test: ImageSource) -> tuple[ImageSource, ImageSource]:
        val = np.flatnonzero(train.split == VAL)
        lists: list[list[int] | None] = list(label_lists(train.membership))
        for row, swapped in zip(val[::2], val[::2][::-1], strict=True):
            lists[row] = label_lists(train.membership)[swapped]
        for row in val[1::2]:
            lists[row] = None
        train.split[val[1::2]] = UNLABELLED
        half = np.arange(0, len(test), 2)
        swapped = test.membership[half[::-1]]
        return (
            dataclasses.replace(train, membership=train.label_space.membership(lists)),
            dataclasses.replace(
                test, ids=test.ids.take(pa.array(half)), membership=swapped, split=test.split[half],
                images=np.asarray(test.images)[half],
            ),
        )  # fmt: skip

    run = with_images(copied, other)
    said = copied.run("--until", "train")
    assert said.done == ("features", "cluster", "graph", "train"), said.err
    for stage in ("features", "cluster", "graph", "candidates", "train"):
        before, after = (digests(each.path(stage)) for each in (finished, copied))
        beside = {name for name in before if name.startswith("held_out/")}
        assert {name: before[name] for name in before.keys() - beside} == {
            name: after[name] for name in after.keys() - beside
        }, stage
        assert all(before[name] != after[name] for name in beside)
    assert run.held_out is not None
    assert {word: run.held_out.split_names.to_pylist().count(word) for word in SPLITS} == {
        "train": 0, "val": 72, "test": 180, "unlabelled": 71,
    }  # fmt: skip
    for name in ("dominance", "confused_classes", "mixed_patterns"):
        assert query(run.directory, name) == query(RunDirectory(finished.directory), name)


def without_labels(train: ImageSource, test: ImageSource) -> tuple[ImageSource, ImageSource]:
    """All images as training images that nobody has labelled."""
    none = LabelSpace(())
    codes = np.full(len(train), TRAIN, np.uint8)
    whole = dataclasses.replace(
        train, label_space=none, membership=none.membership([None] * len(train)), split=codes
    )  # fmt: skip
    empty = dataclasses.replace(
        test, label_space=none, membership=none.membership([]), split=codes[:0], ids=test.ids[:0], images=[]
    )  # fmt: skip
    return whole, empty


def test_images_without_labels_become_a_graph_of_patterns(copied: Run) -> None:
    shutil.copy(copied.path("train") / "encoder.safetensors", copied.folder / "encoder.safetensors")
    with_images(copied, without_labels)
    said = copied.run("--set", "encoder.weights=encoder.safetensors")
    assert said.code == 0, said.err
    assert said.done == ("pretrain", "features", "cluster", "graph")
    assert said.sentences == []
    assert "there are no labels, so nothing was trained" in said.out
    assert "class" not in said.out
    assert copied.facts("pretrain")["passes"] == {"backward": 0, "forward": 0}
    run = RunDirectory(copied.directory)
    sizes = query(run, "patterns")["size"].to_pylist()
    assert sum(sizes) == len(RunContents(run).train_images) == 1438
    assert query(run, "members", {"pattern": 0}).num_rows == sizes[0] or sizes[0] > 100
    for target in ("train", "evaluate"):
        with pytest.raises(DataError, match=f"the stage {target}: got data without labels"):
            prepare(copied.folder / CONFIG, copied.directory, (), control=True, until=target)


def test_images_without_labels_need_an_encoder_with_weights(copied: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = shutil.copy(copied.path("train") / "encoder.safetensors", copied.folder)
    with_images(copied, without_labels)
    small = tuple(word for word in SMALL if word != "--set")

    def settled(*overrides: str, named: bool = True) -> tuple[str, str]:
        settings = load_settings(copied.folder / CONFIG, (*small, *overrides))
        if not named:
            settings = dataclasses.replace(settings, encoder_given=False)
        work = prepare(settings, copied.directory, (), control=True)
        assert [stage.name for stage in work.stages] == ["images", "pretrain", "features", "cluster", "graph"]
        return work.settings.encoder.name, work.settings.encoder.weights

    with pytest.raises(ConfigError, match=r"lenet5, which cannot be trained, .*encoder\.name=efficientnet_lite0 .*"
                                          r"csrms-dist\[pretrained\]"):  # fmt: skip
        settled()
    assert settled(f"encoder.weights={weights}") == ("lenet5", str(weights))
    monkeypatch.setattr("ray_jobs.settings.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"csrms-dist\[pretrained\]"):
        settled(named=False)
    monkeypatch.setattr("ray_jobs.settings.find_spec", lambda name: name)
    assert settled(named=False) == ("efficientnet_lite0", "pretrained")


def test_whether_somebody_chose_the_encoder_is_known(tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("seed: 1\n")
    assert not load_settings(tmp_path / "none.yaml").encoder_given
    assert not load_settings(tmp_path / "none.yaml", ("encoder.frozen=true",)).encoder_given
    named = load_settings(tmp_path / "none.yaml", ("encoder.name=lenet5",))
    assert named.encoder_given
    assert "encoder_given" not in named.as_mapping()
