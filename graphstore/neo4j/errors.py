"""The errors of the driver and of the server, each as one sentence."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from csrms_dist.errors import StoreError, require
from graphstore.backend import columns_of_one_name

_BROKEN = "see the server's disk, and its log; then restart it (make neo4j-stop neo4j) and do the same again"
_CODES = (
    ("Security.Unauthorized", "the Neo4j server refuses the login", "check NEO4J_USERNAME and NEO4J_PASSWORD"),
    ("Security.AuthenticationRateLimit", "the Neo4j server refuses logins for a while", "wait, and check the password"),
    ("Security.CredentialsExpired", "the Neo4j server wants a new password", "change it once in Neo4j Browser"),
    (
        "Security.Forbidden",
        "the Neo4j server forbids this",
        "give the user of NEO4J_USERNAME the right to read and write",
    ),
    ("Database.DatabaseNotFound", "the Neo4j server has no such database", "check NEO4J_DATABASE"),
    ("TransactionTimedOut", "the query ran too long", "narrow it or add a LIMIT"),
    ("LockAcquisitionTimeout", "another transaction holds what is to be written", "try again when it is done"),
    ("Statement.SyntaxError", "syntax error in the query", "correct it; the graph's schema is in the documentation"),
    ("Statement.AccessMode", "the graph is read-only", "a run is changed by publishing another one"),
    ("MemoryPoolOutOfMemory", "the query needs more memory than the server gives", "narrow it or add a LIMIT"),
    ("StackOverFlow", "the query needs more memory than the server gives", "shorten it"),
    ("Database.DatabaseUnavailable", "the database is not available", "see the server's log: a full disk stops it"),
    ("Transaction.TransactionStartFailed", "the database stands still until a restart", _BROKEN),
    ("Transaction.TransactionCommitFailed", "the Neo4j server cannot write", _BROKEN),
    ("Transaction.TransactionLogError", "the Neo4j server cannot write its log", _BROKEN),
)


def meaning(error: BaseException, location: str) -> StoreError:
    """The driver's or the server's error as one sentence."""
    exceptions = require("neo4j").exceptions
    code, text = str(getattr(error, "code", None) or ""), one_line(error)
    if "result columns with the same name" in text:
        return columns_of_one_name()
    for needle, what, remedy in _CODES:
        if needle in code:
            return StoreError(what, got=f"'{text}'", remedy=remedy)
    if isinstance(error, exceptions.Neo4jError):
        full = "No space left" in text
        remedy = "free some space on the server's disk" if full else "change the query or its parameters"
        return StoreError("the query cannot be answered", got=f"'{text}'", remedy=remedy)
    causes = list(_causes(error))
    text = one_line(causes[-1])
    if any(isinstance(cause, (ssl.SSLError, exceptions.CertificateConfigurationError)) for cause in causes):
        return StoreError(
            f"no encrypted connection to {location}", got=f"'{text}'",
            remedy="the server must offer TLS with a certificate that this machine trusts; on this machine use bolt://",
        )  # fmt: skip
    unreachable = exceptions.ServiceUnavailable, exceptions.SessionExpired, exceptions.ConnectionPoolError, OSError
    if isinstance(error, unreachable):
        return StoreError(
            f"no answer from {location}", got=f"'{text}'",
            remedy="start the server (make neo4j) or check NEO4J_URI; what was published before is untouched",
        )  # fmt: skip
    return StoreError("the query cannot be answered", got=f"'{text}'", remedy="change the query or its parameters")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, the first cause last."""
    yield error
    before = [error.__cause__ or error.__context__, *getattr(error, "exceptions", ())]
    for cause in before:
        if cause is not None:
            yield from _causes(cause)


def one_line(error: BaseException) -> str:
    """The first line of an error's text, shortened."""
    text = str(getattr(error, "message", None) or error)
    return " ".join(text.split("\n")[0].split())[:300]
