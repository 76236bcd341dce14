"""The inter-class constraint (CSRMS eq. 15-16): keep the class means of a batch apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from csrms_dist.losses.distance import class_sums, euclidean
from csrms_dist.losses.term import ALONE, Reducer, ScaledTerm, View, form_of


class InterClass(ScaledTerm):
    """mu times a function of the distances d between the class means of the global batch.

    Called with features (B, D) and membership (B, K); fewer than two classes give a differentiable zero. FORMS:
    `repelling` (default), `printed` and `released`. Raises ConfigError for another form.
    """

    def __init__(self, *, form: str = "repelling", mu: float = 1.0, theta: float = 1.0) -> None:
        super().__init__()
        self._values = form_of(self.FORMS, form, "inter_class")
        self.mu, self.theta = mu, theta

    def __call__(self, features: Tensor, membership: Tensor, reducer: Reducer = ALONE) -> Tensor:
        return reducer.share(self._between(reducer.total(class_sums(features, membership))))

    def _between(self, sums: Tensor) -> Tensor:
        """The loss of the whole batch from its class sums (K, D + 1)."""
        present = sums[:, -1] > 0
        means = sums[present, :-1] / sums[present, -1:]
        n = len(means)
        if n < 2:
            return sums.sum() * 0
        first, second = torch.triu_indices(n, n, offset=1, device=sums.device)
        return self._values(self, euclidean(means[first], means[second]))

    def _repelling(self, distance: Tensor) -> Tensor:
        """Mean over pairs of mu / (1 + d / s), s the running mean distance."""
        count = distance.new_tensor(float(len(distance)))
        scale = self.scale.update(distance.detach().sum(), count)
        return self.mu * (1 / (1 + distance / scale)).mean()

    def _printed(self, distance: Tensor) -> Tensor:
        """Eq. 16 as printed, the sum over ordered pairs of -mu log(theta / (d + theta)): it *attracts*."""
        return 2 * self.mu * torch.log((distance + self.theta) / self.theta).sum()

    def _released(self, distance: Tensor) -> Tensor:
        """The code released with the paper: as printed, on detached arrays. A number that nothing learns from."""
        return self._printed(distance.detach()) + distance.sum() * 0

    FORMS: ClassVar[Mapping[str, Callable[[InterClass, Tensor], Tensor]]] = {
        "repelling": _repelling,
        "printed": _printed,
        "released": _released,
    }

    def of(self, view: View) -> Tensor:
        return self(view.smoothed, view.membership, view.reducer)
