"""Answers of a trained run: the same bytes however images come, in blocks of which few are held at a time."""

from __future__ import annotations

import dataclasses
import io
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import ConfigError, RunDirectoryError
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.evaluation.predictions import prediction_table
from csrms_dist.inference.predictor import Predictor
from csrms_dist.methods.csrms.build import keep
from csrms_dist.methods.saved_model import save_model
from csrms_dist.training.loop import fit
from csrms_dist.training.settings import OptimiserSettings

HEADS = ("plain", "graph", "mean")


@pytest.fixture(scope="module")
def run(digits_run: Any, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A trained model with three heads, without patterns beside it."""
    method, sampler = digits_run.csrms("structural")
    settings = OptimiserSettings(batch_size=64, lr=0.02)
    fit(method, digits_run.data, settings, n_images=600, seed=0, sampler=sampler)
    directory = RunDirectory(tmp_path_factory.mktemp("run"))
    with directory.writing("train", "f") as folder:
        save_model(folder, digits_run.card_of("structural"), method.module.state_dict())
        keep(folder, method.state_dict(), folder)
    return directory


@pytest.fixture(scope="module")
def plain(digits_run: Any, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A model of several labels an image, with the plain head alone."""
    directory = RunDirectory(tmp_path_factory.mktemp("plain"))
    with directory.writing("train", "f") as folder:
        save_model(folder, dataclasses.replace(digits_run.card, multi_label=True), digits_run.stage_0)
    return directory


@pytest.fixture(scope="module")
def images(digits_run: Any) -> list[tuple[str, np.ndarray]]:
    found = digits_run.test.pixels(np.arange(100))
    return [(f"digit {n}", pixels) for n, pixels in enumerate(found)]


def answered(predictor: Predictor, images: Any, block: int) -> pa.Table:
    return pa.concat_tables(predictor.tables(images, block))


def test_the_columns_are_those_of_an_evaluation(run: RunDirectory, digits_run: Any) -> None:
    classifier, test = Classifier(run.open("train")), digits_run.test
    pixels = test.pixels(np.arange(len(test)))
    expected = prediction_table(test, classifier.predict(pixels), None)
    found = answered(Predictor(run), zip(test.ids.to_pylist(), pixels, strict=True), 1024)
    shared = [name for name in expected.column_names if name != "label"]
    assert shared == ["id", *(word for head in HEADS for word in (head, f"{head}_probability"))]
    assert found.select(shared).equals(expected.select(shared))
    assert found.column_names == ["id", "class", "probability", *shared[1:], "problem"], "there are no patterns"


@pytest.mark.parametrize("head", HEADS)
def test_the_head_that_was_chosen_answers(run: RunDirectory, images: Any, head: str) -> None:
    found = answered(Predictor(run, head=head, all_probabilities=True), images, 1024)
    assert found["class"].equals(found[head])
    assert found["probability"].equals(found[f"{head}_probability"])
    for name in HEADS:
        values = np.array(found[f"{name}_probabilities"].to_pylist(), np.float32)
        assert values.shape == (len(images), 10)
        assert values.max(axis=1).tolist() == found[f"{name}_probability"].to_pylist()
        assert [str(k) for k in values.argmax(axis=1)] == found[name].to_pylist()
    assert found["plain"].to_pylist() != found["graph"].to_pylist(), "the heads differ, so the choice is seen"


def test_a_head_that_the_model_lacks(run: RunDirectory, plain: RunDirectory) -> None:
    with pytest.raises(ConfigError) as caught:
        Predictor(run, head="grph")
    assert str(caught.value) == "--head: got 'grph', expected a head of this model: plain, graph, mean"
    with pytest.raises(ConfigError, match=r"--head: got 'graph', expected a head of this model: plain$"):
        Predictor(plain, head="graph")


def test_a_run_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="has no artefact 'train'"):
        Predictor(RunDirectory(tmp_path))


