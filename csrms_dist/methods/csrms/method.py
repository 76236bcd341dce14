"""CSRMS under training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.collective import Collective
from csrms_dist.errors import ConfigError
from csrms_dist.losses.classification import top_hits
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.separation import Separation
from csrms_dist.losses.term import Reducer, Term, View
from csrms_dist.methods.csrms.curriculum.weights import AnchorWeights
from csrms_dist.methods.csrms.encoding.bank import Bank
from csrms_dist.methods.csrms.encoding.encoding import NONE, Draw, Encoded, Encoding
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.csrms.refresh import Refreshing
from csrms_dist.methods.csrms.relations import Relations
from csrms_dist.methods.protocol import Batch, BatchOutcome
from csrms_dist.sampling.subgraph import BatchSubgraph


def _number(name: str, value: Any) -> Tensor:
    """The value of a loss term. Raises ConfigError for a user's own that gives something else."""
    if not isinstance(value, Tensor) or value.ndim:
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ConfigError(
            f"the loss term {name}", got=got, expected="a tensor of one number", remedy="correct what its `of` returns"
        )
    return value


class CSRMS:
    """Losses on a batch, the bank and the prototypes between epochs.

    Parameters
    ----------
    model: its reading says what enters the graph head.
    relations: what the reading looks up.
    terms, weights: loss terms and their weights, by name.
    sizes: how many neighbours of each edge type an anchor has at most; the types that are sampled.
    labels_per_image: the mean number of labels of a training image, None where each has one.
    anchors: how much each anchor weighs in the relation terms; None: all alike. everything: in all terms.
    encoding: where features of neighbours come from; None: from the bank.
    """

    more_view = 0

    def __init__(
        self,
        model: CSRMSModel,
        relations: Relations,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        sizes: Mapping[str, int],
        labels_per_image: float | None = None,
        anchors: AnchorWeights | None = None,
        everything: bool = False,
        encoding: Encoding | None = None,
    ) -> None:
        self.module, self.relations, self.terms, self.sizes = model, relations, terms, sizes
        self.labels_per_image = labels_per_image
        self.separation = Separation()
        self.objective = Objective(weights)
        self.edge_types = tuple(sizes)
        self.anchors, self.everything = anchors, everything
        self.encoding: Encoding = encoding or Bank()
        self.refreshing: Refreshing | None = None

    def begin_epoch(self, history: Sequence[Mapping[str, float]], epochs: int, collective: Collective) -> None:
        if self.refreshing is not None:
            self.refreshing.begin_epoch(len(history), self.relations.bank, collective)
        if self.anchors is not None:
            self.anchors.begin_epoch(history, epochs)

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        model, size = self.module, len(batch.global_rows)
        features, draw = self._encoded(batch)
        plain = model.plain_head(features)
        graph, smoothed = model.graph_head(features, model.context(features, batch, self.relations, draw))
        heads = {"plain": plain, "graph": graph}
        weights, observed = None, {}
        if self.anchors is not None:
            weights = self.anchors.of(batch.rows, batch.global_rows).to(features.device)
            observed = self.anchors.observed(batch.rows, weights)
        view = View(
            features,
            heads,
            smoothed,
            batch.membership,
            draw,
            Reducer(size, collective),
            weights,
            self.everything,
            self.labels_per_image,
            model.plain_head,
            lambda: self._targets(features, batch),
        )
        terms = {name: _number(name, term.of(view)) for name, term in self.terms.items()}
        self.relations.bank.write(batch.global_rows, collective.gather_rows(features, size))
        hits = {name: top_hits(logits, batch.membership) for name, logits in heads.items()}
        return BatchOutcome(terms, hits, observed | self.separation.of(view, self.edge_types))

    def _encoded(self, batch: Batch) -> tuple[Tensor, Draw]:
        """Features (b, D) of the batch, and where those of its neighbours are found."""
        inputs, more = batch.inputs, batch.more_rows if batch.more_rows is not None else NONE
        if batch.more_inputs is not None:
            inputs = torch.cat([inputs, batch.more_inputs])
        encoded = Encoded(batch.rows, more, self.module.encoder(inputs))

        @cache
        def draw(edge_type: str) -> tuple[Tensor, Tensor]:
            if batch.subgraph is None:
                raise ValueError(f"the batch has no sub-graph, but something looks at {edge_type} edges")
            index, mask = batch.subgraph.dense(edge_type, self.sizes[edge_type])
            bank = self.relations.bank
            found = self.encoding.of(batch.subgraph, edge_type, index, mask, encoded, bank)
            return found, torch.from_numpy(mask).to(bank.device)

        return encoded.features[: len(batch.rows)], draw

    def _targets(self, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The prototypes (b, D) of the batch's labels."""
        if self.relations.targets is None:
            raise ValueError("a loss term looks at prototypes of labels, which were not made")
        return self.relations.targets.of_batch(features, batch.rows, batch.membership)

    def more_rows(self, rows: I64, global_rows: I64, subgraph: BatchSubgraph | None) -> I64 | None:
        found = self.encoding.more_rows(rows, subgraph) if subgraph is not None else NONE
        return found if len(found) else None

    def end_epoch(self, collective: Collective) -> None:
        self.separation.end_epoch()
        self.relations.bank.turn(collective)
        self.relations.refresh()

    def state_dict(self) -> dict[str, Any]:
        grounds = self.relations.grounds
        kept = None if grounds is None else grounds.kept()
        return {
            "bank": self.relations.bank.state_dict(),
            "prototypes": self.relations.patterns.means,
            "beside": {} if kept is None else {"class_prototypes": kept},
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.relations.bank.load_state_dict(state["bank"])
        self.relations.refresh()
        for name, term in self.terms.items():
            term.load_state_dict(state["terms"][name])

    def part_state(self) -> dict[str, Any]:
        return {"bank": self.relations.bank.part_state(), "separation": self.separation.part_state()}

    def load_part_state(self, state: dict[str, Any]) -> None:
        self.relations.bank.load_part_state(state["bank"])
        self.separation.load_part_state(state["separation"])
