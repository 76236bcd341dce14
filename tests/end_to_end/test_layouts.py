"""Whole runs on what users have: several labels an image; unreadable images, a class that only the test set has and an
encoder that stays frozen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.methods.saved_model import read_weights
from ray_jobs.commands.cli import main
from ray_jobs.commands.query import query
from tests.end_to_end.harness import ROOM, STAGES, Run, csrms
from tests.end_to_end.made import png, write_digits_parquet
from tests.event_files import scalars

pytestmark = ROOM

FIGURES = {"mAP", "P@1", "R@1", "P@5", "R@5"}


def run(folder: Path, config: str) -> Run:
    (folder / "config.yaml").write_text("name: digits\n" + config)
    said = csrms("run", "config.yaml", folder=folder)
    assert said.code == 0, said.err
    return Run(folder, said, folder)


# ----------------------------------------------------------------------------------------------------- several labels


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = """
data: {dataset: digit_pairs}
pretrain: {epochs: 12, lr: 0.05}
train: {epochs: 2, lr: 0.01}
method: {weight_attract: 0.1}
"""
    return run(tmp_path_factory.mktemp("pairs"), config)


def test_several_labels_are_trained_and_measured(pairs: Run) -> None:
    metrics = pairs.json("metrics.json")
    assert metrics["dataset"]["multi_label"] is True
    for figures in (*metrics["test"].values(), *metrics["val"].values(), *metrics["control"].values()):
        assert set(figures) == FIGURES
        assert all(0 <= value <= 1 for value in figures.values())
    plain = metrics["test"]["plain"]
    # A pair of equal digits has one label, others two: chance is about .2 of the classes.
    assert plain["P@1"] > 0.5
    assert plain["mAP"] > 0.5
    assert plain["R@5"] > plain["R@1"]
    assert len(metrics["classes"]["average_precision"]) == 10
    assert np.mean(metrics["classes"]["average_precision"]) == pytest.approx(plain["mAP"])
    value = metrics["difference"]["value"]
    assert value == pytest.approx(plain["mAP"] - metrics["control"]["test"]["mAP"])
    assert metrics["difference"]["low"] <= value <= metrics["difference"]["high"]
    leak = metrics["leak_check"]
    assert leak["one_answer"]
    assert leak["blank_image_mAP"] == pytest.approx(leak["chance"])
    assert leak["p_value"] == 1
    assert "nothing leaks through its graph (structural reading)" in pairs.said.out
    assert "mAP, P@1, P@5, R@5 on" in pairs.said.out


def test_predictions_list_the_five_best(pairs: Run) -> None:
    table = pq.read_table(pairs.path("evaluate") / "predictions.parquet").to_pydict()
    for labels, best, probability in zip(table["labels"], table["plain"], table["plain_probability"], strict=True):
        assert 1 <= len(labels) <= 2
        assert len(set(best)) == 5
        assert probability == sorted(probability, reverse=True)
    found = np.mean([len(set(a) & set(b[:1])) for a, b in zip(table["labels"], table["plain"], strict=True)])
    assert found == pytest.approx(pairs.json("metrics.json")["test"]["plain"]["P@1"])


def test_unseen_images_of_several_labels_are_predicted(pairs: Run) -> None:
    images = pairs.folder / "two"
    images.mkdir()
    rng = np.random.default_rng(0)
    for n in range(2):
        (images / f"{n}.png").write_bytes(png(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)))
    said = csrms("predict", images, "--run", pairs.directory, "--format", "json", folder=pairs.folder)
    assert said.code == 0, said.err
    assert '"classes"' in said.out


# ------------------------------------------------------------------------------- unreadable, only in test, and frozen

BROKEN, OWL = "digit-0003", 10


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("frozen")
    write_digits_parquet(folder / "images", 400)
    for split, change in (("train", {"image": {3: b"no image"}}), ("test", {"label": {0: OWL}})):
        path = folder / "images" / f"{split}.parquet"
        columns: dict[str, Any] = pq.read_table(path).to_pydict()
        del columns["class_name"]
        for name, values in change.items():
            for row, value in values.items():
                columns[name][row] = value
        pq.write_table(pa.table(columns), path)
    config = """
