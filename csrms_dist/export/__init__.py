"""Export of a trained run for use without this project; `EXPORTS` names the forms, the words of `csrms export --as`."""

from __future__ import annotations

from collections.abc import Mapping

EXPORTS: Mapping[str, str] = {
    "timm": "csrms_dist.export.weights:timm_classifier",
    "safetensors": "csrms_dist.export.weights:whole_classifier",
    "onnx": "csrms_dist.export.onnx_file:onnx_file",
    "torch": "csrms_dist.export.program:torch_program",
    "pyg": "csrms_dist.interop.pyg:export",
    "dgl": "csrms_dist.interop.dgl_graph:export",
}
"""Each a function (run: RunDirectory, out: Path) -> a text to print. It writes `out`, a file or a folder, which is not
there yet; what it raises leaves nothing."""
