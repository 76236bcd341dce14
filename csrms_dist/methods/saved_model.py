"""A trained model as a folder: weights, and a card that says how to make the model again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from csrms_dist.basics.arrays import F32
from csrms_dist.encoders import Encoder, make_encoder
from csrms_dist.methods.csrms.method import CSRMSModel
from csrms_dist.methods.plain import PlainModel


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
