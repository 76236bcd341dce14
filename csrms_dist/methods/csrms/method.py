"""CSRMS under training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from csrms_dist.basics.collective import Collective
from csrms_dist.errors import ConfigError
from csrms_dist.losses.classification import top_hits
from csrms_dist.losses.objective import Objective
from csrms_dist.losses.term import Reducer, Term, View
from csrms_dist.methods.csrms.curriculum.weights import AnchorWeights
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.csrms.refresh import Refreshing
from csrms_dist.methods.csrms.relations import Relations, neighbours
from csrms_dist.methods.protocol import Batch, BatchOutcome


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
    anchors: how much each anchor weighs in the relation terms; None: all alike. everything: in all terms.
    """

    def __init__(
        self,
        model: CSRMSModel,
        relations: Relations,
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        sizes: Mapping[str, int],
        anchors: AnchorWeights | None = None,
        everything: bool = False,
    ) -> None:
        self.module, self.relations, self.terms, self.sizes = model, relations, terms, sizes
        self.objective = Objective(weights)
        self.edge_types = tuple(sizes)
        self.anchors, self.everything = anchors, everything
        self.refreshing: Refreshing | None = None

    def begin_epoch(self, history: Sequence[Mapping[str, float]], epochs: int, collective: Collective) -> None:
        if self.refreshing is not None:
            self.refreshing.begin_epoch(len(history), self.relations.bank, collective)
        if self.anchors is not None:
            self.anchors.begin_epoch(history, epochs)

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        model, size = self.module, len(batch.global_rows)
        features = model.encoder(batch.inputs)
        plain = model.plain_head(features)
        graph, smoothed = model.graph_head(features, model.reading.context(features, batch, self.relations))

        def draw(edge_type: str) -> tuple[Tensor, Tensor]:
            return neighbours(batch.subgraph, edge_type, self.sizes[edge_type], self.relations.bank)

        heads = {"plain": plain, "graph": graph}
        weights, observed = None, {}
        if self.anchors is not None:
            weights = self.anchors.of(batch.rows, batch.global_rows).to(features.device)
            observed = self.anchors.observed(batch.rows, weights)
        view = View(
            features, heads, smoothed, batch.membership, draw, Reducer(size, collective), weights, self.everything
        )
        terms = {name: _number(name, term.of(view)) for name, term in self.terms.items()}
        self.relations.bank.write(batch.global_rows, collective.gather_rows(features, size))
        hits = {name: top_hits(logits, batch.membership) for name, logits in heads.items()}
        return BatchOutcome(terms, hits, observed)

    def end_epoch(self, collective: Collective) -> None:
        self.relations.bank.turn(collective)
        self.relations.refresh()

    def state_dict(self) -> dict[str, Any]:
        return {
            "bank": self.relations.bank.state_dict(),
            "prototypes": self.relations.patterns.means,
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.relations.bank.load_state_dict(state["bank"])
        self.relations.refresh()
        for name, term in self.terms.items():
            term.load_state_dict(state["terms"][name])
