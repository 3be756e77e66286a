"""``check`` names what is missing with its cure, ``plan`` what an interval costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_talkpilot.__main__ import main
from airflow_provider_talkpilot.staging.storage import list_entries, parse_uri
from tests.integration.chain import Chain
from tests.integration.sensing import Connect
from tests.integration.test_columns import keep_secret

Run = Callable[..., tuple[int, str]]
VARIABLE = "AIRFLOW_VAR_TALKPILOT_"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def run(chain: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; returns its exit code and its output."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # a command sets it for good
    monkeypatch.setenv(f"{VARIABLE}STAGING_URI", chain.staging_uri)
    monkeypatch.setenv(f"{VARIABLE}BIGQUERY_TABLE", chain.table)
    chain.sandbox.settings.patch(requests_per_minute=60, requests_per_hour=1000)

    def command(*arguments: str) -> tuple[int, str]:
        chain.sandbox.reset_counters()
        capsys.readouterr()
        try:
            main(arguments)
        except SystemExit as end:
            if isinstance(end.code, str):
                return 1, end.code
            return int(end.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    return command


def findings(out: str) -> dict[str, tuple[str, str]]:
    """Return state and message by part."""
    found = json.loads(out)
    assert found["ok"] == all(each["state"] != "missing" for each in found["findings"])
    assert all("\n" not in each["message"] for each in found["findings"])
    return {each["part"]: (each["state"], each["message"]) for each in found["findings"]}


def test_nothing_is_missing(chain: Chain, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out = run("check")
    assert code == 0
    lines = {line.split()[1]: line for line in out.splitlines()}
    assert all(line.startswith("ok ") for line in lines.values())
    assert "60 request(s) a minute; 1,000 an hour" in lines["limits"]
    assert "the first load creates the dataset" in lines["table"].lower()
    assert chain.sandbox.counters == {"health": 1, "agents": 1, "calls": 1, "performance": 1}
    assert not list_entries(parse_uri(chain.staging_uri))
    keep_secret(monkeypatch)
    monkeypatch.setenv(f"{VARIABLE}COLUMNS", '{"note": "hash"}')
    chain.extract_options = {"columns": {"note": "hash"}}
    chain.run()
    assert "fits. Its dataset is in US" in findings(run("check", "--json")[1])["table"][1]


@pytest.mark.parametrize(
    ("rights", "variables", "wanted"),
    [
        ({"permissions": ["calls:read", "performance:read"]}, {}, {"agents": "agents:read"}),
        ({"permissions": ["agents:read", "performance:read"]}, {}, {"calls": "calls:read"}),
        ({"allowed_agent_ids": []}, {}, {"agents": "add agents to the key"}),
        ({}, {"AGENT_IDS": f'["{UNKNOWN}"]'}, {"agents": UNKNOWN, "calls": "agent"}),
        (
            {"permissions": ["agents:read", "calls:read"]},
            {"PERFORMANCE": "required"},
            {"performance": "performance:read"},
        ),
        ({}, {"STAGING_URI": ""}, {"staging": "talkpilot_staging_uri"}),
        ({}, {"STAGING_URI": "/proc/none"}, {"staging": "Cannot write"}),
        ({}, {"BIGQUERY_TABLE": "calls"}, {"table": "project.dataset.table"}),
        ({}, {"BIGQUERY_LOCATION": "EU"}, {"table": "leave location empty"}),
        ({}, {"AGENT_IDS": "[]"}, {"Variables": "empty list"}),
        ({}, {"COLUMNS": '{"note": "hash"}'}, {"table": "talkpilot_hash"}),
        ({}, {"RECORDINGS_URI": "/proc/none"}, {"recordings": "Cannot write"}),
    ],
    ids=str,
)
def test_what_is_missing_is_named_with_its_cure(
    chain: Chain,
    run: Run,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    rights: dict[str, Any],
    variables: dict[str, str],
    wanted: dict[str, str],
) -> None:
    chain.bigquery.create_dataset(chain.table.rpartition(".")[0])
    key = chain.sandbox.add_key("wanting", **rights)
    connect(password=key)
    for name, value in variables.items():
        monkeypatch.setenv(f"{VARIABLE}{name}", value)
    code, out = run("check", "--json")
    missing = {part: text for part, (state, text) in findings(out).items() if state == "missing"}
    assert code == 1
    assert {part: text for part, text in wanted.items() if text not in missing.get(part, "")} == {}
    assert key not in out


def test_without_a_connection_or_a_key_the_rest_is_checked(
    chain: Chain, run: Run, connect: Connect
) -> None:
    code, out = run("check", "--json", "--conn-id", "nowhere", "--gcp-conn-id", "neither")
    found = findings(out)
    assert code == 1
    states = {part: state for part, (state, _) in found.items()}
    assert states == {"connection": "missing", "staging": "ok", "table": "missing"}
    assert "docs/connection.md" in found["connection"][1]
    assert not chain.sandbox.counters
    connect(password="tp_live_" + "0" * 32)
    assert "unknown, inactive or expired" in findings(run("check", "--json")[1])["agents"][1]


def test_a_note_is_not_missing(
    chain: Chain, run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = chain.sandbox.add_key("calls alone", permissions=["agents:read", "calls:read"])
    connect(password=key, login="me")
    code, out = run("check")
    assert code == 0
    notes = [line.split()[1] for line in out.splitlines() if line.startswith("note")]
    assert notes == ["connection", "performance"]
    rights = ["calls:read", "performance:read"]
    connect(password=chain.sandbox.add_key("named", permissions=rights))
    monkeypatch.setenv(f"{VARIABLE}AGENT_IDS", json.dumps(chain.sandbox.store.agent_ids))
    monkeypatch.setenv(f"{VARIABLE}PERFORMANCE", "off")
    found = findings(run("check", "--json")[1])
    assert (found["agents"][0], "performance" in found) == ("note", False)


def test_a_plan_is_a_runs_cost(chain: Chain, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.sandbox.reset(calls_per_day=250, days=1, agents=2)
    chain.sandbox.settings.patch(requests_per_minute=60, requests_per_hour=200)
    bounds = ("plan", "--from", "2026-03-16", "--to", "2026-03-17")
    code, out = run(*bounds, "--json")
    assert code == 0
    found = json.loads(out)
    assert dict(chain.sandbox.counters) == {"agents": 1, "calls": 2}
    assert found["calls"] == 250
    chain.sandbox.settings.patch(requests_per_minute=None, requests_per_hour=None)
    chain.sandbox.reset_counters()
    chain.extract()
    spent = chain.sandbox.counters
    assert found["requests"] == {
        "agents": spent["agents"],
        "calls": spent["calls"],
        "performance": spent["calls"],
        "details": 250,
        "total": spent["agents"] + 2 * spent["calls"] + 250,
    }
    monkeypatch.setenv(f"{VARIABLE}COLUMNS", '{"transcript": "drop", "final_score": "drop"}')
    assert json.loads(run(*bounds, "--json")[1])["requests"]["details"] == 0
    monkeypatch.setenv(f"{VARIABLE}RECORDINGS_URI", f"{chain.staging_uri}/recordings")
    assert json.loads(run(*bounds, "--json")[1])["requests"]["details"] == 250
    monkeypatch.setenv(f"{VARIABLE}COLUMNS", "")
    monkeypatch.setenv(f"{VARIABLE}DETAILS", "by_webhook")
    monkeypatch.setenv(f"{VARIABLE}PERFORMANCE", "off")
    _, out = run(*bounds, "--agent-id", chain.sandbox.store.agent_ids[0])
    assert "request(s) for the list of agents" in out
    assert dict(chain.sandbox.counters) == {"calls": 1}


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [("2026-03-17", "2026-03-16", "is reversed"), ("2026-03-16", "2126-03-16", "in the future")],
)
def test_a_plan_of_no_interval(chain: Chain, run: Run, start: str, end: str, reason: str) -> None:
    code, out = run("plan", "--from", start, "--to", end)
    assert (code, reason in out, len(out.splitlines())) == (1, True, 1)
    assert not chain.sandbox.counters
