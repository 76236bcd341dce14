"""A saved model answers as the trained one did, sees no label, and answers each image alone."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csrms_dist.datasets.image_source import in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.errors import RunDirectoryError
from csrms_dist.evaluation.classifier import Classifier, Predictions
from csrms_dist.inference.predictor import Predictor
from csrms_dist.labels import LabelSpace, single_labels
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.saved_model import make_model, read_card, save_model
from csrms_dist.training.loop import fit
from csrms_dist.training.settings import OptimiserSettings

FIELDS = ("plain", "graph", "mean")


@pytest.fixture(scope="module", params=["structural", "paper"])
def saved(request: pytest.FixtureRequest, digits_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    method, sampler = digits_run.csrms(request.param)
    settings = OptimiserSettings(batch_size=64, lr=0.02)
    fit(method, digits_run.data, settings, n_images=600, seed=0, sampler=sampler)
    folder = tmp_path_factory.mktemp(request.param) / "train"
    digits_run.save(folder, method, request.param)
    return folder


@pytest.fixture(scope="module")
def pixels(digits_run: Any) -> np.ndarray:
    return digits_run.test.pixels(np.arange(len(digits_run.test)))


def same_bytes(a: Predictions, b: Predictions, order: Any = slice(None)) -> bool:
    return all(a.heads[head][order].tobytes() == b.heads[head].tobytes() for head in FIELDS)


def test_probabilities_of_three_heads(saved: Path, pixels: np.ndarray, digits_run: Any) -> None:
    found = Classifier(saved).predict(pixels)
    for head in FIELDS:
        values = found.heads[head]
        assert values.shape == (len(pixels), 10)
        assert values.dtype == np.float32
        assert values.sum(axis=1) == pytest.approx(np.ones(len(pixels)), abs=1e-5)
    assert found.heads["mean"] == pytest.approx((found.plain + found.heads["graph"]) / 2)
    assert (found.plain.argmax(axis=1) == single_labels(digits_run.test.membership)).mean() > 0.8


def test_nothing_in_inference_takes_a_label() -> None:
    for function in (Classifier.__init__, Classifier.predict, Classifier.predict_features, Classifier.features):
        names = set(inspect.signature(function).parameters)
        assert names <= {"self", "folder", "pixels", "features", "blank", "device"}
    for function in (Predictor.__init__, Predictor.tables, Predictor.stream, Predictor.answer):
        names = set(inspect.signature(function).parameters)
        assert names <= {"self", "run", "head", "all_probabilities", "images", "block", "device"}


@pytest.mark.parametrize("labels", ["permuted", "absent"])
def test_predictions_are_the_same_bytes_whatever_the_labels(
    saved: Path, pixels: np.ndarray, digits_run: Any, tmp_path: Path, labels: str
) -> None:
    """Through the files: an image table with other labels, the saved model, the pixels."""
    test = digits_run.test
    true = single_labels(test.membership)
    other = np.random.default_rng(0).permutation(true)
    assert (other != true).any()
    space = LabelSpace(test.label_space.class_names, multi_label=True)
    given = [[int(k)] for k in other] if labels == "permuted" else [[] for _ in other]
    source = in_memory(
        "other", space, test.ids.to_pylist(), space.membership(given), ["test"] * len(test), pixels, test.shape
    )
    write_image_table(tmp_path / "test.arrow", source)
    table = ImageTable(tmp_path / "test.arrow")
    again = Classifier(saved).predict(table.pixels(table.indices("test")))
    assert same_bytes(Classifier(saved).predict(pixels), again)


def test_an_answer_does_not_depend_on_the_images_beside_it(saved: Path, pixels: np.ndarray) -> None:
    classifier = Classifier(saved)
    whole = classifier.predict(pixels)
    order = np.random.default_rng(0).permutation(len(pixels))
    assert same_bytes(whole, classifier.predict(pixels[order]), order)
    for i in (0, 17, 255, 256, len(pixels) - 1):
        assert same_bytes(whole, classifier.predict(pixels[i : i + 1]), slice(i, i + 1))
    assert same_bytes(whole, classifier.predict(pixels[100:230]), slice(100, 230))


def test_no_image_no_answer(saved: Path, pixels: np.ndarray) -> None:
    """A run without held-out images asks for this."""
    found = Classifier(saved).predict(pixels[:0])
    assert [found.heads[head].shape for head in FIELDS] == [(0, 10)] * 3


def test_a_saved_model_comes_back(saved: Path, digits_run: Any) -> None:
    classifier = Classifier(saved)
    card = read_card(saved)
    assert classifier.card == card == digits_run.card_of(card.options["reading"])
    assert isinstance(classifier.model, CSRMSModel)
    assert not classifier.model.training
    assert classifier.class_names == digits_run.table.label_space.class_names
    assert classifier.model.prototypes is not None
    assert classifier.model.prototypes.shape == (digits_run.graph.n_patterns, 84)


def test_equal_models_are_equal_bytes(saved: Path, tmp_path: Path) -> None:
    classifier = Classifier(saved)
    save_model(tmp_path, classifier.card, classifier.model.state_dict())
    for path in sorted(path for path in saved.iterdir() if path.suffix != ".npy"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_plain_model_has_one_head(digits_run: Any, pixels: np.ndarray, tmp_path: Path) -> None:
    save_model(tmp_path, digits_run.card, digits_run.stage_0)
    classifier = Classifier(tmp_path)
    found = classifier.predict(pixels)
    assert list(found.heads) == ["plain"]
    assert type(classifier.model) is PlainModel
    with torch.inference_mode():
        expected = classifier.model(classifier.normalise(torch.from_numpy(pixels))).softmax(dim=1)
    torch.testing.assert_close(torch.from_numpy(found.plain), expected)
    assert classifier.predict(pixels[:0]).plain.shape == (0, 10)


def test_a_model_whose_graph_head_was_another_is_refused(digits_run: Any) -> None:
    card = digits_run.card_of("structural")
    for options in ({**card.options, "graph_head": 1}, {k: v for k, v in card.options.items() if k != "graph_head"}):
        with pytest.raises(RunDirectoryError, match="got a model of another version of csrms-dist"):
            make_model(dataclasses.replace(card, options=options), 0)


def test_a_fresh_model_is_a_function_of_card_and_seed(digits_run: Any) -> None:
    state = torch.random.get_rng_state()
    for card in (digits_run.card, digits_run.card_of("structural")):
        one, two, other = (make_model(card, seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert not any(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_model_of_another_version_is_refused_in_a_sentence(digits_run: Any, tmp_path: Path) -> None:
    save_model(tmp_path, digits_run.card, digits_run.stage_0)
    card = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(card | {"reading": "structural"}))
    with pytest.raises(RunDirectoryError, match=r"got a model of another version of csrms-dist, .*; train it again"):
        Classifier(tmp_path)
