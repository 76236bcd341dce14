"""Where the features of drawn neighbours come from, by name. One file each."""

from __future__ import annotations

from collections.abc import Mapping

ENCODINGS: Mapping[str, str] = {
    "bank": "csrms_dist.methods.csrms.encoding.bank:Bank",
    "unique": "csrms_dist.methods.csrms.encoding.unique:Unique",
    "full": "csrms_dist.methods.csrms.encoding.full:Full",
}
