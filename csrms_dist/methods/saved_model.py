"""A trained model as a folder: weights, and a card that says how to make the model again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from csrms_dist.artefacts.names import ENCODER
from csrms_dist.encoders import Encoder, make_encoder
from csrms_dist.encoders.export import load_encoder, save_encoder
from csrms_dist.encoders.settings import NONE
from csrms_dist.errors import RunDirectoryError
from csrms_dist.methods.known import part, saved_as
from csrms_dist.methods.model import PlainModel
from csrms_dist.models.adapter import AdaptedEncoder, base_of

WEIGHTS, CARD = "weights.safetensors", "model.json"
OF_ENCODER = "encoder."


@dataclass(frozen=True)
class ModelCard:
    """How a model is made again; its weights lie beside it.

    encoder: as in `encoder.name`.
    image_shape: (H, W, 3).
    mean, std: of the normaliser, by channel.
    class_names: in the order of the logits.
    method: who made it, a name of METHODS or CONTROLS or a user's own.
    options: what that method needs beside this.
    batch_size: images in one block of predictions, which decides their last bits.
    adapter: what stands between the frozen encoder and the heads, 'none' or 'mlp'.
    """

    encoder: str
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    method: str = "plain"
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    multi_label: bool = False
    adapter: str = NONE

    @property
    def base_prefix(self) -> str:
        """What the names of the encoder's weights begin with in the model's; those of an adapter do not."""
        return OF_ENCODER if self.adapter == NONE else f"{OF_ENCODER}base."


def make_model(card: ModelCard, seed: int, encoder: Encoder | None = None) -> PlainModel:
    """A freshly initialised model for a card, with the card's encoder unless another is given.

    An adapter is part of the model's encoder, so that every method trains it without knowing of it.
    """
    if encoder is None:
        encoder = make_encoder(card.encoder, card.image_shape, seed)
    make = part(saved_as(card.method).model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if card.adapter != NONE:
            encoder = AdaptedEncoder(encoder)
        model: PlainModel = make(card, encoder)
    return model


def save_model(folder: Path, card: ModelCard, state: dict[str, torch.Tensor]) -> None:
    """Write weights.safetensors and model.json."""
    save_file({name: value.contiguous() for name, value in sorted(state.items())}, folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(asdict(card), indent=1, sort_keys=True) + "\n")


def save_apart(folder: Path, card: ModelCard, state: dict[str, torch.Tensor]) -> None:
    """Write encoder.safetensors for others to load, and the rest as `save_model` does: no weight lies there twice.

    A plain head on an adapter does not fit on the encoder, so that file then has no head.
    """
    model = make_model(card, seed=0)
    model.load_state_dict(state)
    head = model.plain_head if card.adapter == NONE else None
    save_encoder(folder / ENCODER, card.encoder, base_of(model.encoder), head)
    save_model(folder, card, {name: value for name, value in state.items() if not name.startswith(card.base_prefix)})


def read_card(folder: Path) -> ModelCard:
    """The card of a saved model. Raises RunDirectoryError for one that this version does not know."""
    facts: dict[str, Any] = json.loads((folder / CARD).read_text())
    facts = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    try:
        return ModelCard(**facts)
    except TypeError as error:
        raise another_version(f"{folder / CARD}") from error


def another_version(what: str) -> RunDirectoryError:
    """The refusal of a saved model that this version would misread."""
    return RunDirectoryError(
        what, got="a model of another version of csrms-dist", expected="one of this version",
        remedy="train it again with `csrms run CONFIG`",
    )  # fmt: skip


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a saved model, the encoder's included."""
    weights: dict[str, torch.Tensor] = load_file(folder / WEIGHTS)
    card = read_card(folder)
    if not any(name.startswith(card.base_prefix) for name in weights):
        weights |= {
            card.base_prefix + name: value for name, value in load_encoder(folder / ENCODER, card.encoder).items()
        }
    return weights
