"""Classify images that nobody has labelled: nothing in this file takes a label, so none can leak."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from csrms_dist.encoders import Encoder, Normaliser, make_encoder
from csrms_dist.feature_extraction import encode_pixels
from csrms_dist.methods.baselines import PlainModel
from csrms_dist.methods.csrms import CSRMSModel, make_reading

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ModelCard:
    """What must be known beside the weights. reading is '' for a plain model. mean, std: of the normaliser."""

    encoder: str
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    reading: str = ""
    prototypes: int = 8
    n_positives: int = 10
    batch_size: int = 32
    multi_label: bool = False


@dataclass(frozen=True)
class Predictions:
    """(N, K) class probabilities of the plain head, the graph head and their mean; the latter two None without one.

    With several labels an image each class has a probability of its own, and a row need not sum to 1.
    """

    plain: F32
    graph: F32 | None = None
    mean: F32 | None = None


def make_model(card: ModelCard, seed: int, encoder: Encoder | None = None) -> PlainModel | CSRMSModel:
    """A freshly initialised model for a card, with the card's encoder unless another is given."""
    if encoder is None:
        encoder = make_encoder(card.encoder, card.image_shape, seed)
    if card.reading:
        return CSRMSModel(encoder, encoder.dimension, len(card.class_names), card.reading, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PlainModel(encoder, encoder.dimension, len(card.class_names))


def save_model(folder: Path, card: ModelCard, state: dict[str, torch.Tensor], prototypes: F32 | None = None) -> None:
    """Write weights.safetensors, model.json and, for a graph head, prototypes.npy (J, D)."""
    save_file({name: value.contiguous() for name, value in sorted(state.items())}, folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps(asdict(card), indent=1, sort_keys=True) + "\n")
    if prototypes is not None:
        np.save(folder / "prototypes.npy", prototypes)


def read_card(folder: Path) -> ModelCard:
    """The card of a saved model."""
    facts: dict[str, Any] = json.loads((folder / "model.json").read_text())
    facts = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    return ModelCard(**facts)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a saved model."""
    weights: dict[str, torch.Tensor] = load_file(folder / "weights.safetensors")
    return weights


class Classifier:
    """A saved model, ready to predict. An image's answer does not depend on the images beside it."""

    def __init__(self, folder: Path) -> None:
        self.card = read_card(folder)
        self.model = make_model(self.card, seed=0)
        self.model.load_state_dict(read_weights(folder))
        self.model.eval()
        self.normalise = Normaliser(self.card.mean, self.card.std)
        path = folder / "prototypes.npy"
        self.prototypes = torch.from_numpy(np.load(path)) if path.exists() else None

    @property
    def encoder(self) -> Encoder:
        return self.model.encoder

    @property
    def class_names(self) -> Sequence[str]:
        return self.card.class_names

    def features(self, pixels: npt.NDArray[np.uint8]) -> F32:
        """(N, H, W, 3) uint8 -> (N, D)."""
        return encode_pixels(self.encoder, self.normalise, pixels, self.card.batch_size)

    def blank_feature(self) -> F32:
        """(1, D): the feature of an image that is zero after normalisation."""
        pixels = np.zeros((1, *self.card.image_shape), np.uint8)
        return encode_pixels(self.encoder, self.normalise, pixels, self.card.batch_size, blank=True)

    def predict(self, pixels: npt.NDArray[np.uint8]) -> Predictions:
        """(N, H, W, 3) uint8 -> class probabilities."""
        return self.predict_features(self.features(pixels))

    def predict_features(self, features: F32) -> Predictions:
        """(N, D) features of this encoder -> class probabilities."""
        size = self.card.batch_size
        parts = [self._block(features[n : n + size]) for n in range(0, max(len(features), 1), size)]
        plain = np.concatenate([part[0] for part in parts])
        graph = [part[1] for part in parts if part[1] is not None]
        if not graph:
            return Predictions(plain)
        joined = np.concatenate(graph)
        mean: F32 = (plain + joined) / np.float32(2)
        return Predictions(plain, joined, mean)

    def _block(self, features: F32) -> tuple[F32, F32 | None]:
        size = len(features)
        # Every block has the same shape: matrix products round differently at different sizes.
        padded = torch.zeros(self.card.batch_size, features.shape[1])
        padded[:size] = torch.from_numpy(features)
        with torch.inference_mode():
            plain = self._probabilities(self.model.plain_head(padded))[:size]
            if not isinstance(self.model, CSRMSModel) or self.prototypes is None:
                return plain, None
            reading = make_reading(self.card.reading, self.card.prototypes, self.card.n_positives)
            logits, _ = self.model.graph_head(padded, reading.unseen_context(padded, self.prototypes))
            return plain, self._probabilities(logits)[:size]

    def _probabilities(self, logits: torch.Tensor) -> F32:
        values: F32 = (logits.sigmoid() if self.card.multi_label else logits.softmax(dim=1)).numpy()
        return values
