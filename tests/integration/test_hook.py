"""The hook's test button tells the usual mistakes apart, and never raises."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.exceptions import TalkPilotTaskFailError
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.links.talkpilot import DASHBOARD_KEY
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.integration.chain import Chain
from tests.support.windows import long_window
from tests.unit.api.raw_server import RawServer

pytestmark = pytest.mark.usefixtures("environment")


def connection_test(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **fields: Any
) -> tuple[bool, str]:
    connection = json.dumps({**sandbox.connection, **fields})
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", connection)
    good, message = TalkPilotHook().test_connection()
    assert len(message.splitlines()) == 1
    assert sandbox.api_key not in message
    return good, message


def test_good(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.settings.patch(requests_per_minute=60)
    good, message = connection_test(sandbox, monkeypatch, extra={"quota_share": 0.5})
    assert good
    assert message == (
        f"TalkPilot responds at {sandbox.base_url} (version 1.0.0). The key can see 2 agent(s) and "
        "read their calls. Up to 30 request(s) a minute can be sent."
    )
    assert dict(sandbox.counters) == {"health": 1, "agents": 1, "calls": 1}


@pytest.mark.parametrize(
    ("rights", "says"),
    [
        (None, "unknown, inactive or expired"),
        ({"permissions": ["calls:read"]}, "agents:read"),
        ({"permissions": ["agents:read"]}, "calls:read"),
    ],
    ids=["unknown", "no agents:read", "no calls:read"],
)
def test_a_key_that_will_not_do(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, rights: dict[str, Any] | None, says: str
) -> None:
    key = sandbox.add_key("wanting", **rights or {})
    if rights is None:
        del sandbox.settings.api_keys[key]
    good, message = connection_test(sandbox, monkeypatch, password=key)
    assert not good
    assert says in message


def test_a_key_that_sees_no_agent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    key = sandbox.add_key("blind", allowed_agent_ids=[])
    good, message = connection_test(sandbox, monkeypatch, password=key)
    assert good
    assert "The key can see no agent" in message


def test_a_key_whose_hour_is_used_up(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.settings.patch(requests_per_hour=100, hour_seconds=long_window())
    sandbox.spend(100, sandbox.api_key)
    good, message = connection_test(sandbox, monkeypatch)
    assert not good
    assert message.startswith("The key's quota is used up until")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"host": "https://no-such-project.invalid/functions/v1/api/v1"}, "No response"),
        ({"extra": {"tries": 2.5}}, "tries: "),
        ({"extra": {"dashboard_url": "javascript:alert(1)"}}, "dashboard_url: "),
        ({"extra": "no json"}, "JSON"),
    ],
    ids=str,
)
def test_a_connection_that_cannot_work(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], says: str
) -> None:
    good, message = connection_test(sandbox, monkeypatch, **fields)
    assert not good
    assert says in message


def test_another_json_api(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(b'{"up": true}') as server:
        good, message = connection_test(sandbox, monkeypatch, host=server.url)
    assert not good
    assert "does not fit (status: Field required). Check the base URL" in message


@pytest.mark.parametrize("fault", ["status", "html", "no_pagination"])
def test_trouble_is_told_and_not_raised(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    sandbox.faults.add(fault, times=20)
    good, message = connection_test(sandbox, monkeypatch)
    assert message
    assert not good


def test_no_such_connection(chain: Chain) -> None:
    says = "There is no TalkPilot connection 'nowhere': create it"
    good, message = TalkPilotHook("nowhere").test_connection()
    assert not good
    assert message.startswith(says)
    with pytest.raises(TalkPilotTaskFailError, match=says):
        chain.extract(talkpilot_conn_id="nowhere")


def test_tasks_link_to_the_dashboard_that_the_connection_names(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DASHBOARD_KEY not in chain.extract().xcoms["summary"]
    address = "https://app.example.com/talkpilot"
    connection = {**chain.sandbox.connection, "extra": {"dashboard_url": address}}
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", json.dumps(connection))
    assert chain.extract().xcoms["summary"][DASHBOARD_KEY] == address


def test_agents_calls_and_a_call_for_code_of_ones_own(sandbox: Sandbox) -> None:
    agent_ids = sandbox.store.agent_ids
    with TalkPilotHook() as hook:
        assert {agent.id for agent in hook.get_agents()} == set(agent_ids)
        calls = [*hook.iter_calls("2026-03-16", "2026-03-18")]
        detail = hook.get_call(str(calls[0].agent_id), calls[0].id)
    truth = {call["id"]: call for call in sandbox.truth("2026-03-16", "2026-03-18")}
    assert {call.id for call in calls} == set(truth)
    assert len(calls) == len(truth)
    assert detail.transcript == truth[detail.id]["transcript"]
    assert sandbox.counters["agents"] == 2, "every agent: the list of agents again"
    assert sandbox.counters["detail"] == 1


def test_calls_of_named_agents_and_a_selection(sandbox: Sandbox) -> None:
    first, _ = sandbox.store.agent_ids
    day = dt.date(2026, 3, 16), dt.datetime(2026, 3, 17, tzinfo=dt.UTC)
    hook = TalkPilotHook()
    calls = [*hook.iter_calls(*day, [first])]
    # One agent, however often and in whatever form it is written, is walked once.
    done = [*hook.iter_calls(*day, [first, first.upper(), f" {first}"], done=True)]
    assert sandbox.counters["calls"] == 2
    assert [*hook.iter_calls(*day, first)] == calls
    with pytest.raises(ConfigurationError, match="empty list"):
        hook.iter_calls(*day, [])
    hook.close()
    assert {call.agent_id for call in calls} == {first}
    assert {call.id for call in done} == {call.id for call in calls if call.done}
    assert not sandbox.counters["agents"]


def test_a_list_that_moves_is_read_again(sandbox: Sandbox) -> None:
    """No call is given twice, and none is missing."""
    sandbox.reset(calls_per_day=300, days=1, agents=1)
    [agent] = sandbox.store.agent_ids
    day = "2026-03-16", "2026-03-17"
    late = "2026-03-16T12:00:00Z"
    sandbox.scripts.add("insert_late", after=1, agent_id=agent, created_at=late)
    with TalkPilotHook() as hook:
        found = [call.id for call in hook.iter_calls(*day)]
    assert sorted(found) == sorted(call["id"] for call in sandbox.truth(*day))
