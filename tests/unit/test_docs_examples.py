"""The documents' Python and settings run as they stand."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_talkpilot.api.http.address import BASE_URL_SHAPE
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.resync.days import ResyncState
from airflow_provider_talkpilot.resync.look_backs import parse_look_backs
from benchmarks.year import report
from tests.support.docs import DOCS, code, read

BLOCKS = [
    pytest.param(block, id=f"{path.stem} {number}")
    for path in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(code(path.read_text(encoding="utf-8"), "python"))
]


# Airflow 2 looks for an asset's alias in its database, and unit tests have none.
@pytest.mark.airflow3
@pytest.mark.parametrize("block", BLOCKS)
def test_the_python_runs(block: str) -> None:
    names: dict[str, Any] = {"secret": "0123456789abcdef"}
    with DAG("docs", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        exec(compile(block, "docs", "exec"), names)


def test_json_and_uri_make_the_same_client(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    *exports, _ = code(read("connection"), "sh")
    given = [value for text in exports for value in re.findall(r"='(.*?)'\n", text, re.DOTALL)]
    assert [value.partition(":")[0] for value in given] == ['{\n  "conn_type"', "talkpilot"]
    for value in given:
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", value)
        with TalkPilotHook().get_conn() as client:
            assert client.base_url == BASE_URL_SHAPE
    assert "not used" not in capsys.readouterr().out


def test_look_backs_and_the_state_of_the_resync_can_be_read() -> None:
    text = read("resync")
    examples = re.findall(r"\[\{\"days.+?\}\]", text)
    assert all(parse_look_backs(example) for example in examples)
    year, kept = code(text, "json")
    longest = max(parse_look_backs(year))
    assert longest.days + 1 - longest.every >= 366
    assert json.loads(str(ResyncState.parse(kept))) == json.loads(kept)
    for light in re.findall(r"'(\[\{.+?\}\])'", read("scale")):
        assert parse_look_backs(light) == report.LIGHT
