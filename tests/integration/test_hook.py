"""The test button tells the usual mistakes apart and never raises; methods read calls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from airflow_provider_talkpilot.api.errors import ConfigurationError, InvalidRecordError
from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.links.talkpilot import DASHBOARD_KEY
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.integration.chain import Chain, refused
from tests.integration.sensing import Connect
from tests.support.windows import long_window
from tests.unit.api.raw_server import RawServer

pytestmark = pytest.mark.usefixtures("environment")

Check = Callable[..., tuple[bool, str]]


@pytest.fixture
def check(sandbox: Sandbox, connect: Connect) -> Check:
    """Set the connection and press the test button."""

    def check(**fields: Any) -> tuple[bool, str]:
        connect(**fields)
        is_good, message = TalkPilotHook().test_connection()
        assert len(message.splitlines()) == 1
        assert sandbox.api_key not in message
        return is_good, message

    return check


def test_a_good_connection(sandbox: Sandbox, check: Check) -> None:
    sandbox.settings.patch(requests_per_minute=60)
    is_good, message = check(extra={"quota_share": 0.5})
    assert is_good
    assert message == (
        f"TalkPilot responds at {sandbox.base_url} (version 1.0.0). The key can see 2 agent(s). "
        "The key can read calls. 30 request(s) a minute; 1,000 an hour (TalkPilot's default, for "
        "the connection names no other)."
    )
    assert dict(sandbox.counters) == {"health": 1, "agents": 1, "calls": 1}


@pytest.mark.parametrize(
    ("rights", "text"),
    [
        ({"active": False}, "unknown, inactive or expired"),
        ({"permissions": ["calls:read"]}, "agents:read"),
        ({"permissions": ["agents:read"]}, "calls:read"),
        ({"allowed_agent_ids": []}, "The key can see no agent"),
    ],
    ids=str,
)
def test_a_key_of_few_rights(
    sandbox: Sandbox, check: Check, rights: dict[str, Any], text: str
) -> None:
    is_good, message = check(password=sandbox.add_key("few rights", **rights))
    assert not is_good
    assert text in message


def test_a_key_whose_hour_is_used_up(sandbox: Sandbox, check: Check) -> None:
    sandbox.settings.patch(requests_per_hour=100, hour_seconds=long_window())
    sandbox.spend(100, sandbox.api_key)
    is_good, message = check()
    assert not is_good
    assert message.startswith("The key's quota is used up until")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"host": "https://no-such-project.invalid/functions/v1/api/v1"}, "No response"),
        ({"extra": {"tries": 2.5}}, "tries: "),
        ({"extra": {"dashboard_url": "javascript:alert(1)"}}, "dashboard_url: "),
        ({"extra": "no json"}, "JSON"),
    ],
    ids=str,
)
def test_a_connection_that_cannot_work(check: Check, fields: dict[str, Any], text: str) -> None:
    is_good, message = check(**fields)
    assert not is_good
    assert text in message


def test_another_json_api(check: Check) -> None:
    with RawServer(b'{"up": true}') as server:
        is_good, message = check(host=server.url)
    assert not is_good
    assert "does not fit (status: Field required). Check the base URL" in message


@pytest.mark.parametrize("fault", ["status", "html", "no_pagination"])
def test_the_server_fails(sandbox: Sandbox, check: Check, fault: Any) -> None:
    sandbox.faults.add(fault, times=20)
    is_good, message = check()
    assert message
    assert not is_good


def test_no_such_connection(chain: Chain) -> None:
    text = "There is no TalkPilot connection 'nowhere': create it"
    is_good, message = TalkPilotHook("nowhere").test_connection()
    assert not is_good
    assert message.startswith(text)
    # Airflow says the same while its secrets backend is down: the next try may find it.
    extract = partial(chain.extract, talkpilot_conn_id="nowhere")
    refused(extract, text, "secrets backend", kind=TalkPilotTaskError)


def test_a_task_reads_its_connection_once(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading is a request to Airflow's API, or to a secrets backend."""
    names, read = list[str](), TalkPilotHook.get_connection

    def count(name: str) -> Any:
        names.append(name)
        return read(name)

    monkeypatch.setattr(TalkPilotHook, "get_connection", staticmethod(count))
    chain.extract(phone_number="+49")
    assert names == ["talkpilot_default"]


def test_tasks_link_to_the_dashboard_of_the_connection(chain: Chain, connect: Connect) -> None:
    assert DASHBOARD_KEY not in chain.extract().xcoms["summary"]
    address = "https://app.example.com/talkpilot"
    connect(extra={"dashboard_url": address})
    assert chain.extract().xcoms["summary"][DASHBOARD_KEY] == address


def test_a_task_of_your_own_reads_agents_and_calls(sandbox: Sandbox) -> None:
    agent_ids = sandbox.store.agent_ids
    with TalkPilotHook() as hook:
        assert {agent.id for agent in hook.get_agents()} == set(agent_ids)
        calls = [*hook.iter_calls("2026-03-16", "2026-03-18")]
        detail = hook.get_call(str(calls[0].agent_id), calls[0].id)
    truth = {call["id"]: call for call in sandbox.store.truth("2026-03-16", "2026-03-18")}
    assert {call.id for call in calls} == set(truth)
    assert len(calls) == len(truth)
    assert detail.transcript == truth[detail.id]["transcript"]
    assert sandbox.counters["agents"] == 2, "every agent: the list of agents again"
    assert sandbox.counters["detail"] == 1


def test_calls_of_named_agents_and_a_selection(sandbox: Sandbox) -> None:
    first, _ = sandbox.store.agent_ids
    day = dt.date(2026, 3, 16), dt.datetime(2026, 3, 17, tzinfo=dt.UTC)
    hook = TalkPilotHook()
    hook.close()  # before it has sent anything
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
    """No call comes twice, and none is missing."""
    sandbox.reset(calls_per_day=300, days=1, agents=1)
    [agent] = sandbox.store.agent_ids
    day = "2026-03-16", "2026-03-17"
    late = "2026-03-16T12:00:00Z"
    sandbox.scripts.add("insert_late", after=1, agent_id=agent, created_at=late)
    with TalkPilotHook() as hook:
        ids = [call.id for call in hook.iter_calls(*day)]
        sandbox.settings.patch(extra_list_fields={"created_at": "soon"})
        with pytest.raises(InvalidRecordError, match="created_at: "):
            next(hook.iter_calls(*day))
    assert sorted(ids) == sorted(call["id"] for call in sandbox.store.truth(*day))
