"""Texts without the secrets that this process knows, for what others will read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_KEY|_AUTH$", re.IGNORECASE)
_NO_SECRET = re.compile(r"_(ID|PATH|FILE|MODE|DIR|URL)$", re.IGNORECASE)
_SHORT = 4
"""A shorter value is no secret worth the name, and would hide parts of other words."""
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(?i)([?&;\s][\w-]*(?:password|secret|token|signature|credential)\w*=)[^&;\s'\"]+")


def hide(text: str) -> str:
    """The text without credentials in URIs and without the values of variables whose names promise a secret."""
    for name, value in os.environ.items():
        if len(value) >= _SHORT and _SECRET.search(name) and not _NO_SECRET.search(name):
            text = text.replace(value, HIDDEN)
    return _QUERY.sub(rf"\g<1>{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))


def hidden(value: Any) -> Any:
    """The same nested plain value with every text hidden; keys stay."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {key: hidden(inner) for key, inner in value.items()}
    return [hidden(inner) for inner in value] if isinstance(value, list | tuple) else value
