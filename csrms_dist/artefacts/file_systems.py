"""A URI -> a file system of pyarrow's and a path on it; what is shown of a URI, and what is never said."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from csrms_dist.errors import RunDirectoryError

OBJECT_STORES = ("s3", "gcs", "abfs")
"""Types of file systems without folders: an object appears at once and whole, where its last byte has come."""
CONNECT_S, REQUEST_S, ATTEMPTS = 5.0, 20.0, 3
"""Of one request to S3: to connect, without a byte, and tries of the library itself before ours."""
_KNOWN = ("region", "scheme", "endpoint_override")


@dataclass(frozen=True)
class Bucket:
    """Where the objects of a URI s3:// lie: for clients beside pyarrow's."""

    name: str
    region: str
    endpoint: str


def is_uri(named: str | Path) -> bool:
    """Whether a place is named by a URI and not by a path."""
    return "://" in str(named)


def joined(uri: str, *names: str) -> str:
    """A path, or a URI whose query stays behind, with names below it."""
    base, mark, query = uri.partition("?") if is_uri(uri) else (uri, "", "")
    return "/".join([base.rstrip("/"), *names]) + mark + query


def file_system(uri: str) -> tuple[pafs.FileSystem, str, Bucket | None]:
    """The file system that a URI names, the path on it, and its bucket where that is one of S3.

    Raises RunDirectoryError for a URI that no file system knows, and for one with a secret in it, which is not shown.
    """
    refuse_secret(uri)
    try:
        if urlsplit(uri).scheme == "s3":
            return _s3(uri)
        system, root = pafs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise RunDirectoryError(
            uri, got="a URI that no file system knows", expected="a local folder or a URI such as s3://bucket/runs"
        ) from error
    return system, root, None


def refuse_secret(uri: str) -> None:
    """Raise RunDirectoryError for a URI with a user or a password in it."""
    head, found, rest = uri.partition("://")
    place = rest.partition("/")[0]
    if found and "@" in place:
        raise RunDirectoryError(
            f"{head}://{rest.rpartition('@')[2].partition('?')[0]}", got="a secret in the URI",
            expected="it in the environment",
            remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what your store reads",
        )  # fmt: skip


def _s3(uri: str) -> tuple[pafs.FileSystem, str, Bucket]:
    """As pyarrow reads such a URI, with times that are bounded."""
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query))
    if unknown := [name for name in options if name not in _KNOWN]:
        raise RunDirectoryError(
            f"s3://{parts.netloc}{parts.path}", got=f"the option {unknown[0]}", expected=f"one of {', '.join(_KNOWN)}"
        )
    name = parts.netloc
    if not name:
        raise RunDirectoryError(uri, got="no bucket", expected="a URI such as s3://bucket/runs")
    endpoint = options.get("endpoint_override", "") or next(
        filter(None, (os.environ.get(key) for key in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))), ""
    )
    if endpoint and "://" not in endpoint:
        endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if not region and not endpoint:
        with contextlib.suppress(OSError):  # whatever does not answer is said by the first request
            region = pafs.resolve_s3_region(name)
    region = region or "us-east-1"
    given: dict[str, Any] = {"region": region}
    if endpoint:
        where = urlsplit(endpoint)
        given |= {"scheme": where.scheme, "endpoint_override": where.netloc + where.path.rstrip("/")}
    system = pafs.S3FileSystem(
        **given,
        connect_timeout=CONNECT_S,
        request_timeout=REQUEST_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,
    )
    return system, (name + parts.path).rstrip("/"), Bucket(name, region, endpoint)
