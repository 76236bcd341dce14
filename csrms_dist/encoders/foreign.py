"""Encoders that others wrote: timm's models and any importable class."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from csrms_dist.basics.lookup import nearest
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.errors import ConfigError

ImageShape = tuple[int, int, int]

EFFICIENTNET_LITE0 = "efficientnet_lite0"
# timm's `efficientnet_lite0` has other padding and another epsilon than the model of the published weights.
_TIMM_NAMES = {EFFICIENTNET_LITE0: "tf_efficientnet_lite0"}
TIMM = "timm:"


def timm_name(name: str) -> str:
    """timm's name of the model that `encoder.name` asks for, '' if it is none of timm's."""
    return name.removeprefix(TIMM) if name.startswith(TIMM) else _TIMM_NAMES.get(name, "")


def timm_config(model: str) -> Any:
    """timm's pretrained configuration of a model. Raises ConfigError, which names the nearest, when there is none."""
    import timm  # takes more than a second, which LeNet-5 need not pay

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


def timm_normalisation(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) of the images that timm's weights of this model were trained on."""
    config = timm_config(model)
    return tuple(map(float, config.mean)), tuple(map(float, config.std))


def timm_encoder(name: str, image_shape: ImageShape) -> Encoder:
    """A timm model without its classifier. Raises ConfigError when it is unknown or cannot take such images."""
    import timm

    model = timm_name(name)
    config = timm_config(model)
    height, width = image_shape[:2]
    if name == EFFICIENTNET_LITE0 and (height % 32 or width % 32):
        raise unfit(name, image_shape, "sides that are multiples of 32", "set data.image_size to 32, 64, 96, ...")
    if config.fixed_input_size and (height, width) != tuple(config.input_size[1:]):
        sides = config.input_size[1:]
        raise unfit(name, image_shape, f"images of {sides[0]} x {sides[1]}", f"set data.image_size to {sides[0]}")
    return _as_encoder(timm.create_model(model, pretrained=False, num_classes=0), name, image_shape)


def class_encoder(name: str, image_shape: ImageShape) -> Encoder:
    """An instance of `module:Class`. Raises ConfigError when it cannot be imported, made or used as an encoder.

    The working directory is searched too, after everything else, so a file beside the configuration is found.
    """
    module_name, _, class_name = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    # The code is the user's: whatever it raises is theirs to read.
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            "encoder.name", got=f"'{name}', whose import says {_text(error)}", expected="an importable module:Class",
            remedy=f"{module_name.partition('.')[0]}.py must lie in {folder} or be installed",
        ) from error  # fmt: skip
    kind = getattr(module, class_name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        classes = [
            key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)
        ]
        raise ConfigError(
            "encoder.name", got=f"'{name}'", expected=f"a class of {module_name} that is a torch.nn.Module",
            remedy=f"the nearest is {module_name}:{nearest(class_name, classes)}" if classes else "it has none",
        )  # fmt: skip
    try:
        module_made = kind()
    except Exception as error:
        raise ConfigError(
            "encoder.name", got=f"'{name}', whose making says {_text(error)}",
            expected="a class that is called without arguments",
        ) from error  # fmt: skip
    module_made.register_forward_pre_hook(_contiguous)
    return _as_encoder(module_made, name, image_shape)


def _contiguous(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Images in the memory order that torch's own loaders give: many a module flattens with `view`, which needs it."""
    return tuple(images.contiguous() for images in inputs)


def _as_encoder(module: nn.Module, name: str, image_shape: ImageShape) -> Encoder:
    """`module` with its `dimension`, found from two blank images."""
    height, width, channels = image_shape
    training = module.training
    module.eval()
    # no_grad, not inference_mode: what a module keeps from its first pass must serve in training too.
    try:
        with torch.no_grad():
            # Images come with their channels last in memory, as they lie in the table.
            found = module(torch.zeros(2, height, width, channels).permute(0, 3, 1, 2))
    except Exception as error:
        raise unfit(name, image_shape, "an encoder that takes such images", f"it says {_text(error)}") from error
    module.train(training)
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != 2 or not found.is_floating_point():
        shape = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise ConfigError(
            f"encoder.name, the answer of '{name}' to two images", got=shape, expected="a float tensor of shape (2, D)"
        )
    stated = getattr(module, "dimension", None)
    if stated is None:
        setattr(module, "dimension", found.shape[1])  # noqa: B010 - nn.Module declares no such attribute
    elif stated != found.shape[1]:
        raise ConfigError(
            f"encoder.name, the attribute dimension of '{name}'", got=repr(stated),
            expected=f"{found.shape[1]}, the width of its answers",
        )  # fmt: skip
    return cast(Encoder, module)


def unfit(name: str, image_shape: ImageShape, expected: str, remedy: str) -> ConfigError:
    """The refusal of an encoder that cannot take such images."""
    return ConfigError(
        "encoder.name", got=f"'{name}' with images of {sides_of(image_shape)}", expected=expected, remedy=remedy
    )


def sides_of(image_shape: ImageShape) -> str:
    """(32, 32, 3) -> '32 x 32 x 3'."""
    return " x ".join(str(side) for side in image_shape)


def _text(error: BaseException) -> str:
    """An error on one line."""
    return f"'{type(error).__name__}: {' '.join(str(error).split())[:200]}'"
