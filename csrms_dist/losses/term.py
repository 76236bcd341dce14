"""The base of loss terms, the view of a batch that they get, and how values become a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from torch import Tensor
from torch.nn.functional import normalize

from csrms_dist.basics.collective import Collective
from csrms_dist.basics.lookup import Kind, takes
from csrms_dist.errors import ConfigError
from csrms_dist.losses.distance import RunningScale

T = TypeVar("T")


class Reducer:
    """How the values of a batch become a loss.

    Alone, their mean. Among workers, this worker's share of the mean over the global batch: shares add up to the loss,
    and so do their gradients.

    Parameters
    ----------
    size: rows of the global batch; None: those that are at hand.
    collective: the workers; None: this one alone.
    """

    def __init__(self, size: int | None = None, collective: Collective | None = None) -> None:
        self._size, self._collective = size, collective or Collective()

    def size(self, rows: int) -> int:
        """By how many rows a sum over `rows` of them is divided: at least 1, for no row adds nothing."""
        return max(rows, 1) if self._size is None else self._size

    def total(self, tensor: Tensor) -> Tensor:
        """Differentiable sum over workers of a tensor of equal shape."""
        return self._collective.all_sum(tensor)

    def rows(self, local: Tensor) -> Tensor:
        """The rows (b, ...) of this worker -> those of the global batch, in its order; differentiable.

        For a loss that every worker computes in full: see `share`.
        """
        return self._collective.all_rows(local, len(local) if self._size is None else self._size)

    def exchanged(self, local: Tensor) -> Tensor:
        """The same, for a loss of which every worker computes the part of its own rows from all rows (see
        `Collective.exchanged_rows`)."""
        return self._collective.exchanged_rows(local, len(local) if self._size is None else self._size)

    def share(self, value: Tensor) -> Tensor:
        """A loss that every worker computes in full from summed statistics or from all rows -> this worker's share."""
        return self._collective.share(value)


ALONE = Reducer()


def weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    """(b,) values of the anchors, each times its weight (b,) where there are weights."""
    return values if weights is None else values * weights


def form_of(forms: Mapping[str, T], form: str, term: str) -> T:
    """The form of a term. Raises ConfigError for a name that it does not have."""
    if form not in forms:
        raise ConfigError(f"the form of the loss term {term}", got=repr(form), expected=f"one of {', '.join(forms)}")
    return forms[form]


def _no_prototypes() -> tuple[Tensor, Tensor]:
    raise ValueError("a loss term looks at prototypes, but this view of a batch was made without them")


def _no_head(features: Tensor) -> Tensor:
    raise ValueError("a loss term classifies features, but this view of a batch was made without `classify`")


@dataclass(frozen=True)
class View:
    """A batch as its loss terms see it.

    features: (b, D) of the encoder. logits: (b, K) by head. smoothed: (b, D), of the graph head. membership: (b, K)
    float, 0 and 1. draw: an edge type -> features (b, n, D) and mask (b, n) of its neighbours; detached where they come
    from the bank. weights: (b,) of the anchors in the relation terms, mean 1 over the global batch; None: all weigh 1.
    everything: they weigh the classification losses too.
    labels_per_image: their mean number in training, None where each image has one. classify: the plain head, features
    (..., D) -> logits (..., K). prototypes: the cluster's and the class's of the anchors' labels, (b, D) each.
    """

    features: Tensor
    logits: Mapping[str, Tensor]
    smoothed: Tensor
    membership: Tensor
    draw: Callable[[str], tuple[Tensor, Tensor]]
    reducer: Reducer = field(default=ALONE)
    weights: Tensor | None = None
    everything: bool = False
    labels_per_image: float | None = None
    classify: Callable[[Tensor], Tensor] = _no_head
    prototypes: Callable[[], tuple[Tensor, Tensor]] = _no_prototypes

    @cached_property
    def unit(self) -> Tensor:
        """(b, D) features of length 1."""
        return normalize(self.features, dim=1)

    def neighbours(self, edge_type: str) -> tuple[Tensor, Tensor]:
        """Neighbours of an edge type: (b, n, D) of length 1, mask (b, n)."""
        found, mask = self.draw(edge_type)
        return normalize(found, dim=2), mask


class Term:
    """A loss term. It owns its state, so that saving and loading is one loop over terms.

    A subclass is made without arguments, is called with what its formula needs, and says in `of` where a batch has it.
    edge_types: the edges that it looks at; what no term and no reading looks at is not made.
    label_prototypes: it looks at the prototypes of the anchors' classes.
    packages: modules of the extra `full` that it needs.
    """

    edge_types: ClassVar[tuple[str, ...]] = ()
    label_prototypes: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()

    def of(self, view: View) -> Tensor:
        """This worker's share of the loss of a batch."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """State that must outlive a restart."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


def _is_term(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Term) and value.of is not Term.of and takes(value, 0)


KIND = Kind("a losses.term.Term of {} that is made without arguments and says `of`", _is_term)


class ScaledTerm(Term):
    """A term of distances in units of their running mean."""

    def __init__(self) -> None:
        self.scale = RunningScale()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.scale.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scale.load_state_dict(state)
