"""What a user brings from outside the package: a loss term, a strategy, and a method with a stage of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.settings import setting
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.term import Reducer, Term, View
from csrms_dist.methods import stages
from csrms_dist.methods.plain import PlainMethod
from csrms_dist.methods.protocol import Batch, Built, MethodSpec, Stage
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.sampling.strategies.strategy import Piece


class Shrink(Term):
    """The mean squared length of the features."""

    def of(self, view: View) -> Tensor:
        return view.features.square().sum(dim=1).sum() / view.reducer.size(len(view.features))


class Failing(Term):
    """Raises in the training worker."""

    def of(self, view: View) -> Tensor:
        raise ZeroDivisionError("the user's own")


class NeedsMore(Term):
    """Cannot be made without an argument."""

    def __init__(self, size: int) -> None:
        self.size = size

    def of(self, view: View) -> Tensor:
        return view.features.sum() * self.size


NUMBER = 3


def no_number(scores: Any, membership: Any, unseen: Any) -> float:
    return float("nan")


def out_of_range(graph: Any, features: Any, queries: Any, m: int, pool: int) -> Iterator[Piece]:
    """Names a row that is not there."""
    yield Piece(np.array([0]), np.array([graph.n_rows]), 1)


def next_other(graph: Any, features: Any, queries: Any, m: int, pool: int) -> Iterator[Piece]:
    """The m rows after the anchor that have another label, going round."""
    labels = graph.membership.indices
    for query, row in enumerate(queries.rows.tolist()):
        order = (row + 1 + np.arange(graph.n_rows - 1)) % graph.n_rows
        found = order[labels[order] != labels[row]][:m]
        yield Piece(np.full(len(found), query), found, 1)


@dataclass(frozen=True)
class ToySettings(MethodSettings):
    """The section `method` of the toy."""

    pull: float = setting(0.1, "[0, 1]", doc="weight of the pull to the centre of the class")

    def reported(self) -> dict[str, Any]:
        return {**super().reported(), "pull": self.pull}


class Pulled(PlainMethod):
    """The plain classifier, whose features are pulled to the centres that the stage `centres` found."""

    def __init__(self, model: Any, centres: Tensor, task: Any) -> None:
        super().__init__(
            model, label_smoothing=task.label_smoothing, labels_per_image=task.labels_per_image, loss=task.loss
        )
        self.centres, self.objective = centres, Objective({"plain": 1.0, "pull": task.settings.pull})

    def more_terms(self, features: Tensor, batch: Batch, reducer: Reducer) -> dict[str, Tensor]:
        distance = (features - batch.membership @ self.centres).square().mean(dim=1)
        return {"pull": distance.sum() / reducer.size(len(features))}


def build(model: Any, structure: Any, task: Any) -> Built:
    found = torch.from_numpy(np.load(structure.artefact("centres") / "centres.npy"))
    return Built(Pulled(model, found, task))


def centres(context: Any) -> None:
    """The job of the stage `centres`: the mean feature of each class."""
    table = context.contents.features
    means = (table.membership.T @ table.vectors) / table.membership.sum(axis=0)[:, None]
    with context.run.writing("centres", context.inputs, {"classes": len(means)}) as folder:
        np.save(folder / "centres.npy", means.astype(np.float32))


CENTRES = Stage("centres", "toys:centres", requires=("features",))

METHOD = MethodSpec(
    model="csrms_dist.methods.plain:make",
    build="toys:build",
    settings="toys:ToySettings",
    stages=(
        *stages.CLASSIFICATION[:5],
        CENTRES,
        replace(stages.TRAIN, requires=(*stages.TRAIN.requires, "centres")),
        stages.CONTROL,
        stages.EVALUATE,
    ),
    trial=False,
)
