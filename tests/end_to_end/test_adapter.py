"""Whole runs with a frozen encoder and an adapter on it: what learns, what stays, and who sees which features."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.evaluation.placement import Placement
from csrms_dist.methods.saved_model import read_card, read_weights
from csrms_dist.models.adapter import WIDTH
from csrms_dist.models.feature_bank import generation_file
from csrms_dist.run_contents import RunContents
from csrms_dist.training.alone import train_alone
from ray_jobs.settings import RunSettings, load_settings
from tests.end_to_end.harness import ROOM, Run, csrms
from tests.end_to_end.made import write_digits_parquet

pytestmark = ROOM

TABLE = "encoder.adapter=none"


@pytest.fixture(scope="module", params=["one label", pytest.param("several labels", marks=pytest.mark.slow)])
def adapted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run up to the graph without an adapter, then to its end with the default."""
    folder = tmp_path_factory.mktemp("adapted")
    data, more = "{dataset: digit_pairs}", "method: {weight_attract: 0.1}"
    if request.param == "one label":
        data, more = "{dataset: parquet, path: images, val_fraction: 0.2}", ""
        write_digits_parquet(folder / "images", 400)
    (folder / "config.yaml").write_text(
        f"name: digits\ndata: {data}\nencoder: {{name: lenet5, frozen: true}}\ncluster: {{vigilance: 0.5}}\n{more}\n"
        "train: {epochs: 6, lr: 0.05, batch_size: 32}\n"
    )
    before = csrms("run", "config.yaml", "--set", TABLE, "--until", "graph", folder=folder)
    assert before.code == 0, before.err
    said = csrms("run", "config.yaml", folder=folder)
    assert said.code == 0, said.err
    return Run(folder, said, folder)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def settings_of(run: Run, *changes: str) -> RunSettings:
    return load_settings(run.folder / "config.yaml", changes)


def test_the_stages_before_it_are_not_done_again_and_the_control_is_trained(adapted: Run) -> None:
    assert adapted.said.done == ("train", "control", "evaluate")


def test_the_encoder_stays_and_the_adapter_of_both_learns(adapted: Run) -> None:
    stage_0, train, control = (read_weights(adapted.path(stage)) for stage in ("pretrain", "train", "control"))
    base = {name: value for name, value in train.items() if name.startswith("encoder.base.")}
    assert base
    for name, value in base.items():
        assert torch.equal(value, stage_0[name.replace(".base.", ".")])
        assert torch.equal(value, control[name])
    for weights in (train, control):
        assert weights["encoder.adapter.0.weight"].shape == (WIDTH, 84)
        assert weights["plain_head.weight"].shape == (10, WIDTH)
    # The method's terms reach the adapter, and through it the plain head.
    assert not torch.equal(train["encoder.adapter.0.weight"], control["encoder.adapter.0.weight"])
    assert not torch.equal(train["plain_head.weight"], control["plain_head.weight"])


def test_the_exported_encoder_is_the_frozen_one_without_a_head(adapted: Run) -> None:
    stage_0 = read_weights(adapted.path("pretrain"))
    exported, beside = (load_file(adapted.path("train") / f"{name}.safetensors") for name in ("encoder", "weights"))
    assert {f"encoder.{name}" for name in exported} == {name for name in stage_0 if name.startswith("encoder.")}
    assert not any(name.startswith("encoder.base.") for name in beside)
    assert "encoder.adapter.2.bias" in beside


def test_both_count_the_passes_of_the_table_and_are_compared(adapted: Run) -> None:
    metrics = adapted.json("metrics.json")
    n = metrics["dataset"]["train"]
    assert (metrics["frozen_encoder"], metrics["adapter"]) == (True, "mlp")
    assert metrics["passes"] == {"method": {"backward": 0, "forward": n}, "control": {"backward": 0, "forward": n}}
    assert "against_plain_head" not in metrics
    assert "same_as_plain_head" not in metrics["control"]
    assert metrics["difference"]["low"] < metrics["difference"]["high"]
    assert metrics["leak_check"]["one_answer"]
    assert "frozen encoder with adapter mlp" in adapted.said.out
    assert "not run" not in adapted.said.out
    plain = metrics["test"]["plain"]
    assert (plain["P@1"] if metrics["dataset"]["multi_label"] else plain) > 0.4
    assert adapted.facts("train")["history"][-1]["plain_accuracy"] > 0.4


def test_bank_and_prototypes_are_the_adapters_and_patterns_those_of_the_table(adapted: Run) -> None:
    run = RunContents(RunDirectory(adapted.directory))
    n = run.hierarchy.n_rows
    assert run.vectors.shape == (n, 84)
    assert run.bank.shape == (n, WIDTH)
    prototypes = np.load(adapted.path("train") / "prototypes.npy")
    for pattern in range(run.hierarchy.n_patterns):
        members = run.bank[run.hierarchy.pattern == pattern].astype(np.float64)
        np.testing.assert_allclose(prototypes[pattern], members.mean(axis=0), rtol=1e-4, atol=1e-5)
    # What the trained adapter makes of the table is close to what the last epoch wrote while it went on learning.
    now = Classifier(adapted.path("train")).adapted(np.array(run.vectors))
    assert np.corrcoef(now.ravel(), run.bank.ravel())[0, 1] > 0.9