def test_the_same_bytes_in_blocks_of_any_size_and_one_by_one(run: RunDirectory, images: Any) -> None:
    predictor = Predictor(run, all_probabilities=True)
    whole = answered(predictor, images, 1024)
    for block in (1, 7, 32, 99):
        tables = list(predictor.tables(images, block))
        assert [len(table) for table in tables] == [min(block, 100 - n) for n in range(0, 100, block)]
        assert all(table.schema == predictor.schema for table in tables)
        assert pa.concat_tables(tables).equals(whole)
    rows = list(predictor.stream([pixels for _, pixels in images]))
    assert [row.pop("id") for row in rows] == [f"image {n}" for n in range(100)]
    assert rows == whole.drop_columns(["id"]).to_pylist()


def test_paths_bytes_and_pixels_in_one_stream(run: RunDirectory, images: Any, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(images[0][1]).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    given = [tmp_path / "a.png", f"{tmp_path}/a.png", buffer.getvalue(), images[0][1], b"no image", tmp_path / "b.png"]
    rows = list(Predictor(run).stream(given))
    assert [row.pop("id") for row in rows] == [
        f"{tmp_path}/a.png", f"{tmp_path}/a.png", "image 2", "image 3", "image 4", f"{tmp_path}/b.png"
    ]  # fmt: skip
    assert rows[0] == rows[1] == rows[2] == rows[3]
    assert rows[0]["problem"] is None
    for row, problem in zip(rows[4:], ("not an image in a known format", "no such file or directory"), strict=True):
        assert row.pop("problem") == problem
        assert set(row.values()) == {None}


def test_what_cannot_be_read_has_its_row_in_its_place(run: RunDirectory, images: Any) -> None:
    predictor = Predictor(run)
    good = answered(predictor, images[:3], 4).to_pylist()
    mixed = [("x", b"?"), images[0], ("y", None), images[1], images[2], ("z", b"??")]
    for block in (1, 2, 6):
        found = answered(predictor, mixed, block).to_pylist()
        assert [row["id"] for row in found] == ["x", "digit 0", "y", "digit 1", "digit 2", "z"]
        assert [found[n] for n in (1, 3, 4)] == good
        assert [row["class"] is None and row["problem"] is not None for row in found] == [True, False] * 2 + [
            False,
            True,
        ]


def test_few_images_and_tables_are_held_at_a_time(run: RunDirectory, images: Any) -> None:
    """2,000 images come through blocks of 50: never are more than two blocks of them, or of answers, there at once."""
    block, asked, held = 50, 0, weakref.WeakSet[Any]()

    class Pixels(np.ndarray):
        """An array that can be counted."""

        __hash__ = object.__hash__

    def source() -> Iterator[tuple[str, np.ndarray]]:
        nonlocal asked
        for n in range(2000):
            pixels = images[n % 100][1].copy().view(Pixels)
            held.add(pixels)
            asked += 1
            yield str(n), pixels
            del pixels

    tables: list[weakref.ref[pa.Table]] = []
    most_images = most_tables = rows = 0
    for table in Predictor(run).tables(source(), block):
        rows += len(table)
        assert asked <= rows + block, "nothing is read long before it is answered"
        tables.append(weakref.ref(table))
        most_images = max(most_images, len(held))
        most_tables = max(most_tables, sum(item() is not None for item in tables))
        del table
    assert rows == asked == 2000
    assert 0 < most_images <= 2 * block
    assert most_tables <= 2


def test_several_labels_an_image(plain: RunDirectory, images: Any) -> None:
    predictor = Predictor(plain, all_probabilities=True)
    found = answered(predictor, images, 64)
    assert found.schema == predictor.schema
    for row in found.to_pylist():
        values = np.array(row["plain_probabilities"], np.float32)
        order = sorted(range(10), key=lambda k: -values[k])
        assert row["class"] == str(order[0])
        assert row["plain"] == [str(k) for k in order[:5]]
        assert row["plain_probability"] == [values[k] for k in order[:5]]
        assert row["classes"] == [str(k) for k in order if values[k] >= 0.5]
        assert row["probabilities"] == [values[k] for k in order if values[k] >= 0.5]
