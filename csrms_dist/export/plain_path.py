"""The plain path of a trained model as one module, pixels -> probabilities, and the proof that a copy answers so."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from csrms_dist.artefacts.models import refuse_untrained
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, U8
from csrms_dist.basics.lookup import one_line
from csrms_dist.basics.words import counted
from csrms_dist.errors import ConfigError, CsrmsError
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.methods.saved_model import ModelCard
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import TRAIN

IMAGES, PROBABILITIES = "images", "probabilities"
"""The names of input and output."""
COUNT = "N"
"""The name of the number of images, which is free."""
TOLERANCE, MARGIN = 1e-4, 1e-3
"""How far an exported model's probabilities may be off, and by how much the best class must lead to be the same."""
N_CHECKED = 64


class PlainPath(nn.Module):
    """Normaliser, encoder, adapter if there is one, and plain head: (N, H, W, 3) uint8, RGB -> (N, K) probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.normalise = classifier.normalise
        self.encoder = classifier.model.encoder
        self.plain_head = classifier.model.plain_head
        self._several = classifier.card.multi_label
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.plain_head(self.encoder(self.normalise(images)))
        return logits.sigmoid() if self._several else logits.softmax(dim=1)


def trained(run: RunDirectory) -> Classifier:
    """The trained model of a run. Raises RunDirectoryError when there is none."""
    refuse_untrained(run)
    return Classifier(run.open(TRAIN))


def check_ending(out: Path, ending: str) -> None:
    """Raise ConfigError for a file of another ending: programs go by it."""
    if out.suffix != ending:
        raise ConfigError("--out", got=f"'{out.name}'", expected=f"a name that ends in {ending}")


def facts_of(card: ModelCard) -> dict[str, str]:
    """What a user of an exported model must know, as texts; lists are JSON."""
    try:
        made_by = f"csrms-dist {version('csrms-dist')}"
    except PackageNotFoundError:
        made_by = "csrms-dist"
    return {
        "class_names": json.dumps(list(card.class_names), ensure_ascii=False),
        "image_size": json.dumps(list(card.image_shape[:2])),
        "colour_order": "RGB",
        "mean": json.dumps(list(card.mean)),
        "std": json.dumps(list(card.std)),
        "encoder": card.encoder,
        "adapter": card.adapter,
        "multi_label": json.dumps(card.multi_label),
        "made_by": made_by,
    }


def traced(classifier: Classifier, form: str) -> torch.export.ExportedProgram:
    """The plain path as a program in which the number of images is free."""
    example = torch.from_numpy(np.zeros((2, *classifier.card.image_shape), np.uint8))
    sizes = {IMAGES: {0: torch.export.Dim(COUNT, min=1)}}
    try:
        with torch.no_grad():
            return torch.export.export(PlainPath(classifier), (example,), dynamic_shapes=sizes)
    except MemoryError:
        raise
    except Exception as error:  # an encoder of a user's own may do whatever cannot be traced
        raise ConfigError(
            f"--as {form}", got=f"the encoder {classifier.card.encoder}, of which torch.export says {one_line(error)}",
            expected="an encoder that can be traced", remedy="use --as safetensors",
        ) from error  # fmt: skip


def checked(run: RunDirectory, classifier: Classifier, answers: Callable[[U8], F32], what: str) -> str:
    """Ask an exported model and the run the same: random images, and some of the run's where they are still there.

    answers: (N, H, W, 3) uint8 -> (N, K) probabilities, of any N >= 1.
    Returns by how much they differ at most, as a sentence. Raises CsrmsError where that is too much.
    """
    shape = classifier.card.image_shape
    asked = {"random": np.random.default_rng(0).integers(0, 256, (N_CHECKED, *shape), np.uint8)}
    if run.stamp("images") is not None and not run.is_discarded("images"):
        table = RunContents(run).train_images
        split = next((name for name in ("val", "train") if len(table.indices(name))), "")
        if split:
            asked[{"val": "validation", "train": "training"}[split]] = table.pixels(table.indices(split)[:N_CHECKED])
    worst = 0.0
    for pixels in asked.values():
        expected = classifier.predict(pixels).plain
        # One alone, then all others at once: the number of images is free.
        found = np.concatenate([answers(part) for part in np.split(pixels, [1]) if len(part)])
        worst = max(worst, _difference(expected, found))
    named = " and ".join(counted(len(pixels), f"{name} image") for name, pixels in asked.items())
    if not worst <= TOLERANCE:  # NaN too
        raise CsrmsError(
            f"the {what}", got=f"probabilities that are up to {worst:.2g} off the run's on {named}",
            expected=f"{TOLERANCE} at the most", remedy="nothing was written; export it in another form",
        )  # fmt: skip
    return f"its probabilities are at most {worst:.2g} off PyTorch's on {named}"


def _difference(expected: F32, found: F32) -> float:
    """The largest difference; infinity where a clear winner is another."""
    if found.shape != expected.shape:
        return np.inf
    ranked = np.sort(expected, axis=1)
    clear = ranked[:, -1] - ranked[:, -2:-1].sum(axis=1) > MARGIN
    if (expected.argmax(axis=1) != found.argmax(axis=1))[clear].any():
        return np.inf
    return float(np.abs(expected - found).max())
