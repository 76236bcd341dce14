"""An error as one sentence and an exit code: the command line prints it, the log of a run keeps it."""

from __future__ import annotations

from csrms_dist.basics.lookup import one_line, own_code
from csrms_dist.errors import ConfigError, CsrmsError


def sentence_of(error: BaseException) -> tuple[str, int]:
    """What a person is told of an error that ended a command, and the command's exit code."""
    if isinstance(error, CsrmsError):
        return str(error), error.exit_code
    if place := own_code(error):
        return f"your own code in {place}: got {one_line(error)}; correct it", ConfigError.exit_code
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}; --debug shows where", CsrmsError.exit_code
