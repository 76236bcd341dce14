"""Cluster- and class-level alignment (CSRMS eq. 11-12) by name: move a representation towards prototypes. A file each.

Where labels choose the prototypes, the head that predicts is told the label in training: the leak check shows it.
"""

from __future__ import annotations

from collections.abc import Mapping

ALIGNMENTS: Mapping[str, str] = {
    "none": "csrms_dist.models.alignment.alignment:Alignment",
    "soft": "csrms_dist.models.alignment.soft:SoftAlignment",
    "paper": "csrms_dist.models.alignment.paper:PaperAlignment",
    "reference": "csrms_dist.models.alignment.reference:ReferenceAlignment",
}
