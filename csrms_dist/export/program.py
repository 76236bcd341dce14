"""The plain path as a program of torch.export (`.pt2`): torch alone runs it, without a class of ours."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, U8
from csrms_dist.export.plain_path import check_ending, checked, facts_of, traced, trained

FACTS = "csrms.json"
"""The file of facts inside the archive."""


def torch_program(run: RunDirectory, out: Path) -> str:
    """Write `out`, which `torch.export.load` reads: images (N, H, W, 3) uint8 -> probabilities (N, K), any N >= 1.

    Raises ConfigError for another ending than .pt2 and for an encoder that cannot be traced, CsrmsError where its
    answers are not the run's.
    """
    check_ending(out, ".pt2")
    classifier = trained(run)
    torch.export.save(traced(classifier, "torch"), out, extra_files={FACTS: json.dumps(facts_of(classifier.card))})
    program = torch.export.load(out).module()

    def answers(pixels: U8) -> F32:
        with torch.no_grad():
            found: F32 = program(torch.from_numpy(pixels)).numpy()
        return found

    said = checked(run, classifier, answers, "exported program")
    return (
        f"{said}\ntorch.export.load('{out.name}').module() answers images (N, H, W, 3) uint8 with probabilities (N, K)"
    )
