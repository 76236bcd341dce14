"""The inter-class constraint (CSRMS eq. 15-16): keep the class means of a batch apart."""

from __future__ import annotations

import torch
from torch import Tensor

from csrms_dist.losses.distance import euclidean
from csrms_dist.losses.term import ALONE, Reducer, ScaledTerm, View


def class_sums(features: Tensor, membership: Tensor) -> Tensor:
    """(B, D) features, (B, K) membership -> (K, D + 1): the sum of each class and, last, its count (eq. 15)."""
    weight = membership.to(features.dtype)
    return torch.cat([weight.T @ features, weight.sum(dim=0)[:, None]], dim=1)


class InterClass(ScaledTerm):
    """Repelling form (default): mean over the pairs of classes in the batch of mu / (1 + d / s).

    `printed=True` is eq. 16 as printed, the sum over ordered pairs of -log(mu theta / (d + theta)): it *attracts*.
    Called with features (B, D) and membership (B, K); fewer than two classes give a differentiable zero.
    """

    def __init__(self, *, printed: bool = False, mu: float = 1.0, theta: float = 1.0) -> None:
        super().__init__()
        self.printed, self.mu, self.theta = printed, mu, theta

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
        distance = euclidean(means[first], means[second])
        if self.printed:
            return 2 * self.mu * torch.log((distance + self.theta) / self.theta).sum()
        count = distance.new_tensor(float(len(distance)))
        scale = self.scale.update(distance.detach().sum(), count)
        return self.mu * (1 / (1 + distance / scale)).mean()

    def of(self, view: View) -> Tensor:
        return self(view.smoothed, view.membership, view.reducer)
