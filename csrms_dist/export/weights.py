"""The plain path as named tensors: for timm, or for the encoder's own class. The rest lies in the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.encoders.export import encoder_weights
from csrms_dist.encoders.make import architecture_of
from csrms_dist.encoders.settings import NONE
from csrms_dist.encoders.timm_model import TimmModel
from csrms_dist.errors import ConfigError
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.export.plain_path import PlainPath, check_ending, checked, facts_of, trained

ENDING = ".safetensors"

TIMM = """\
import timm
import torch

model = timm.create_model("{model}", num_classes={classes}, checkpoint_path="{file}").eval()
mean, std = torch.tensor({mean}), torch.tensor({std})
with torch.no_grad():  # images: (N, {height}, {width}, 3) uint8, RGB
    probabilities = model(((images / 255 - mean) / std).permute(0, 3, 1, 2)).{activation}
"""
OURS = """\
import torch
from safetensors.torch import load_file
from csrms_dist.encoders import Normaliser, make_encoder
from csrms_dist.methods.model import PlainModel
{more}
encoder = make_encoder("{encoder}", ({height}, {width}, 3), seed=0)
model = PlainModel({made}, {classes}).eval()
model.load_state_dict(load_file("{file}"))
normalise = Normaliser({mean}, {std})
with torch.no_grad():  # images: (N, {height}, {width}, 3) uint8, RGB
    probabilities = model(normalise(images)).{activation}
"""
ADAPTER = "from csrms_dist.models.adapter import AdaptedEncoder\n"


def timm_classifier(run: RunDirectory, out: Path) -> str:
    """Write `out`, encoder and plain head under timm's names, as the `checkpoint_path` of `timm.create_model`.

    Raises ConfigError for another ending than .safetensors and for a model that is not one of timm's: another encoder,
    an adapter, a classifier of more than one layer.
    """
    check_ending(out, ENDING)
    classifier = trained(run)
    card = classifier.card
    architecture = architecture_of(card.encoder)
    if not isinstance(architecture, TimmModel):
        raise _unfit(f"the encoder {card.encoder}, which is not one of timm's")
    if card.adapter != NONE:
        raise _unfit(f"a head on the adapter '{card.adapter}', which timm's model has no place for")
    tensors = encoder_weights(card.encoder, classifier.encoder, classifier.model.plain_head)
    if len(tensors) == len(classifier.encoder.state_dict()):
        raise _unfit(f"the encoder {card.encoder}, on which timm has more than one linear layer")
    return _save(run, classifier, tensors, out, TIMM.format(model=architecture.model, **_words(classifier, out)))


def whole_classifier(run: RunDirectory, out: Path) -> str:
    """Write `out`, encoder, adapter and plain head of any run, as `PlainModel.load_state_dict` takes them."""
    check_ending(out, ENDING)
    classifier = trained(run)
    state = classifier.model.state_dict()
    parts = ("encoder.", "plain_head.")
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state) if name.startswith(parts)}
    adapted = classifier.card.adapter != NONE
    words = {"more": ADAPTER if adapted else "", "made": "AdaptedEncoder(encoder)" if adapted else "encoder"}
    code = OURS.format(encoder=classifier.card.encoder, **words, **_words(classifier, out))
    return _save(run, classifier, tensors, out, code)


def _save(run: RunDirectory, classifier: Classifier, tensors: dict[str, Tensor], out: Path, code: str) -> str:
    """The file, once it is sure that encoder and plain head alone answer as the run does."""
    path = PlainPath(classifier)
    with torch.no_grad():
        said = checked(run, classifier, lambda pixels: path(torch.from_numpy(pixels)).numpy(), "plain head by itself")
    save_file(tensors, out, metadata={"format": "pt", **facts_of(classifier.card)})
    return f"{said}; it answers in\n\n{code}"


def _words(classifier: Classifier, out: Path) -> dict[str, object]:
    """What both pieces of code say."""
    card = classifier.card
    height, width, _ = card.image_shape
    mean, std = ([float(np.float32(value)) for value in values] for values in (card.mean, card.std))
    activation = "sigmoid()" if card.multi_label else "softmax(dim=1)"
    return {
        "classes": len(card.class_names), "file": out.name, "height": height, "width": width, "mean": mean, "std": std,
        "activation": activation,
    }  # fmt: skip


def _unfit(got: str) -> ConfigError:
    return ConfigError(
        "--as timm", got=got, expected="a model of timm's with the plain head as its last layer",
        remedy="use --as safetensors, onnx or torch",
    )  # fmt: skip
