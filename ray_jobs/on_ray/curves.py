"""Curves of a training for TensorBoard."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from csrms_dist.errors import require


class Curves:
    """Loss terms and accuracies by epoch, written below `folder`; None writes nothing.

    A training that goes on after an interruption writes its curves anew, so no epoch stands there twice. Raises
    MissingDependencyError when the package is not installed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        self._done = 0
        if folder is not None:
            require("tensorboard", "tensorboard")
            shutil.rmtree(folder, ignore_errors=True)
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def put(self, history: list[dict[str, float]]) -> None:
        """Write the epochs that are new."""
        if self._writer is None:
            return
        for report in history[self._done :]:
            for name, value in report.items():
                if name not in ("epoch", "images"):
                    self._writer.add_scalar(name, value, int(report["epoch"]))
        self._writer.flush()
        self._done = len(history)
