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

from csrms_dist.basics.lookup import resolve
from csrms_dist.encoders import ENCODERS
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.encoders.make import architecture_of
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError, DataError, check_installed

PRETRAINED = "pretrained"
SUFFIXES = (".safetensors", ".pth", ".pt")
_SHOWN = 3


def check_weights(settings: EncoderSettings) -> None:
    """Raise, before there are images, what `load_initial_weights` would raise of what is not there."""
    if settings.weights == PRETRAINED:
        architecture = architecture_of(settings.name)
        _refuse_none(settings.name)
        if architecture.package:
            check_installed(architecture.package, PRETRAINED)
    elif settings.weights:
        _refuse_other_file(Path(settings.weights).expanduser())


def load_initial_weights(encoder: Encoder, settings: EncoderSettings) -> None:
    """Put the weights that `settings.weights` names into `encoder`; empty leaves it as it is.

    Raises ConfigError for a file that is not there and for a model without pretrained weights, DataError for a file
    that does not fit or cannot be read and for weights that cannot be fetched, MissingDependencyError without the
    package that carries them.
    """
    if not settings.weights:
        return
    architecture = architecture_of(settings.name)
    if settings.weights != PRETRAINED:
        path = Path(settings.weights).expanduser()
        found, what = _own(read_weights(path), encoder, architecture.classifier()), str(path)
    else:
        _refuse_none(settings.name)
        found, what = architecture.pretrained(encoder), f"the pretrained weights of {settings.name}"
    _refuse_unfit(found, encoder, what)
    encoder.load_state_dict(found)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a weights file. Nothing in it is executed.

    Raises ConfigError when it is not there or its name has another ending, DataError when it holds no named tensors.
    """
    _refuse_other_file(path)
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


def _refuse_none(name: str) -> None:
    """Raise ConfigError for an encoder without pretrained weights."""
    if architecture_of(name).has_pretrained:
        return
    named = [word for word, place in ENCODERS.items() if resolve(place).has_pretrained]
    raise ConfigError(
        "encoder.weights", got=f"'{PRETRAINED}' with {name}",
        expected=f"{', '.join(named)} or timm:<model>, the encoders with pretrained weights",
        remedy="name a weights file or leave it empty",
    )  # fmt: skip


def _refuse_other_file(path: Path) -> None:
    """Raise ConfigError for a file that is not there, or whose name has another ending."""
    if path.suffix not in SUFFIXES or not path.is_file():
        raise ConfigError(
            "encoder.weights", got=f"'{path}'" + ("" if path.is_file() else ", which is not there"),
            expected=f"'{PRETRAINED}' or an existing file that ends in {', '.join(SUFFIXES)}",
        )  # fmt: skip


def _own(found: dict[str, Tensor], encoder: Encoder, heads: Sequence[str]) -> dict[str, Tensor]:
    """The tensors under the encoder's own names: those of a whole model are cut out, a classifier is dropped."""
    own = encoder.state_dict().keys()
    if not own & found.keys():
        for prefix in ("encoder.", "module."):  # a csrms model; torch's data-parallel wrapper
            if any(key.startswith(prefix) for key in found):
                found = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
                break
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
