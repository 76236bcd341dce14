"""The worth of probabilities: the metrics of a head, by name, over all images and by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.lookup import chosen, one_line, takes
from csrms_dist.errors import ConfigError
from csrms_dist.evaluation.classifier import Predictions
from csrms_dist.labels import LabelSpace, Membership
from csrms_dist.metrics import METRICS
from csrms_dist.metrics.classification import CONFUSION_CLASSES, class_accuracies, confusion, top_hits
from csrms_dist.metrics.intervals import PairedDifference, paired_bootstrap, paired_bootstrap_map
from csrms_dist.metrics.ranking import known_precisions

_PLACES = {name: entry.place for name, entry in METRICS.items()}


def own_metrics(more: str) -> list[str]:
    """The names in `evaluate.more_metrics`."""
    return [name.strip() for name in more.split(",") if name.strip()]


def check_metrics(more: str) -> None:
    """Raise ConfigError for a name in `evaluate.more_metrics` that is no metric."""
    for name in own_metrics(more):
        chosen(
            _PLACES, name, "evaluate.more_metrics",
            fits=lambda value: takes(value, 3), expected="a function of {} that takes (scores, membership, unseen)",
        )  # fmt: skip


class Scores:
    """The metrics of a data set's labels.

    unseen: (U,) int64, classes that training never saw. more: names of further metrics, separated by commas.
    """

    def __init__(self, space: LabelSpace, unseen: I64, more: str = "") -> None:
        self.space, self.unseen = space, unseen
        suited = {name: entry for name, entry in METRICS.items() if entry.several == space.multi_label}
        self.headline = [name for name, entry in suited.items() if entry.headline]
        further = [name for name in suited if name not in self.headline] + own_metrics(more)
        self.more = list(dict.fromkeys(further))

    def of_head(self, scores: F32, membership: Membership) -> Any:
        """(N, K) scores -> the headline metric, or where there are several, each by name."""
        found = self._named(self.headline, scores, membership)
        return found if len(found) > 1 else found[self.headline[0]]

    def of(self, predictions: Predictions, membership: Membership) -> dict[str, Any]:
        """`of_head` by head."""
        return {head: self.of_head(values, membership) for head, values in predictions.heads.items()}

    def more_of(self, heads: Mapping[str, F32], membership: Membership) -> dict[str, dict[str, float | None]]:
        """The further metrics by head and name."""
        return {head: self._named(self.more, values, membership) for head, values in heads.items()}

    def _named(self, names: list[str], scores: F32, membership: Membership) -> dict[str, float | None]:
        return {name: self._value(name, scores, membership) for name in names}

    def _value(self, name: str, scores: F32, membership: Membership) -> float | None:
        """A metric; None where it is not finite. Raises ConfigError for a user's own that fails."""
        metric = chosen(_PLACES, name, "evaluate.more_metrics")
        try:
            found = float(metric(scores, membership, self.unseen))
        except Exception as error:  # the code is the user's: whatever it raises is theirs to read
            if name in METRICS:
                raise
            raise ConfigError(
                f"evaluate.more_metrics: {name}", got=one_line(error), expected="one number",
                remedy="correct it and run the same command again: only the evaluation is repeated",
            ) from error  # fmt: skip
        return found if np.isfinite(found) else None

    def by_class(self, scores: F32, membership: Membership) -> dict[str, Any]:
        """Accuracy and confusion matrix, or average precision; None where a class has no image."""
        found: dict[str, Any] = {"names": list(self.space.class_names)}
        if self.space.multi_label:
            return found | {"average_precision": numbers(known_precisions(scores, membership, self.unseen))}
        if self.space.n_classes > CONFUSION_CLASSES:
            return found | {"accuracy": None, "confusion": None}
        matrix = confusion(scores, membership)
        return found | {"accuracy": numbers(class_accuracies(matrix)), "confusion": matrix.tolist()}

    def difference(self, a: F32, b: F32, membership: Membership, samples: int, seed: int) -> PairedDifference:
        """Accuracy, or mAP, of a minus that of b on the same images, with its bootstrap interval."""
        if self.space.multi_label:
            return paired_bootstrap_map(a, b, membership, samples, seed)
        return paired_bootstrap(top_hits(a, membership), top_hits(b, membership), samples, seed)


def cannot_answer(predictions: Predictions, unseen: I64) -> None:
    """Classes that training never saw get probability 0: an image of such a class is answered wrongly."""
    for values in predictions.heads.values():
        values[:, unseen] = 0


def numbers(values: Iterable[float]) -> list[float | None]:
    """Values for JSON, which has no NaN: None in its place."""
    return [None if np.isnan(value) else float(value) for value in values]
