"""Objects of S3 that are put only where they still are what was read: pyarrow overwrites, whatever it is told.

Needs the package obstore, the extra `s3`. Without it two writers are told apart by what is read back, a moment later,
so that the later of two that write in the same moment may win unnoticed.
"""

from __future__ import annotations

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.file_systems import CONNECT_S, REQUEST_S, Bucket

_RETRIES = 2


class ConditionalPuts:
    """Puts of one bucket, each refused by the store itself where somebody else was faster."""

    def __init__(self, bucket: Bucket) -> None:
        from obstore.store import S3Store

        options: Any = {"timeout": f"{REQUEST_S:.0f}s", "connect_timeout": f"{CONNECT_S:.0f}s"}
        given: dict[str, Any] = {"region": bucket.region}
        if bucket.endpoint:
            given["endpoint"] = bucket.endpoint
            options["allow_http"] = bucket.endpoint.startswith("http://")
        retry: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=REQUEST_S)}
        self._store = S3Store(bucket.name, client_options=options, retry_config=retry, **given)

    def put(self, key: str, data: bytes, before: bytes | None) -> bool:
        """Put an object where there is none, or where it still is `before`; whether that was so.

        A put whose answer was lost counts as done where the object is there.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        found, tag = self._get(key)
        if found == data:
            return True
        if found != before:
            return False
        try:
            self._store.put(key, data, mode="create" if before is None else {"e_tag": tag})
        except (AlreadyExistsError, PreconditionError):
            return self._get(key)[0] == data
        return True

    def _get(self, key: str) -> tuple[bytes | None, str | None]:
        try:
            answer = self._store.get(key)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None, None
        return bytes(answer.bytes()), answer.meta["e_tag"]


def conditional_puts(bucket: Bucket | None) -> ConditionalPuts | None:
    """Where the store, the package and the credentials allow them; a client of its own reads no file of profiles."""
    profiles = "AWS_ACCESS_KEY_ID" not in os.environ and (Path.home() / ".aws" / "credentials").exists()
    if bucket is None or profiles or find_spec("obstore") is None:
        return None
    return ConditionalPuts(bucket)
