"""The XCom ``summary``: by it alone, the page knows which tasks did the same work."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_talkpilot.operators import base
from tests.integration.chain import Chain


def test_the_tasks_of_an_interval_have_one_scope_and_their_manifests(chain: Chain) -> None:
    extract = chain.extract()
    calls = extract.returned
    load = chain.load(calls)
    enrich = chain.enrich(calls)
    details = enrich.returned
    load_details = chain.load(details)
    clean = chain.clean(calls, details)

    bounds = {"start": "2026-03-16T00:00:00+00:00", "end": "2026-03-17T00:00:00+00:00"}
    table = chain.table
    for task, kind, *more in [
        (extract, "calls", bounds, calls, None, None),
        (load, "load", bounds, calls, "calls", table),
        (enrich, "details", bounds, details, None, None),
        (load_details, "load", bounds, details, "details", table),
        (clean, "clean", None, None, None, None),
    ]:
        summary = task.xcoms["summary"]
        assert (summary["kind"], summary["scope"]) == (kind, "talkpilot_default/all")
        names = "interval", "manifest", "manifest_kind", "table"
        assert [summary.get(name) for name in names] == more


def test_long_lists_are_left_out(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.interval = "2026-03-16", "2026-03-18"
    agents = chain.sandbox.store.agent_ids
    lists = {"agent_ids", "by_agent", "by_day"}
    assert chain.extract(agent_ids=agents).xcoms["summary"].keys() >= lists
    monkeypatch.setattr(base, "SUMMARY_ENTRIES", 1)
    assert not chain.extract(agent_ids=agents).xcoms["summary"].keys() & lists


def test_a_failed_task_has_told_its_work(chain: Chain) -> None:
    unknown = str(uuid4())
    xcoms: dict[str, Any] = {}
    with pytest.raises(AirflowFailException):
        chain.extract(agent_ids=[unknown], xcoms=xcoms)
    summary = xcoms["summary"]
    assert (summary["kind"], summary["agent_ids"]) == ("calls", [unknown])
    assert summary["interval"]["start"] == "2026-03-16T00:00:00+00:00"
    assert "calls" not in summary
