"""The layouts by name: the words of `data.dataset`, each a `LayoutFormat`, which is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping

LAYOUTS: Mapping[str, str] = {
    "digits": "csrms_dist.datasets.layouts.digits:LAYOUT",
    "digit_pairs": "csrms_dist.datasets.layouts.digit_pairs:LAYOUT",
    "cifar": "csrms_dist.datasets.layouts.cifar:LAYOUT",
    "folders": "csrms_dist.datasets.layouts.folders:LAYOUT",
    "parquet": "csrms_dist.datasets.layouts.parquet:LAYOUT",
    "csv": "csrms_dist.datasets.layouts.csv_table:LAYOUT",
    "manifest": "csrms_dist.datasets.layouts.manifest:LAYOUT",
    "vireofood172": "csrms_dist.datasets.layouts.vireofood172:LAYOUT",
    "nus_wide": "csrms_dist.datasets.layouts.nus_wide:LAYOUT",
}
