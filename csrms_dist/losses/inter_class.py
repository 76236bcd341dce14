"""The inter-class constraint (CSRMS eq. 15-16): keep the class means of a batch apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from csrms_dist.losses.distance import class_sums
from csrms_dist.losses.term import ALONE, Reducer, ScaledTerm, View, form_of


class InterClass(ScaledTerm):
    """mu times a function of the distances d between the class means of the global batch, (n, n), and of the pairs
    (n, n) of 0 and 1 that count.

    Called with features (B, D) and membership (B, K); one_label: a row has at most one. Fewer than two classes give a
    differentiable zero. FORMS:
    `repelling` (default), `printed` and `released`. Raises ConfigError for another form.
    """

    def __init__(self, *, form: str = "repelling", mu: float = 1.0, theta: float = 1.0) -> None:
        super().__init__()
        self._values = form_of(self.FORMS, form, "inter_class")
        self.mu, self.theta = mu, theta

    def __call__(
        self, features: Tensor, membership: Tensor, reducer: Reducer = ALONE, *, one_label: bool = False
    ) -> Tensor:
        sums = reducer.total(class_sums(features, membership))
        most = reducer.size(len(features)) if one_label else len(sums)
        return reducer.share(self._between(sums, most))

    def _between(self, sums: Tensor, most: int) -> Tensor:
        """The loss of the whole batch from its class sums (K, D + 1), of which at most `most` are of a class that is
        there. So that nothing waits for the device, absent classes are computed too, and count for nothing."""
        counts, chosen = sums[:, -1].topk(min(len(sums), most))
        means = sums[chosen, :-1] / counts.clamp(min=1)[:, None]
        present = (counts > 0).to(sums.dtype)
        pairs = torch.triu(present[:, None] * present, diagonal=1)
        distance = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist")
        return self._values(self, distance, pairs)

    def _repelling(self, distance: Tensor, pairs: Tensor) -> Tensor:
        """Mean over pairs of mu / (1 + d / s), s the running mean distance."""
        number = pairs.sum()
        scale = self.scale.update((distance.detach() * pairs).sum(), number)
        return self.mu * (pairs / (1 + distance / scale)).sum() / number.clamp(min=1)

    def _printed(self, distance: Tensor, pairs: Tensor) -> Tensor:
        """Eq. 16 as printed, the sum over ordered pairs of -mu log(theta / (d + theta)): it *attracts*."""
        return 2 * self.mu * (torch.log((distance + self.theta) / self.theta) * pairs).sum()

    def _released(self, distance: Tensor, pairs: Tensor) -> Tensor:
        """The code released with the paper: as printed, on detached arrays. A number that nothing learns from."""
        return self._printed(distance.detach(), pairs) + distance.sum() * 0

    FORMS: ClassVar[Mapping[str, Callable[[InterClass, Tensor, Tensor], Tensor]]] = {
        "repelling": _repelling,
        "printed": _printed,
        "released": _released,
    }

    def of(self, view: View) -> Tensor:
        return self(view.smoothed, view.membership, view.reducer, one_label=view.labels_per_image is None)
