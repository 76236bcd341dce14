"""Mixing of images: the part that mixup, cutmix and manifold mixup share (timm's 'batch' mode)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.devices import put
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.controls.control import Control
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Task
from csrms_dist.sampling.subgraph import BatchSubgraph

_LAMBDA, _WHETHER = 0x6C616D626461, 0x77686574


class Mixing(Control):
    """Each image is mixed with its partner, the image at its place of the global batch counted from the end; so are
    their labels. lambda, the image's own share, is one number a batch, from Beta(alpha, alpha).

    probability: of a batch's being mixed at all.
    """

    def __init__(self, model: PlainModel, task: Task, alpha: float, probability: float) -> None:
        super().__init__(model, task)
        self.alpha, self.probability = alpha, probability

    def own_share(self, global_rows: I64) -> float:
        """lambda of a global batch (B,), 1 where it is not mixed."""
        if self.uniform(_WHETHER, global_rows) >= self.probability:
            return 1.0
        return float(betaincinv(self.alpha, self.alpha, self.uniform(_LAMBDA, global_rows)))

    def label_share(self, batch: Batch) -> float:
        """The share of an image's own labels in its targets."""
        return self.own_share(batch.global_rows)

    def loss_of(self, logits: Tensor, batch: Batch, reducer: Reducer) -> Tensor:
        share = self.label_share(batch)
        if share == 1:
            return super().loss_of(logits, batch, reducer)
        others = reducer.rows(batch.membership).flip(0)[self.mine]
        return self.loss_on(logits, batch.membership * share + others * (1 - share), reducer, soft=True)


class InputMixing(Mixing):
    """Mixing of what the encoder takes: partners on other workers are read here too, but only looked at."""

    def more_rows(self, rows: I64, global_rows: I64, subgraph: BatchSubgraph | None) -> I64 | None:
        if self.own_share(global_rows) == 1:
            return None
        missing = np.setdiff1d(global_rows[::-1][self.mine], rows)
        return missing if len(missing) else None

    def encoded(self, batch: Batch, reducer: Reducer) -> Tensor:
        share, inputs = self.own_share(batch.global_rows), batch.inputs
        if share < 1:
            inputs = self.mixed(inputs, self._partners(batch), share, batch.global_rows)
        return self.module.encode(inputs)

    def mixed(self, inputs: Tensor, others: Tensor, share: float, global_rows: I64) -> Tensor:
        """Inputs (b, ...) with those of their partners, of a batch (B,) whose lambda is `share`."""
        raise NotImplementedError

    def _partners(self, batch: Batch) -> Tensor:
        """(b, ...): the partner's input for each of the batch."""
        held, inputs = batch.rows, batch.inputs
        if batch.more_rows is not None and batch.more_inputs is not None:
            held, inputs = np.concatenate([held, batch.more_rows]), torch.cat([inputs, batch.more_inputs])
        order = np.argsort(held, kind="stable")
        place = order[np.searchsorted(held, batch.global_rows[::-1][self.mine], sorter=order)]
        return inputs[put(place, inputs.device)]
