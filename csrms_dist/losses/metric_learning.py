"""The losses of pytorch-metric-learning, an optional package: loaded when a term that needs it is made."""

from __future__ import annotations

from typing import Any

from csrms_dist.errors import require

PACKAGE = "pytorch_metric_learning"


def unreduced(loss: str, **options: Any) -> Any:
    """A loss of the library that gives a value for each pair, triplet or row instead of their mean.

    Its own means leave out what is 0, and know neither the global batch nor weights. Raises MissingDependencyError.
    """
    reducer = require(f"{PACKAGE}.reducers").DoNothingReducer()
    return getattr(require(f"{PACKAGE}.losses"), loss)(reducer=reducer, **options)
