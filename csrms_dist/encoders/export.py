"""Trained weights for use without this project: safetensors that timm or an encoder's own class takes."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from csrms_dist.encoders import classifier_names, timm_name


def encoder_weights(name: str, encoder: nn.Module, plain_head: nn.Linear) -> dict[str, Tensor]:
    """The tensors to save, by name.

    Of a timm model: the whole classifier, the plain head as its last layer, as `timm.create_model(model, num_classes=K,
    checkpoint_path=...)` loads it. Of any other encoder, and of the few timm models whose classifier is more than one
    linear layer: what `encoder.load_state_dict` takes, without a head.
    """
    tensors: dict[str, Tensor] = dict(encoder.state_dict())
    if timm_name(name):
        tensors |= _timm_classifier(name, tensors, plain_head)
    return {key: tensors[key].detach().cpu().contiguous() for key in sorted(tensors)}


def save_encoder(path: Path, name: str, encoder: nn.Module, plain_head: nn.Linear) -> None:
    """Write `encoder_weights` as a safetensors file."""
    save_file(encoder_weights(name, encoder, plain_head), path, metadata={"format": "pt"})


def _timm_classifier(name: str, tensors: dict[str, Tensor], plain_head: nn.Linear) -> dict[str, Tensor]:
    """The plain head under timm's names, nothing when the model has no such layer or more than it on its encoder."""
    import timm

    with torch.device("meta"):  # names and shapes alone
        whole = timm.create_model(timm_name(name), num_classes=plain_head.out_features).state_dict()
    layers = classifier_names(name)
    if len(layers) != 1:
        return {}
    head = {f"{layers[0]}.weight": plain_head.weight, f"{layers[0]}.bias": plain_head.bias}
    if whole.keys() != tensors.keys() | head.keys() or any(whole[key].numel() != head[key].numel() for key in head):
        return {}
    # Some models have a 1 x 1 convolution for their last layer.
    return {key: value.reshape(whole[key].shape) for key, value in head.items()}
