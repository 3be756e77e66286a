"""A connection given as a URI, as JSON or in the form: what is used, and what else is named."""

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
def warned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Makes a client of a connection; gives its base URL, and the one line that was warned."""

    def connect(connection: str | dict[str, Any]) -> tuple[str, str]:
        given = connection if isinstance(connection, str) else json.dumps(connection)
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", given)
        capsys.readouterr()
        with TalkPilotHook().get_conn() as client:
            found = client.base_url
        logged = capsys.readouterr().out
        assert KEY not in logged
        lines = re.findall(r"The connection .*? has what is not used: .*\.", logged)
        assert len(lines) <= 1
        return found, lines[0] if lines else ""

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
def test_a_uri_is_used_whole(warned: Any, uri: str, base_url: str) -> None:
    assert warned(uri) == (base_url, "")


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
def test_fields_that_complete_or_repeat_each_other(
    warned: Any, fields: dict[str, Any], base_url: str
) -> None:
    assert warned({"conn_type": "talkpilot", "password": KEY, **fields}) == (base_url, "")


@pytest.mark.parametrize(
    ("fields", "names"),
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
def test_what_is_not_used_is_named_in_one_line(
    warned: Any, fields: dict[str, Any], names: list[str]
) -> None:
    base_url, line = warned({"conn_type": "talkpilot", "host": NOW, "password": KEY, **fields})
    assert base_url.startswith("https://api.talkpilot.io")
    assert line.startswith("The connection 'talkpilot_default' has what is not used: ")
    for name in names:
        assert name in line


@pytest.mark.parametrize(
    ("connection", "place"),
    [
        (f"talkpilot://{KEY}@api.talkpilot.io/v1", "login"),
        (f"talkpilot://api.talkpilot.io/v1?X-API-Key={KEY}", "extra X-API-Key"),
        (f"talkpilot://api.talkpilot.io/{KEY}", "schema"),
    ],
)
def test_a_key_in_the_wrong_field_is_an_error_that_names_it(
    warned: Any, connection: str, place: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"is in its {place}, which.*password") as caught:
        warned(connection)
    assert KEY not in str(caught.value)


def test_a_key_for_a_host_is_an_error(warned: Any) -> None:
    with pytest.raises(ConfigurationError, match="It has an API key in it") as caught:
        warned(f"talkpilot://{KEY}/v1")
    assert KEY not in str(caught.value)


CONNECTION = {"conn_type": "talkpilot", "host": NOW, "password": KEY}


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        ("{", "Airflow cannot read the connection .* AIRFLOW_CONN_TALKPILOT_DEFAULT in the env"),
        ({"unknown_field": 1}, "AIRFLOW_CONN_TALKPILOT_DEFAULT in the environment is neither"),
        ({"password": 5}, "AIRFLOW_CONN_TALKPILOT_DEFAULT in the environment is neither"),
        ("", "There is no TalkPilot connection"),
        ({"host": "https:/api.talkpilot.io/v1"}, "The base URL 'https:/.* is no address"),
        ({"host": "https//api.talkpilot.io/v1"}, "The base URL 'https//api.* is no address"),
        ({"extra": {"tries": True}}, "tries: .*no true or false"),
        ({"extra": {"quota_share": True}}, "quota_share: .*no true or false"),
        ({"extra": {"timeout": 1e12}}, "timeout: .*less than or equal"),
        ({"extra": "{'tries': 3}"}, "extra .* is no JSON object"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_told_by_its_cause(
    warned: Any, connection: str | dict[str, Any], says: str
) -> None:
    given = connection if isinstance(connection, str) else CONNECTION | connection
    with pytest.raises(ConfigurationError, match=says) as caught:
        warned(given)
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


def test_options_of_a_uri_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers come as numbers on one Airflow, as texts on the other."""
    uri = f"talkpilot://:{KEY}@api.talkpilot.io/v1?dashboard_url=https%3A%2F%2Fapp.example%2Fx&tries=0"
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", uri)
    with pytest.raises(ConfigurationError, match=r"has an option that cannot be.*tries: "):
        TalkPilotHook().get_conn()
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", uri.replace("tries=0", "tries=2"))
    assert TalkPilotHook().dashboard_url() == "https://app.example/x"
