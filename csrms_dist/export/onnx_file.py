"""The plain path as an ONNX file, for onnxruntime and others; optional packages write it and check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32, U8
from csrms_dist.errors import ConfigError, require
from csrms_dist.export.plain_path import (
    COUNT,
    IMAGES,
    PROBABILITIES,
    check_ending,
    checked,
    facts_of,
    traced,
    trained,
)

EXTRA = "export"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MOST = 2**31 - 2**20
"""Bytes of weights in a file, whose format counts to 2^31, and beside them there is a little more."""


def onnx_file(run: RunDirectory, out: Path) -> str:
    """Write `out`: images (N, H, W, 3) uint8 -> probabilities (N, K), any N >= 1; facts in its metadata.

    Raises ConfigError for another ending than .onnx and for an encoder that cannot be traced, MissingDependencyError
    without the packages, CsrmsError where its answers are not the run's.
    """
    check_ending(out, ".onnx")
    *_, onnxruntime = (require(package, EXTRA) for package in PACKAGES)
    classifier = trained(run)
    size = sum(value.nbytes for value in classifier.model.state_dict().values())
    if size >= MOST:
        raise ConfigError(
            "--as onnx", got=f"a model of {size / 2**30:.1f} GiB", expected="less than 2, the most that one file holds",
            remedy="use --as torch",
        )  # fmt: skip
    program: Any = torch.onnx.export(
        traced(classifier, "onnx"),
        dynamo=True,
        input_names=[IMAGES],
        output_names=[PROBABILITIES],
        dynamic_shapes={IMAGES: {0: torch.export.Dim(COUNT)}},  # names the free number, which the program has
        verbose=False,
    )
    program.model.metadata_props.update(facts_of(classifier.card))
    program.save(out)
    said = checked(run, classifier, _session(onnxruntime, out), "exported ONNX file")
    return f"{said}\ninput {IMAGES} (N, H, W, 3) uint8, output {PROBABILITIES} (N, K) float32"


def _session(onnxruntime: Any, path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def answers(pixels: U8) -> F32:
        [found] = session.run([PROBABILITIES], {IMAGES: pixels})
        values: F32 = found
        return values

    return answers
