"""docs/connection.md names every field as the form does, and quotes what the code says."""

from __future__ import annotations

import configparser
import json
import re
from importlib import import_module

import pytest

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.http.address import BASE_URL_SHAPE
from airflow_provider_talkpilot.hooks.connection_form import EXTRAS, FIELD_BEHAVIOUR
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from tests.support.docs import DOCS, code, section, table
from tests.unit.test_docs import literals

TEXT = (DOCS / "connection.md").read_text(encoding="utf-8")
FIELDS = table(section(TEXT, "Fields"))
MESSAGES = [row[0] for row in table(section(TEXT, "The test button"))]


def test_every_field_is_there_with_its_label() -> None:
    labels = {name: label for name, label, *_ in FIELDS}
    assert labels == FIELD_BEHAVIOUR["relabeling"] | {
        f"extra.{name}": extra.label for name, extra in EXTRAS.items()
    }


def test_the_defaults_are_the_clients() -> None:
    defaults = TalkPilotClient.__init__.__kwdefaults__ or {}
    written = {name: default for name, *_, default in FIELDS}
    for name in ("timeout", "connect_timeout", "tries"):
        assert float(written[f"extra.{name}"]) == defaults[name]
        assert f" {defaults[name]:g}." in EXTRAS[name].description


def test_json_and_uri_make_the_same_client(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    *exports, _ = code(TEXT, "sh")
    given = [value for text in exports for value in re.findall(r"='(.*?)'\n", text, re.DOTALL)]
    assert [value.partition(":")[0] for value in given] == ['{\n  "conn_type"', "talkpilot"]
    for value in given:
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", value)
        with TalkPilotHook().get_conn() as client:
            assert client.base_url == FIELD_BEHAVIOUR["placeholders"]["host"] == BASE_URL_SHAPE
    assert "not used" not in capsys.readouterr().out


def test_the_secrets_backend_is_one() -> None:
    [text] = code(TEXT, "ini")
    parser = configparser.ConfigParser()
    parser.read_string(text)
    module, _, name = parser["secrets"]["backend"].rpartition(".")
    backend = getattr(import_module(module), name)
    for argument in json.loads(parser["secrets"]["backend_kwargs"]):
        assert argument in backend.__init__.__code__.co_varnames


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_answer_is_in_the_source(message: str) -> None:
    for quoted in message.split("` … `"):
        pattern = ".*".join(re.escape(part) for part in quoted.split("…"))
        assert re.search(pattern, literals()), quoted
