"""Trained weights for use without this project: safetensors that timm or an encoder's own class takes."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from csrms_dist.encoders.make import architecture_of


def encoder_weights(name: str, encoder: nn.Module, plain_head: nn.Linear | None) -> dict[str, Tensor]:
    """The tensors to save, by name.

    Of a timm model: the whole classifier, the plain head as its last layer, as `timm.create_model(model, num_classes=K,
    checkpoint_path=...)` loads it. Of any other encoder, and of the few timm models whose classifier is more than one
    linear layer, and where no plain head is given: what `encoder.load_state_dict` takes, without a head.
    """
    tensors: dict[str, Tensor] = dict(encoder.state_dict())
    if plain_head is not None:
        tensors |= architecture_of(name).head_tensors(tensors, plain_head)
    return {key: tensors[key].detach().cpu().contiguous() for key in sorted(tensors)}


def save_encoder(path: Path, name: str, encoder: nn.Module, plain_head: nn.Linear | None) -> None:
    """Write `encoder_weights` as a safetensors file."""
    save_file(encoder_weights(name, encoder, plain_head), path, metadata={"format": "pt"})


def load_encoder(path: Path, name: str) -> dict[str, Tensor]:
    """What `encoder.load_state_dict` takes, out of a file of `save_encoder`."""
    layers = architecture_of(name).classifier()
    found: dict[str, Tensor] = load_file(path)
    return {key: value for key, value in found.items() if key.rpartition(".")[0] not in layers}
