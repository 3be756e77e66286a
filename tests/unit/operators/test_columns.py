"""Choices and tags as users and templates give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.operators.columns import resolve_columns, resolve_object
from airflow_provider_talkpilot.staging.errors import ColumnChoiceError

SECRET = "0123456789abcdef" * 4
EXAMPLE = '{"phone_number": "hash"}'


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def change(password: str | None, name: str = "TALKPILOT_HASH") -> None:
        connection = {"conn_type": "generic", "password": password}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))

    return change


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, {}),
        ("", {}),
        ("  \n", {}),
        ("null", {}),
        ("{}", {}),
        ({}, {}),
        ({"note": "drop"}, {"note": "drop"}),
        (' {"note": "drop"} ', {"note": "drop"}),
    ],
)
def test_objects(given: Any, found: dict[str, str]) -> None:
    assert resolve_object("columns", given, EXAMPLE) == found


@pytest.mark.parametrize(
    "given",
    [
        "drop",
        "[]",
        '["note"]',
        '{"note": "drop"',
        "{'note': 'drop'}",
        '{"note": "drop", "note": "keep"}',
        "[" * 100_000,
        5,
        True,
        ["note"],
    ],
    ids=lambda given: str(given)[:40],
)
def test_no_objects(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^columns is no JSON object.*write") as caught:
        resolve_object("columns", given, EXAMPLE)
    assert EXAMPLE in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_secret_is_the_connections_password(connect: Any) -> None:
    connect(SECRET)
    connect(SECRET[::-1], "ANOTHER")
    default, another, again = (
        resolve_columns('{"note": "hash"}', name)
        for name in ("talkpilot_hash", "another", "talkpilot_hash")
    )
    assert default.recorded == again.recorded != another.recorded


def test_no_secret_is_asked_for_where_nothing_is_hashed() -> None:
    assert resolve_columns({"note": "drop"}, "no_such_connection").recorded == {"note": "drop"}
    assert resolve_columns("", "").recorded == {}


@pytest.mark.parametrize("name", ["no_such_connection", ""])
def test_no_connection(name: str) -> None:
    with pytest.raises(ColumnChoiceError, match=r"no connection .*openssl rand -hex 32") as caught:
        resolve_columns({"note": "hash"}, name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("password", [None, "", "short", SECRET[:31]])
def test_no_secret(connect: Any, password: str | None) -> None:
    connect(password)
    with pytest.raises(ColumnChoiceError, match="needs 32 at least") as caught:
        resolve_columns({"note": "hash"}, "talkpilot_hash")
    assert not password or password not in str(caught.value)


def test_choices_are_checked_before_the_secret() -> None:
    with pytest.raises(ColumnChoiceError, match="no column"):
        resolve_columns({"phone": "hash"}, "no_such_connection")
