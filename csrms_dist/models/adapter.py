"""The adapter: two trained layers between an encoder that stays frozen and all that looks at its features.

Without it a linear head on fixed features is a convex problem of its own, and no other term can move it.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from csrms_dist.artefacts.files import reserve_npy
from csrms_dist.basics.arrays import F32
from csrms_dist.encoders.encoder import Encoder

WIDTH = 256
"""Hidden and outer width: the dimension of heads, bank, prototypes and relation terms on top."""
ROWS = 1 << 12
"""Rows of one block of a feature table, which may be larger than memory."""


class AdaptedEncoder(Encoder):
    """A frozen encoder with an adapter, as one encoder: what the base takes -> (B, 256).

    adapter: Linear(D, 256) - ReLU - Linear(256, 256), on features scaled to norm sqrt(D): those of encoders are
    .5 to 30 long, and one learning rate must suit. It alone is trained. base: (B, ...) -> (B, D); in training
    `GivenFeatures`, whose features lie in a table.
    """

    def __init__(self, base: Encoder) -> None:
        super().__init__()
        self.base = base
        self.adapter = nn.Sequential(nn.Linear(base.dimension, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.dimension = WIDTH

    def forward(self, inputs: Tensor) -> Tensor:
        return self.adapted(self.base(inputs))

    def adapted(self, features: Tensor) -> Tensor:
        """(B, D) features of the base -> (B, 256)."""
        found: Tensor = self.adapter(normalize(features, dim=1) * math.sqrt(self.base.dimension))
        return found


def base_of(encoder: Encoder) -> Encoder:
    """The encoder from images to the features that were clustered, below the adapter if there is one."""
    return encoder.base if isinstance(encoder, AdaptedEncoder) else encoder


def adapted_table(encoder: AdaptedEncoder, vectors: F32, path: Path | None) -> F32:
    """A feature table (N, D) through the adapter: (N, 256) float32, in memory or in a .npy file that is written there.

    In blocks of fixed size, so that the bytes do not depend on who computes them, and N may be larger than memory.
    """
    shape = (len(vectors), WIDTH)
    if path is None:
        found: F32 = np.empty(shape, np.float32)
    else:
        reserve_npy(path, np.float32, shape)
        found = np.load(path, mmap_mode="r+")
    device = next(encoder.adapter.parameters()).device
    with torch.no_grad():
        for start in range(0, len(vectors), ROWS):
            block = torch.from_numpy(np.array(vectors[start : start + ROWS])).to(device)
            found[start : start + ROWS] = encoder.adapted(block).cpu().numpy()
    if isinstance(found, np.memmap):
        found.flush()
    return found