data: {dataset: parquet, path: images}
encoder: {name: lenet5, frozen: true, adapter: none}
train: {epochs: 20, lr: 0.2, batch_size: 32}
loggers: [tensorboard]
"""
    # A control of the user's own, which is the plain classifier under another name.
    (folder / "own.py").write_text(
        "import dataclasses\n\nfrom csrms_dist.methods.plain import CONTROL as PLAIN\n\n"
        "CONTROL = dataclasses.replace(PLAIN, trial=False)\n"
    )
    return run(folder, config)


@pytest.fixture(scope="module")
def with_own_control(frozen: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    copy = frozen.copy(tmp_path_factory.mktemp("own"))
    said = csrms("run", "config.yaml", "--set", "evaluate.control=own:CONTROL", folder=copy.folder)
    assert said.code == 0, said.err
    return Run(copy.folder, said, copy.folder)


def test_what_was_set_aside_is_said_and_kept(frozen: Run) -> None:
    rejected = pq.read_table(frozen.path("images") / "rejected.parquet").to_pylist()
    assert [(row["id"], row["split"] in ("train", "val")) for row in rejected] == [(BROKEN, True)]
    assert rejected[0]["reason"]
    said = "\n".join(frozen.said.sentences)
    assert BROKEN in said
    assert "1 unreadable image " in frozen.said.out
    metrics = frozen.json("metrics.json")
    assert metrics["dataset"]["rejected"] == 1
    assert metrics["dataset"]["train"] + metrics["dataset"]["val"] == 319


def test_every_image_of_the_graph_says_where_it_lies(frozen: Run) -> None:
    cypher = "MATCH (i:Instance) RETURN i.source_id AS id, i.uri AS uri"
    rows = query(RunDirectory(frozen.directory), cypher=cypher).to_pylist()
    for row in rows[:5] + rows[-5:]:
        file, _, number = row["uri"].rpartition("#")
        assert pq.read_table(file)["id"][int(number)].as_py() == row["id"]
    files = {Path(row["uri"].partition("#")[0]) for row in rows}
    assert files == {frozen.folder / "images" / f"{side}.parquet" for side in ("train", "test")}


def test_a_class_that_only_the_test_set_has_counts_as_wrong(frozen: Run) -> None:
    metrics = frozen.json("metrics.json")
    assert metrics["dataset"]["test_only_classes"] == [str(OWL)]
    assert metrics["classes"]["accuracy"][OWL] == 0
    assert sum(row[OWL] for row in metrics["classes"]["confusion"]) == 0
    assert f"only in the test set: {OWL}" in frozen.said.out
    answers = pq.read_table(frozen.path("evaluate") / "predictions.parquet").to_pydict()
    hits = np.mean([a == b for a, b in zip(answers["label"], answers["plain"], strict=True)])
    assert hits == pytest.approx(metrics["test"]["plain"])


def test_a_frozen_encoder_stays_as_it_was_and_heads_learn_from_the_table(frozen: Run) -> None:
    stage_0, weights = (read_weights(frozen.path(stage)) for stage in ("pretrain", "train"))
    encoder = [name for name in weights if name.startswith("encoder.")]
    assert encoder
    assert all(np.array_equal(weights[name], stage_0[name]) for name in encoder)
    # Of the trained model the encoder's weights lie in one file, the others in another.
    apart = [load_file(frozen.path("train") / f"{file}.safetensors").keys() for file in ("weights", "encoder")]
    assert not [name for name in apart[0] if name.startswith("encoder.")]
    assert len(apart[0]) + len(apart[1]) == len(weights)
    assert not np.array_equal(weights["plain_head.weight"], stage_0["plain_head.weight"])
    metrics = frozen.json("metrics.json")
    n = metrics["dataset"]["train"]
    assert metrics["frozen_encoder"] is True
    assert metrics["adapter"] == "none"
    assert metrics["passes"] == {"method": {"backward": 0, "forward": n}, "control": {"backward": 0, "forward": n}}
    assert metrics["epochs"] == {"pretrain": 0, "train": 20}
    assert metrics["test"]["plain"] > 0.3
    assert not (frozen.path("train") / "bank.npy").exists()
    assert len(FeatureTable.load(frozen.path("features"))) == n
    assert "initial weights" in "\n".join(frozen.said.sentences)


def test_the_plain_control_of_a_frozen_encoder_is_not_trained_again(frozen: Run) -> None:
    assert "control" not in frozen.said.done
    assert not frozen.path("control").exists()
    metrics = frozen.json("metrics.json")
    assert metrics["control"] == {
        "test": metrics["test"]["plain"], "val": metrics["val"]["plain"], "same_as_plain_head": True
    }  # fmt: skip
    assert "difference" not in metrics
    for head in ("graph", "mean"):
        gained = metrics["against_plain_head"][head]
        assert gained["value"] == pytest.approx(metrics["test"][head] - metrics["test"]["plain"])
        assert gained["low"] <= gained["value"] <= gained["high"]
        assert re.search(rf"^  {head} minus plain head +[+-]", frozen.said.out, re.MULTILINE)
    assert "plain control             not run: with a frozen encoder and no adapter" in frozen.said.out


def test_a_control_of_the_users_own_is_trained_and_the_plain_one_would_have_been_equal(with_own_control: Run) -> None:
    assert with_own_control.said.done == ("control", "evaluate")
    train, control = (read_weights(with_own_control.path(stage)) for stage in ("train", "control"))
    assert all(np.array_equal(train[name], control[name]) for name in control)
    metrics = with_own_control.json("metrics.json")
    assert metrics["control"]["name"] == "own:CONTROL"
    assert metrics["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert metrics["passes"]["control"] == metrics["passes"]["method"]
    assert "control" in {path.name for path in with_own_control.path("tensorboard").iterdir()}


def test_a_control_of_the_users_own_is_trained_by_itself_as_one_of_ours_is(frozen: Run, tmp_path: Path) -> None:
    copy = frozen.copy(tmp_path / "by_itself")
    said = csrms("run", "config.yaml", "--set", "method.name=own:CONTROL", folder=copy.folder)
    assert said.code == 0, said.err
    assert said.done == ("train", "evaluate")
    assert "A control by itself has no patterns and no graph" in said.out


def test_curves_are_there(frozen: Run) -> None:
    folders = {path.name for path in frozen.path("tensorboard").iterdir()}
    assert folders == {*STAGES, ".key"} - {"control"}  # the figures of every stage
    train, evaluate = (scalars(frozen.path("tensorboard") / stage) for stage in ("train", "evaluate"))
    assert train["loss"] == [(int(it["epoch"]), round(it["loss"], 5)) for it in frozen.facts("train")["history"]]
    assert evaluate["test/plain"] == [(1, round(frozen.json("metrics.json")["test"]["plain"], 5))]


def test_the_log_says_that_it_is_done(frozen: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(frozen.directory)]) == 0
    assert f"{frozen.directory}: done, last sign of life" in capsys.readouterr().out
