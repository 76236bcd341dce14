"""Classify images that nobody has labelled: nothing in this file takes a label, so none can leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from csrms_dist.basics.arrays import F32, U8
from csrms_dist.basics.devices import put
from csrms_dist.encoders import Encoder, Normaliser
from csrms_dist.features.extraction import encode_pixels
from csrms_dist.methods.saved_model import make_model, read_card, read_weights
from csrms_dist.models.adapter import AdaptedEncoder, base_of

PLAIN, MEAN = "plain", "mean"


@dataclass(frozen=True)
class Predictions:
    """(N, K) class probabilities by head: `plain`, those that the method adds, and `mean` of all where it adds any.

    With several labels an image each class has a probability of its own, and a row need not sum to 1.
    """

    heads: Mapping[str, F32]

    @property
    def plain(self) -> F32:
        return self.heads[PLAIN]

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Predictions of consecutive images, at least one part -> of all of them."""
        return cls({head: np.concatenate([part.heads[head] for part in parts]) for head in parts[0].heads})


class Classifier:
    """A saved model, ready to predict. An image's answer does not depend on the images beside it.

    device: where it computes.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.card = read_card(folder)
        self.model = make_model(self.card, seed=0)
        self.model.load_state_dict(read_weights(folder))
        self.model.load_beside(folder)
        self.model.to(self.device).eval()
        self.normalise = Normaliser(self.card.mean, self.card.std).to(self.device)

    @property
    def encoder(self) -> Encoder:
        """From images to features; an adapter comes after it."""
        return base_of(self.model.encoder)

    @property
    def class_names(self) -> Sequence[str]:
        return self.card.class_names

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the heads that answer, the plain one first."""
        return tuple(self.predict_features(np.zeros((0, self.encoder.dimension), np.float32)).heads)

    def features(self, pixels: U8) -> F32:
        """(N, H, W, 3) uint8 -> (N, D)."""
        return encode_pixels(self.encoder, self.normalise, pixels, self.card.batch_size, device=self.device)

    def blank_feature(self) -> F32:
        """(1, D): the feature of an image that is zero after normalisation."""
        pixels = np.zeros((1, *self.card.image_shape), np.uint8)
        size = self.card.batch_size
        return encode_pixels(self.encoder, self.normalise, pixels, size, blank=True, device=self.device)

    def predict(self, pixels: U8) -> Predictions:
        """(N, H, W, 3) uint8 -> class probabilities."""
        return self.predict_features(self.features(pixels))

    def predict_features(self, features: F32) -> Predictions:
        """(N, D) features of this encoder -> class probabilities. An adapter, if there is one, is applied here."""
        size = self.card.batch_size
        parts = [self._block(features[n : n + size]) for n in range(0, max(len(features), 1), size)]
        heads = dict(Predictions.joined(parts).heads)
        if len(heads) > 1:
            first, *others = heads.values()
            heads[MEAN] = sum(others, start=first) / np.float32(len(heads))
        return Predictions(heads)

    def _block(self, features: F32) -> Predictions:
        size = len(features)
        # Every block has the same shape: matrix products round differently at different sizes.
        padded = torch.zeros(self.card.batch_size, features.shape[1])
        padded[:size] = torch.from_numpy(features)
        with torch.inference_mode():
            answers = self.model.answers(self._adapted(put(padded, self.device)))
            return Predictions({head: self._probabilities(logits)[:size] for head, logits in answers.items()})

    def adapted(self, features: F32) -> F32:
        """(N, D) features of this encoder -> what the heads look at: the same, or (N, 256) of the adapter."""
        with torch.inference_mode():
            found: F32 = self._adapted(put(np.array(features), self.device)).cpu().numpy()
        return found

    def _adapted(self, features: torch.Tensor) -> torch.Tensor:
        whole = self.model.encoder
        return whole.adapted(features) if isinstance(whole, AdaptedEncoder) else features

    def _probabilities(self, logits: torch.Tensor) -> F32:
        values: F32 = (logits.sigmoid() if self.card.multi_label else logits.softmax(dim=1)).cpu().numpy()
        return values
