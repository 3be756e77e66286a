"""The table of agents has the list that a walk reads anyway; texts only if users choose them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_talkpilot.bigquery import agents
from airflow_provider_talkpilot.operators.bigquery import TalkPilotCreateViewsOperator
from tests.integration.chain import Chain
from tests.support.tables import Row
from tests.support.tasks import run_task


def rows(chain: Chain) -> dict[str, Row]:
    found = [dict(row) for row in chain.bigquery.list_rows(f"{chain.table}_agents")]
    for row in found:
        if isinstance(row["settings"], str):
            row["settings"] = json.loads(row["settings"])
    assert len(found) == len({row["id"] for row in found})
    return {row["id"]: row for row in found}


def names(chain: Chain, view: str) -> set[tuple[Any, ...]]:
    query = f"SELECT DISTINCT agent_id, agent_name FROM `{view}`"
    return {tuple(row.values()) for row in chain.bigquery.query(query).result()}


def test_agents_cost_no_request_and_their_names_are_in_the_views(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "_BATCH_BYTES", 1)  # one statement for each
    first, second = chain.sandbox.store.agent_ids
    opens = "https://hooks.example.com/a-secret-in-the-address"
    chain.sandbox.store.edit_agent(
        first, post_call_webhook_url=opens, tools=[{"url": opens, "n": 1}]
    )
    chain.summaries()
    assert chain.sandbox.counters["agents"] == 1
    found = rows(chain)
    truth = {agent["id"]: agent for agent in chain.sandbox.store.agents}
    assert found.keys() == truth.keys()
    for agent_id, row in found.items():
        agent = truth[agent_id]
        assert row["name"] == agent["name"]
        assert row["organization_id"] == agent["organization_id"]
        assert row["valid_from"] == datetime.fromisoformat(agent["updated_at"])
        assert row["settings"]["llm_model"] == agent["llm_model"]
        assert (row["prompt"], row["greeting"]) == (None, None)
        assert agent["prompt"] not in repr(row)
        assert agent["greeting"] not in repr(row)
    assert "a-secret-in-the-address" not in repr(found)
    assert found[first]["settings"]["tools"] == [{"n": 1}]

    views = run_task(TalkPilotCreateViewsOperator, table=chain.table).returned
    for view in ("calls_live", "calls_daily", "calls_quality"):
        assert names(chain, views[view]) == {(one, truth[one]["name"]) for one in truth}

    # One agent has a new name. Its texts are kept this time.
    chain.sandbox.store.edit_agent(second, name="Zoë")
    chain.load(str(chain.extract(agent_prompts=True).returned))
    again = rows(chain)
    assert again[second]["name"] == "Zoë"
    assert again[second]["prompt"] == truth[second]["prompt"]
    assert names(chain, views["calls_daily"]) >= {(second, "Zoë")}
    chain.summaries()
    assert {row["prompt"] for row in rows(chain).values()} == {None}

    chain.sandbox.store.edit_agent(second, name={"de": "Zoë"}, organization_id=42)
    chain.summaries()
    changed = rows(chain)[second]
    assert (changed["name"], changed["organization_id"]) == ('{"de":"Zoë"}', "42")


def test_a_run_of_named_agents_adds_none(chain: Chain) -> None:
    chain.extract_options["agent_ids"] = chain.sandbox.store.agent_ids[:1]
    chain.summaries()
    views = run_task(TalkPilotCreateViewsOperator, table=chain.table).returned
    assert {name for _, name in names(chain, views["calls_live"])} == {None}
    assert f"{chain.table}_agents".rpartition(".")[2] not in {
        table.table_id for table in chain.bigquery.list_tables(chain.table.rpartition(".")[0])
    }
