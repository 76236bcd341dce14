"""Curricula by name (CSRMS sec. 4.2.3): how much easy, medium and hard anchors weigh in an epoch.

A curriculum is a function (history, epochs) -> (easy, medium, hard), each in [0, 1]: history has the reports of the
epochs that are done, of `epochs` in all. It sees nothing else, so a training that goes on after a stop goes on alike.
"""

from __future__ import annotations

from collections.abc import Mapping

CURRICULA: Mapping[str, str] = {
    "cosine": "csrms_dist.methods.csrms.curriculum.cosine:cosine",
    "plateau": "csrms_dist.methods.csrms.curriculum.plateau:plateau",
    "printed": "csrms_dist.methods.csrms.curriculum.plateau:printed",
    "released": "csrms_dist.methods.csrms.curriculum.released:released",
}
