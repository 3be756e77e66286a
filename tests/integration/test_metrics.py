"""Airflow's metrics count each request once, and the calls and details that tasks staged."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_talkpilot.operators import requests
from tests.integration.chain import Chain
from tests.support.docs import read, section, table
from tests.support.windows import long_window

Counted = Counter[str]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The counters that Airflow would send, by name and kind."""
    found = Counted()

    class Recorder:
        @staticmethod
        def incr(name: str, count: int = 1, *, tags: dict[str, Any]) -> None:
            assert tags.pop("connection_id") == "talkpilot_default"
            found[".".join([name, *tags.values()])] += count

    monkeypatch.setattr(requests, "Stats", Recorder)
    return found


def test_a_day(chain: Chain, counted: Counted) -> None:
    chain.run(performance=True)
    calls, spent = len(chain.truth()), chain.spent()
    requests = {f"talkpilot.requests.{kind}": count for kind, count in spent.items()}
    staged = {"calls": calls, "performance": calls, "details": spent["detail"]}
    assert counted == requests | {f"talkpilot.{kind}": count for kind, count in staged.items()}
    told = {name: tags for name, _, tags in table(section(read("quota"), "Metrics"))}
    assert set(re.findall(r"`(\w+)`", told["talkpilot.requests"].partition("(")[2])) == {*spent}
    assert told.keys() == {"talkpilot.requests", "talkpilot.refused", *counted} - requests.keys()


def test_a_deferral_counts_what_was_spent_before_it_alone(chain: Chain, counted: Counted) -> None:
    calls = chain.summaries()
    counted.clear()
    chain.spent()
    chain.sandbox.settings.patch(requests_per_hour=20, hour_seconds=long_window())
    with pytest.raises(TaskDeferred):
        chain.enrich(calls, deferrable=True)
    spent = chain.sandbox.counters
    assert counted["talkpilot.requests.detail"] == spent["detail"] > 0
    assert counted["talkpilot.refused"] == spent["refused"]
    assert "talkpilot.details" not in counted
    chain.sandbox.settings.patch(requests_per_hour=None)
    chain.reset_quota()
    chain.enrich(calls, deferrable=True)
    details = len(chain.truth())
    assert counted["talkpilot.details"] == details
    assert counted["talkpilot.requests.detail"] == details + counted["talkpilot.refused"]


def test_a_failed_try_counts_too(chain: Chain, counted: Counted) -> None:
    chain.sandbox.faults.add("status", kind="calls", status=403)
    with pytest.raises(Exception, match="permission"):
        chain.extract()
    assert counted == {"talkpilot.requests.agents": 1, "talkpilot.requests.calls": 1}
