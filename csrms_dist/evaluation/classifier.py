"""Classify images that nobody has labelled: nothing in this file takes a label, so none can leak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from csrms_dist.basics.arrays import F32, U8
from csrms_dist.encoders import Encoder, Normaliser
from csrms_dist.features.extraction import encode_pixels
from csrms_dist.methods.csrms.method import CSRMSModel, make_reading
from csrms_dist.methods.saved_model import make_model, read_card, read_weights


@dataclass(frozen=True)
class Predictions:
    """(N, K) class probabilities of the plain head, the graph head and their mean; the latter two None without one.

    With several labels an image each class has a probability of its own, and a row need not sum to 1.
    """

    plain: F32
    graph: F32 | None = None
    mean: F32 | None = None


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

    def features(self, pixels: U8) -> F32:
        """(N, H, W, 3) uint8 -> (N, D)."""
        return encode_pixels(self.encoder, self.normalise, pixels, self.card.batch_size)

    def blank_feature(self) -> F32:
        """(1, D): the feature of an image that is zero after normalisation."""
        pixels = np.zeros((1, *self.card.image_shape), np.uint8)
        return encode_pixels(self.encoder, self.normalise, pixels, self.card.batch_size, blank=True)

    def predict(self, pixels: U8) -> Predictions:
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
