"""A connection given as a URI, as JSON or in the form: what the hook uses, and what it warns of."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook

KEY = "tp_live_0123456789abcdef0123456789abcdef"
NOW = "https://api.talkpilot.io/v1"
SUPABASE = "https://ref.supabase.co/functions/v1/api/v1"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Create a client of a connection; return its base URL and the line that the hook warned."""

    def connect(connection: str | dict[str, Any]) -> tuple[str, str]:
        text = connection if isinstance(connection, str) else json.dumps(connection)
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", text)
        capsys.readouterr()
        with TalkPilotHook().get_conn() as client:
            base_url = client.base_url
        logged = capsys.readouterr().out
        assert KEY not in logged
        lines = re.findall(r"The connection .*? has fields that are not used: .*\.", logged)
        assert len(lines) <= 1
        return base_url, lines[0] if lines else ""

    return connect


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        (f"talkpilot://:{KEY}@api.talkpilot.io/v1", NOW),
        (f"talkpilot://:{KEY}@API.TalkPilot.io/v1?requests_per_minute=30&quota_share=0.5", NOW),
        (f"talkpilot://:{KEY}@api.talkpilot.io/v1?__extra__=%7B%22tries%22%3A+3%7D", NOW),
        (f"talkpilot://https://:{KEY}@api.talkpilot.io/v1", NOW),
        (f"talkpilot://:{KEY}@api.talkpilot.io:8443/v1", "https://api.talkpilot.io:8443/v1"),
        (f"talkpilot://:{KEY}@ref.supabase.co/functions/v1/api/v1", SUPABASE),
        (f"talkpilot://http://:{KEY}@127.0.0.1:8971/v1", "http://127.0.0.1:8971/v1"),
        (f"talkpilot://:{KEY}@http%3A%2F%2F127.0.0.1%3A8971%2Fv1", "http://127.0.0.1:8971/v1"),
    ],
)
def test_every_part_of_a_uri_is_used(connect: Any, uri: str, base_url: str) -> None:
    assert connect(uri) == (base_url, "")


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": NOW}, NOW),
        ({"host": "api.talkpilot.io", "schema": "v1"}, NOW),
        ({"host": "https://api.talkpilot.io/", "schema": "/v1/"}, NOW),
        ({"host": NOW, "schema": "https", "port": 443}, "https://api.talkpilot.io/v1"),
        ({"host": "https://API.talkpilot.io//v1//"}, NOW),
        ({"host": "//api.talkpilot.io/v1"}, NOW),
        ({"host": "127.0.0.1:8971/v1", "schema": "http"}, "http://127.0.0.1:8971/v1"),
        ({"host": "api.talkpilot.io", "extra": {"tries": "", "gone": None, "old": ""}}, NOW),
    ],
    ids=str,
)
def test_fields_complete_each_other(connect: Any, fields: dict[str, Any], base_url: str) -> None:
    assert connect({"conn_type": "talkpilot", "password": KEY, **fields}) == (base_url, "")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"schema": "v2"}, ["schema"]),
        ({"host": "https://api.talkpilot.io:444/v1", "port": 443}, ["port"]),
        ({"login": "me"}, ["login"]),
        ({"extra": {"request_per_minute": 5}}, ["extra request_per_minute", "requests_per_minute"]),
        ({"extra": {"retry": 1, "shore": 2}, "login": "me"}, ["login, extra retry, extra shore"]),
        ({"extra": {KEY: "x"}}, ["tp_live_…"]),
    ],
    ids=str,
)
def test_one_line_names_the_unused(connect: Any, fields: dict[str, Any], named: list[str]) -> None:
    base_url, line = connect({"conn_type": "talkpilot", "host": NOW, "password": KEY, **fields})
    assert base_url.startswith("https://api.talkpilot.io")
    assert line.startswith("The connection 'talkpilot_default' has fields that are not used: ")
    assert all(name in line for name in named)


CONNECTION = {"conn_type": "talkpilot", "host": NOW, "password": KEY}


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        (f"talkpilot://{KEY}@api.talkpilot.io/v1", "is in its login, which.*password"),
        (f"talkpilot://api.talkpilot.io/v1?X-API-Key={KEY}", "in its extra X-API-Key,.*password"),
        (f"talkpilot://api.talkpilot.io/{KEY}", "is in its schema, which.*password"),
        (f"talkpilot://{KEY}/v1", "It has an API key in it"),
        ("{", "Airflow cannot read the connection .* AIRFLOW_CONN_TALKPILOT_DEFAULT in the env"),
        ({"unknown_field": 1}, "AIRFLOW_CONN_TALKPILOT_DEFAULT in the environment is neither"),
        ({"password": 5}, "AIRFLOW_CONN_TALKPILOT_DEFAULT in the environment is neither"),
        ("", "There is no TalkPilot connection"),
        ({"host": "https:/api.talkpilot.io/v1"}, "The base URL 'https:/.* is no address"),
        ({"host": "https//api.talkpilot.io/v1"}, "The base URL 'https//api.* is no address"),
        ({"host": "ftp://api.talkpilot.io/v1"}, "The base URL 'ftp://.* is no address"),
        ({"extra": {"tries": True}}, "tries: .*no true or false"),
        ({"extra": {"quota_share": True}}, "quota_share: .*no true or false"),
        ({"extra": {"timeout": 1e12}}, "timeout: .*less than or equal"),
        ({"extra": "{'tries': 3}"}, "extra .* is no JSON object"),
    ],
    ids=str,
)
def test_a_connection_that_cannot_work_is_an_error_that_names_the_cause(
    connect: Any, connection: str | dict[str, Any], message: str
) -> None:
    given = connection if isinstance(connection, str) else CONNECTION | connection
    with pytest.raises(ConfigurationError, match=message) as caught:
        connect(given)
    assert KEY not in str(caught.value)


def test_a_uri_that_airflow_cannot_read_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"talkpilot://:{KEY}@https://api.talkpilot.io/v1"
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", uri)
    for make in (TalkPilotHook().get_conn, lambda: asyncio.run(TalkPilotHook().get_async_conn())):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - Airflow's, or ours
            make()
        assert KEY not in str(caught.value)
    good, message = TalkPilotHook().test_connection()
    assert not good
    assert KEY not in message


def test_options_of_a_uri_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Airflow reads them as numbers, the other as texts."""
    uri = (
        f"talkpilot://:{KEY}@api.talkpilot.io/v1?dashboard_url=https%3A%2F%2Fapp.example%2Fx&tries="
    )
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", uri + "0")
    with pytest.raises(ConfigurationError, match=r"has an option that cannot be.*tries: "):
        TalkPilotHook().get_conn()
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", uri + "2")
    assert TalkPilotHook().fields.options.dashboard_url == "https://app.example/x"