def test_the_bank_begins_with_the_initial_adapter(adapted: Run, one_thread: None, tmp_path: Path) -> None:
    work, recipe = tmp_path / "work", settings_of(adapted).recipe
    begun: dict[str, np.ndarray] = {}

    def look(done: int, _: Any) -> None:
        begun.setdefault("first", np.load(generation_file(work, 0)))

    train_alone("train", adapted.directory, recipe, n_images=10, work=work, on_epoch=look)
    run = RunContents(RunDirectory(adapted.directory))
    model = Classifier(adapted.path("train"))
    torch.manual_seed(recipe.seed)
    fresh = torch.nn.Linear(84, WIDTH), torch.nn.Linear(WIDTH, WIDTH)
    for layer, at in zip(fresh, (0, 2), strict=True):
        model.model.encoder.adapter[at].load_state_dict(layer.state_dict())  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(begun["first"], model.adapted(np.array(run.vectors)), rtol=1e-5, atol=1e-6)


def test_a_training_that_was_stopped_goes_on_as_if_nothing_had_happened(
    adapted: Run, one_thread: None, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    recipe = settings_of(adapted).recipe

    def stop(done: int, _: Any) -> None:
        if done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        train_alone("train", adapted.directory, recipe, work=tmp_path, on_epoch=stop)
    resumed = train_alone("train", adapted.directory, recipe, work=tmp_path)
    assert resumed["history"] == adapted.facts("train")["history"]
    expected = read_weights(adapted.path("train"))
    for name, value in resumed["model"].items():
        assert torch.equal(value, expected[name]), name
    bank = np.load(generation_file(tmp_path, resumed["method"]["bank"]["generation"]))
    assert np.array_equal(bank, np.load(adapted.path("train") / "bank.npy"))
    # In memory, without a folder, too.
    alone = train_alone("train", adapted.directory, recipe)
    assert alone["history"] == resumed["history"]


def test_new_images_are_answered_as_the_test_images_and_placed_by_the_frozen_features(adapted: Run) -> None:
    run = RunContents(RunDirectory(adapted.directory))
    classifier, place = Classifier(adapted.path("train")), Placement(run)
    rows = np.arange(len(run.test_images))
    pixels = run.test_images.pixels(rows)
    features = classifier.features(pixels)
    assert features.shape[1] == 84
    answers = pq.read_table(adapted.path("evaluate") / "predictions.parquet").to_pydict()
    best = classifier.predict_features(features).plain.max(axis=1)
    given = [p[0] if isinstance(p, list) else p for p in answers["plain_probability"]]
    assert best.tolist() == given
    held = run.held_out
    assert held is not None
    of_test = held.split_names.to_numpy(zero_copy_only=False) == "test"
    placed = place.place(pixels, features)
    expected = run.held_out_places
    assert np.array_equal(placed.pattern, expected.pattern[of_test])
    np.testing.assert_allclose(placed.distance, expected.distance[of_test], rtol=1e-4)


def test_images_from_a_folder_are_predicted(adapted: Run) -> None:
    run = RunContents(RunDirectory(adapted.directory))
    folder = adapted.folder / "new"
    folder.mkdir()
    for row, pixels in enumerate(run.test_images.pixels(np.arange(3))):
        Image.fromarray(pixels).save(folder / f"{row}.png")
    said = csrms("predict", folder, "--run", adapted.directory, "--format", "json", folder=adapted.folder)
    assert said.code == 0, said.err
    answered = pq.read_table(adapted.path("evaluate") / "predictions.parquet")["plain"].to_pylist()[:3]
    classes = [row["class"] for row in json.loads(said.out)]
    assert classes == [best[0] if isinstance(best, list) else best for best in answered]


def test_the_card_says_which_adapter(adapted: Run) -> None:
    cards = {stage: read_card(adapted.path(stage)).adapter for stage in ("pretrain", "train", "control")}
    assert cards == {"pretrain": "none", "train": "mlp", "control": "mlp"}


@pytest.mark.slow
def test_without_an_adapter_it_is_the_table_again(adapted: Run, tmp_path: Path) -> None:
    copy = adapted.copy(tmp_path)
    said = csrms("run", "config.yaml", "--set", TABLE, folder=copy.folder)
    assert said.code == 0, said.err
    assert said.done == ("train", "evaluate")
    assert not (copy.path("train") / "bank.npy").exists()
    assert copy.json("metrics.json")["control"]["same_as_plain_head"]
