"""The XCom ``summary``: by it alone, the page knows which tasks did the same work."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.integration.chain import Chain


def test_the_tasks_of_an_interval_tell_one_scope_and_interval_and_their_manifests(
    chain: Chain,
) -> None:
    extract = chain.extract()
    load = chain.load(extract.returned)
    enrich = chain.enrich(extract.returned)
    load_details = chain.load(enrich.returned)
    clean = chain.clean(extract.returned, enrich.returned)

    summaries = [each.xcoms["summary"] for each in (extract, load, enrich, load_details, clean)]
    assert [each["kind"] for each in summaries] == ["calls", "load", "details", "load", "clean"]
    assert {each["scope"] for each in summaries} == {"talkpilot_default/all"}
    bounds = {"start": "2026-03-16T00:00:00+00:00", "end": "2026-03-17T00:00:00+00:00"}
    assert all(each["interval"] == bounds for each in summaries[:4])
    assert [each["manifest"] for each in summaries[:4]] == [
        extract.returned, extract.returned, enrich.returned, enrich.returned
    ]  # fmt: skip
    assert [(each["manifest_kind"], each["table"]) for each in summaries[1:4:2]] == [
        ("calls", chain.table),
        ("details", chain.table),
    ]


def test_other_agents_and_selections_are_other_scopes(chain: Chain) -> None:
    agent = chain.sandbox.truth(*chain.interval)[0]["agent_id"]
    options: list[dict[str, Any]] = [
        {},
        {"agent_ids": [agent]},
        {"done": True},
        {"phone_number": "+4915112345678"},
    ]
    summaries = [chain.extract(**each).xcoms["summary"] for each in options]

    assert len({each["scope"] for each in summaries}) == len(options)
    assert [each["agent_ids"] for each in summaries] == [None, [agent], None, None]
    assert [each["selection"] for each in summaries] == [[], [], ["done"], ["phone_number"]]
    assert "4915112345678" not in str(summaries)


def test_a_task_that_fails_has_said_what_it_worked_on(chain: Chain) -> None:
    unknown = str(uuid4())
    xcoms: dict[str, Any] = {}

    with pytest.raises(AirflowFailException):
        chain.extract(agent_ids=[unknown], xcoms=xcoms)

    summary = xcoms["summary"]
    assert (summary["kind"], summary["agent_ids"]) == ("calls", [unknown])
    assert summary["interval"]["start"] == "2026-03-16T00:00:00+00:00"
    assert "calls" not in summary
