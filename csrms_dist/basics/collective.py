"""Sums, gathers and barriers of training workers, so that any number of them computes the same global batch.

Every rank holds a slice of each global batch and minimises its share of the global loss; gradients are summed, never
averaged. A statistic of the whole batch (the class sums of CSRMS eq. 15) is summed over ranks before the loss uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from csrms_dist.basics.heartbeat import Heartbeat


class _AllSum(torch.autograd.Function):
    """Sum over ranks. Its gradient is passed through: each rank differentiates its own summand, and the summation of
    gradients over ranks adds the others."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, collective: Collective) -> Tensor:
        return collective.summed(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _AllRows(torch.autograd.Function):
    """All rows of a global batch. The gradient of this rank's own rows is passed through and that of the others is left
    to them: where every rank computes the same loss of all rows, the summation of gradients over ranks adds the rest.
    So `backward` sends no message, and a rank whose loss does not look at the rows keeps nobody waiting."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, total: int, collective: Collective) -> Tensor:
        ctx.mine = slice(collective.rank, None, collective.world)
        return collective.gather_rows(local, total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.mine], None, None


class _ExchangedRows(torch.autograd.Function):
    """All rows of a global batch, of which every rank computes a part of the loss of its own: in `backward` the
    gradients of all ranks are summed by a message, and each rank keeps those of its rows."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, total: int, collective: Collective) -> Tensor:
        ctx.mine, ctx.collective = slice(collective.rank, None, collective.world), collective
        return collective.gather_rows(local, total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.collective.summed(gradient)[ctx.mine], None, None


class Collective:
    """One worker among `world`; with world = 1 every operation is the identity and no process group is needed.

    heartbeat: with it a message that waits for a worker which is not there raises StalledError, which names it.
    """

    def __init__(self, rank: int = 0, world: int = 1, heartbeat: Heartbeat | None = None) -> None:
        self.rank, self.world, self.heartbeat = rank, world, heartbeat

    def all_sum(self, tensor: Tensor) -> Tensor:
        """Differentiable sum over ranks of a tensor of equal shape."""
        if self.world == 1:
            return tensor
        result: Tensor = _AllSum.apply(tensor, self)
        return result

    def summed(self, tensor: Tensor) -> Tensor:
        """A copy of the tensor, summed over ranks; not differentiable."""
        total = tensor.detach().contiguous().clone()
        if self.world > 1:
            self._wait(dist.all_reduce(total, async_op=True), "sum", total)
        return total

    def _wait(self, work: Any, operation: str, tensor: Tensor | None = None) -> None:
        # What goes over the device is waited for by the device, not by this thread.
        if self.heartbeat is None or (tensor is not None and tensor.is_cuda):
            work.wait()
        else:
            self.heartbeat.wait(work, operation)

    def share(self, value: Tensor) -> Tensor:
        """A loss that every rank computes in full from summed statistics -> this rank's share of it.

        Values add up to the loss over ranks; the gradient is that of the loss (see `_AllSum`).
        """
        if self.world == 1:
            return value
        return value - value.detach() + value.detach() / self.world

    def gather_rows(self, local: Tensor, total: int) -> Tensor:
        """Rows rank::world of a global batch of `total` rows -> all of them in the batch's order, detached."""
        local = local.detach()
        if self.world == 1:
            return local
        width = -(-total // self.world)
        padded = local.new_zeros((width, *local.shape[1:]))
        padded[: len(local)] = local
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        self._wait(dist.all_gather(parts, padded, async_op=True), "gathering of rows", padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:total]

    def all_rows(self, local: Tensor, total: int) -> Tensor:
        """As `gather_rows`, and differentiable: for a loss that every rank computes in full from all rows (`share`).

        A row's gradient then holds its part as an anchor and its part in the terms of all others, wherever they lie.
        """
        if self.world == 1:
            return local
        rows: Tensor = _AllRows.apply(local, total, self)
        return rows

    def exchanged_rows(self, local: Tensor, total: int) -> Tensor:
        """As `all_rows`, for a loss of which every rank computes its own rows' part, through layers of its own.

        A layer's gradient is then the sum over ranks, as everywhere. Every rank must go backward through the result,
        or none: its gradient is a message.
        """
        if self.world == 1:
            return local
        rows: Tensor = _ExchangedRows.apply(local, total, self)
        return rows

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self.world > 1:
            self._wait(dist.barrier(async_op=True), "barrier")

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add the gradients of all ranks, in one flat message.

        A parameter that no term reaches gets a gradient of zeros, also with one worker: an optimiser skips a parameter
        without gradient, and then its weight decay would depend on the number of workers.
        """
        held = [p for p in parameters if p.requires_grad]
        for parameter in held:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world == 1:
            return
        flat = torch.cat([p.grad.flatten() for p in held if p.grad is not None])
        self._wait(dist.all_reduce(flat, async_op=True), "sum of gradients", flat)
        place = 0
        for parameter in held:
            if parameter.grad is not None:
                parameter.grad.copy_(flat[place : place + parameter.numel()].view_as(parameter))
                place += parameter.numel()
