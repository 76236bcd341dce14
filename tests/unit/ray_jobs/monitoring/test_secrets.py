"""Nothing that a log or a tracker keeps holds a secret."""

from __future__ import annotations

import pytest

from ray_jobs.monitoring.secrets import hidden, hide


@pytest.mark.parametrize(
    "name", ["NEO4J_PASSWORD", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "RAY_AUTH_TOKEN", "NEO4J_AUTH"]
)
def test_the_value_of_a_secret_variable_is_hidden_wherever_it_stands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "tr0ub4dor&3")
    assert hide("refused tr0ub4dor&3, twice: tr0ub4dor&3") == "refused ***, twice: ***"


@pytest.mark.parametrize("name", ["RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "AWS_ACCESS_KEY_ID", "HOME_DIR"])
def test_what_is_no_secret_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "token")
    assert hide("a token of the text") == "a token of the text"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:secret@bucket/runs?scheme=http", "s3://***@bucket/runs?scheme=http"),
        ("bolt://neo4j:pass@host:7687 refused", "bolt://***@host:7687 refused"),
        ("s3://bucket/x?access_key=a&secret_key=b&region=c", "s3://bucket/x?access_key=a&secret_key=***&region=c"),
        ("https://host/x?X-Amz-Signature=abc", "https://host/x?X-Amz-Signature=***"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
    ],
)
def test_credentials_in_uris_are_hidden(text: str, shown: str) -> None:
    assert hide(text) == shown


def test_nested_values_keep_their_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "abcdef")
    given = {"a": "x abcdef", "b": [1, "abcdef", None], "c": {"d": 0.5, "e": ("abcdef",)}}
    assert hidden(given) == {"a": "x ***", "b": [1, "***", None], "c": {"d": 0.5, "e": ["***"]}}
