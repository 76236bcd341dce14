"""A trained run as a function of images: which class, how probable by which head, in which pattern, how like the rest.

Nothing here takes a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from csrms_dist.artefacts.models import refuse_untrained
from csrms_dist.artefacts.names import CLUSTER
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, U8
from csrms_dist.basics.devices import device_of
from csrms_dist.datasets.decoding import Stored, Unreadable
from csrms_dist.datasets.folder_walk import shown
from csrms_dist.errors import ConfigError
from csrms_dist.evaluation.classifier import PLAIN, Classifier
from csrms_dist.evaluation.placement import Placement
from csrms_dist.evaluation.predictions import head_columns
from csrms_dist.inference.reading import BLOCK, Decoded, Named, decoded_blocks
from csrms_dist.run_contents import RunContents
from csrms_dist.training.recipe import TRAIN

LIKELY = 0.5
_PLACE = {"nearest_pattern": pa.int32(), "resemblance": pa.float32(), "distance": pa.float32(), "outlier": pa.bool_()}
_TEXTS, _NUMBERS = pa.list_(pa.string()), pa.list_(pa.float32())


class Predictor:
    """Answers for images as `csrms predict` does, a row an image, in their order.

    An image's answer has the same bytes whatever images are beside it and however many are asked about at once.

    Parameters
    ----------
    run: a run with a trained model; one without patterns answers without the columns that place an image among them.
    head: whose answer the columns `class` and `probability` are.
    all_probabilities: add a column `<head>_probabilities` for each head, a list in the order of `class_names`.
    device: where the model computes, a word of DEVICES.

    Raises RunDirectoryError for a run without a trained model, ConfigError for a head that the model lacks.
    """

    def __init__(
        self, run: RunDirectory, *, head: str = PLAIN, all_probabilities: bool = False, device: str = "auto"
    ) -> None:
        refuse_untrained(run)
        contents = RunContents(run)
        place = device_of(device, "device")
        self.classifier = Classifier(contents.artefact(TRAIN), place)
        self.heads = self.classifier.heads
        if head not in self.heads:
            raise ConfigError("--head", got=repr(head), expected=f"a head of this model: {', '.join(self.heads)}")
        self._head, self._all = head, all_probabilities
        self._names = np.array(self.classifier.class_names)
        self._placement = Placement(contents, place) if run.stamp(CLUSTER) is not None else None
        self.schema = pa.schema(self._fields())
        """Of every table of answers."""

    @property
    def class_names(self) -> Sequence[str]:
        return self.classifier.class_names

    def tables(self, images: Iterable[Named], block: int = BLOCK) -> Iterator[pa.Table]:
        """(id, image) -> tables of at most `block` rows; at most two such blocks of images are held at a time."""
        for some in decoded_blocks(images, self.classifier.card.image_shape, block):
            yield self.answer(some)

    def stream(self, images: Iterable[str | Stored], block: int | None = None) -> Iterator[dict[str, Any]]:
        """Paths, encoded bytes or pixels (H, W, 3) uint8 -> a row each, as a dict of the table's columns.

        block: how many are read before the first of them is answered; by default as many as the model computes with at
        once, for one image costs as much as a whole such block. The id of a path is the path, of others their number.
        """
        size = self.classifier.card.batch_size if block is None else block
        for table in self.tables(map(_named, enumerate(images)), size):
            yield from table.to_pylist()

    def answer(self, images: Sequence[Decoded]) -> pa.Table:
        """One block of images, in their order; one that could not be read has its id and a problem, all else null."""
        pixels = [found for _, found in images if not isinstance(found, Unreadable)]
        answered = self._answered(np.stack(pixels)) if pixels else self.schema.empty_table()
        numbers = iter(range(len(pixels)))
        place = pa.array([None if isinstance(found, Unreadable) else next(numbers) for _, found in images], pa.int64())
        columns = {name: answered[name].take(place) for name in self.schema.names}
        columns["id"] = pa.array([name for name, _ in images], pa.string())
        problems = [found.reason if isinstance(found, Unreadable) else None for _, found in images]
        columns["problem"] = pa.array(problems, pa.string())
        return pa.table(columns, schema=self.schema)

    def _fields(self) -> Mapping[str, pa.DataType]:
        several = self.classifier.card.multi_label
        fields = {"id": pa.string(), "class": pa.string(), "probability": pa.float32()}
        if several:
            fields |= {"classes": _TEXTS, "probabilities": _NUMBERS}
        for head in self.heads:
            fields[head] = _TEXTS if several else pa.string()
            fields[f"{head}_probability"] = pa.list_(pa.float64()) if several else pa.float32()
            if self._all:
                fields[f"{head}_probabilities"] = _NUMBERS
        return fields | ({} if self._placement is None else _PLACE) | {"problem": pa.string()}

    def _answered(self, pixels: U8) -> pa.Table:
        """(N, H, W, 3) uint8 -> the columns that say something of an image; the ids are not known here."""
        features = self.classifier.features(pixels)
        found = self.classifier.predict_features(features)
        chosen = found.heads[self._head]
        columns: dict[str, Any] = {"class": self._names[chosen.argmax(axis=1)], "probability": chosen.max(axis=1)}
        if self.classifier.card.multi_label:
            columns |= self._likely(chosen)
        for head, values in found.heads.items():
            columns |= head_columns(head, values, self._names, several=self.classifier.card.multi_label)
            if self._all:
                columns[f"{head}_probabilities"] = pa.array(list(values), _NUMBERS)
        if self._placement is not None:
            place = self._placement.place(pixels, features)
            columns |= dict(zip(_PLACE, place, strict=True))
        missing = {name: pa.nulls(len(pixels), pa.string()) for name in ("id", "problem")}
        return pa.table(columns | missing).select(self.schema.names).cast(self.schema)

    def _likely(self, values: F32) -> dict[str, Any]:
        """All classes of an image that are at least as likely as not, the likeliest first."""
        ranked = np.argsort(-values, axis=1, kind="stable")
        sure = [[k for k in row if values[n, k] >= LIKELY] for n, row in enumerate(ranked)]
        return {
            "classes": pa.array([self._names[row].tolist() for row in sure], _TEXTS),
            "probabilities": pa.array([values[n, row].tolist() for n, row in enumerate(sure)], _NUMBERS),
        }


def _named(numbered: tuple[int, str | Stored]) -> Named:
    number, image = numbered
    if isinstance(image, str | Path):
        return shown(str(image)), Path(image)
    return f"image {number}", image
