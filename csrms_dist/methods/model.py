"""The module that every method trains and saves: an encoder and a plain classifier on its features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from csrms_dist.basics.arrays import F32
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import Membership
from csrms_dist.sampling.settings import SamplingSettings


@dataclass(frozen=True)
class LeakCase:
    """Images of the leak check: features (N, D) as the heads look at them, their labels (N, K), the bank (N', D) of the
    graph's rows."""

    features: F32
    membership: Membership
    graph: HierarchyGraph
    bank: F32
    sampling: SamplingSettings
    seed: int


class PlainModel(nn.Module):
    """encoder -> linear classifier. forward: (B, 3, H, W), or what the encoder takes, -> (B, K) logits.

    K is 0 for images without labels: the encoder alone is of use then. One that stays frozen may have an adapter, which
    is part of `encoder` (models/adapter.py).

    A method's model extends it: its heads answer from the features. prototypes: (J, D) means of the patterns in the
    trained features, of a method that keeps them. precision: of the encoder's products in `encode`. compiled: the
    encoder as torch.compile made it, for `encode`.
    """

    precision: torch.dtype = torch.float32
    compiled: Callable[[Tensor], Tensor] | None = None
    prototypes: Tensor | None

    def __init__(self, encoder: Encoder, n_classes: int) -> None:
        super().__init__()
        self.encoder: Encoder = encoder
        with warnings.catch_warnings():
            # of a head for images without labels, which has nothing to initialise
            warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)
            self.plain_head = nn.Linear(encoder.dimension, n_classes)
        self.register_buffer("prototypes", None, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.plain_head(self.encode(images))
        return logits

    def encode(self, inputs: Tensor) -> Tensor:
        """What the encoder takes -> (B, D) float32 features; in a training its products have the model's precision, all
        that comes after them is in float32."""
        return encoded(self.compiled or self.encoder, inputs, self.precision)

    def classifiers(self) -> tuple[nn.Linear, ...]:
        """The layers that give logits; fresh ones start at the frequency of the classes where there are several
        labels."""
        return (self.plain_head,)

    def answers(self, features: Tensor) -> dict[str, Tensor]:
        """(B, D) features by `encoder` of images that nobody has labelled -> (B, K) logits by head; `plain` first."""
        return {"plain": self.plain_head(features)}

    def load_beside(self, folder: Path) -> None:
        """Read what the method kept beside the weights."""

    def label_chosen(self, case: LeakCase) -> F32 | None:
        """For the leak check alone: logits (N, K) of the graph head where the images' labels choose what enters it, as
        they do in training. None where no label chooses anything."""
        return None


def encoded(encoder: Callable[[Tensor], Tensor], inputs: Tensor, precision: torch.dtype) -> Tensor:
    """The same of an encoder alone."""
    if precision == torch.float32:
        return encoder(inputs)
    with torch.autocast(inputs.device.type, precision):
        features = encoder(inputs)
    return features.float()
