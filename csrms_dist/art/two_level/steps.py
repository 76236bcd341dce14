"""Steps of a long clustering, each computed once: what is there already, from a run that was stopped, is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.basics.arrays import Matrix

Arrays: TypeAlias = Mapping[str, Matrix]
INPUTS = "inputs.json"


class Checkpoint:
    """A folder of finished steps. Assumes that a step is a function of `inputs` and of the steps before it.

    inputs: what decides the result, as JSON can hold it. Steps of other inputs are removed.
    """

    def __init__(self, folder: Path, inputs: Any) -> None:
        self.folder = folder
        text = json.dumps(inputs, sort_keys=True)
        known = folder / INPUTS
        with disk_errors(f"{folder}"):
            if not known.exists() or known.read_text(encoding="utf-8") != text:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                staged = folder / f".{INPUTS}"
                staged.write_text(text, encoding="utf-8")
                staged.replace(known)

    def step(self, name: str, make: Callable[[], Arrays]) -> dict[str, Matrix]:
        """The arrays of the step, made unless they are there. A kill leaves a step whole or not at all."""
        final, staged = self.folder / name, self.folder / f".{name}"
        if not final.exists():
            made = make()
            with disk_errors(f"{final}"):
                shutil.rmtree(staged, ignore_errors=True)
                staged.mkdir()
                for key, array in made.items():
                    np.save(staged / f"{key}.npy", array)
                staged.rename(final)
        return {path.stem: np.load(path) for path in sorted(final.glob("*.npy"))}

    def remove(self) -> None:
        """Remove all steps."""
        shutil.rmtree(self.folder, ignore_errors=True)
