"""Where a training computes: the device, the precision and the memory order of images, as one value handed down."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn

from csrms_dist.basics.devices import device_of, put
from csrms_dist.errors import ConfigError
from csrms_dist.methods.model import PlainModel
from csrms_dist.training.settings import SYNCHRONISED, TrainSettings

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
"""cuBLAS adds up in the same order every time with a workspace of a fixed size alone; it reads this when it starts."""


@dataclass(frozen=True)
class Placement:
    """device: of parameters and batches. precision: of the encoder's products. compiled: the encoder is compiled.
    deterministic: equal bits every time; a CPU has them in any case. together: batch statistics are those of all
    workers' images. overlapped: gradients are added up while others are still computed."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: torch.dtype = torch.float32
    compiled: bool = False
    deterministic: bool = True
    together: bool = False
    overlapped: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def put(self, tensor: Tensor) -> Tensor:
        """A tensor of a batch, on the device; nobody waits for its arrival."""
        return put(tensor, self.device)

    def set_up(self) -> None:
        """Choose the algorithms of torch, for this process."""
        if self.on_gpu and self.deterministic:
            os.environ.setdefault(CUBLAS, ":4096:8")
        torch.use_deterministic_algorithms(self.deterministic)
        if self.on_gpu:
            torch.backends.cudnn.benchmark = not self.deterministic
            torch.cuda.set_device(self.device)

    def model(self, model: PlainModel) -> PlainModel:
        """The model on the device, its encoder in this precision, with these batch statistics."""
        if self.together:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        model = model.to(self.device)
        if self.on_gpu:
            model = model.to(memory_format=torch.channels_last)
        model.precision = self.precision
        if self.compiled:
            compiled = torch.compile(model.encoder)
            model.compiled = lambda inputs: compiled(inputs)  # a module would be saved with the model
        return model

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Within this block, what is put on the device or computed there goes beside what the training computes."""
        if not self.on_gpu:
            yield
            return
        with torch.cuda.stream(_beside(self.device)):
            yield

    def arrived(self, tensors: Iterable[Tensor | None]) -> None:
        """Have what is computed from now on come after what `ahead` has begun; `tensors` were made there."""
        if not self.on_gpu:
            return
        now = torch.cuda.current_stream(self.device)
        now.wait_stream(_beside(self.device))
        for tensor in tensors:
            if tensor is not None:
                tensor.record_stream(now)


@cache
def _beside(device: torch.device) -> torch.cuda.Stream:
    """The stream of what goes ahead."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


CPU = Placement()
"""In the order and the precision that a CPU has."""


def placement_of(settings: TrainSettings, device: torch.device | None = None) -> Placement:
    """The placement that the settings ask for. device: of this worker, where something else chose it.

    Raises ConfigError where CUDA is asked for and absent, and for batch statistics that a CPU cannot have.
    """
    chosen = device_of(settings.device, "train.device") if device is None else device
    on_gpu = chosen.type == "cuda"
    together = settings.batch_norm == SYNCHRONISED
    if together and not on_gpu:
        raise ConfigError(
            "train.batch_norm", got=f"{SYNCHRONISED!r} on a CPU", expected="GPUs, because torch's SyncBatchNorm runs "
            "on them alone", remedy="set it to local",
        )  # fmt: skip
    return Placement(
        chosen,
        getattr(torch, settings.precision),
        compiled=settings.compile,
        deterministic=settings.deterministic or not on_gpu,
        together=together,
        overlapped=on_gpu,
    )
