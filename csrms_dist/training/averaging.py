"""An exponential moving average of a model's weights (Polyak and Juditsky, 1992; Tarvainen and Valpola, 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights:
    """a_t = d_t a_{t-1} + (1 - d_t) w_t with d_t = min(decay, (1 + t) / (10 + t)) after step t = 1, 2, ..., so that the
    first steps, far from the last, are soon forgotten; a_0 are the initial weights.

    Buffers in floating point are averaged too, others are the last.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay, self._steps = model, decay, 0
        self.weights: dict[str, Tensor] = {name: value.clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the optimiser; nobody waits for the device."""
        self._steps += 1
        keep = min(self._decay, (1 + self._steps) / (10 + self._steps))
        averages, values = [], []
        for name, value in self._model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.weights[name])
                values.append(value)
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - keep)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._steps = int(state["steps"])
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)


def final_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """Of a training's last state: the averaged weights where it averages, else the last ones; on the host, as they are
    saved."""
    averaged = state.get("averaged")
    found: dict[str, Tensor] = state["model"] if averaged is None else averaged["weights"]
    return {name: value.detach().cpu().contiguous() for name, value in found.items()}
