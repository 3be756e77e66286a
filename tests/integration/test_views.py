"""Views show exactly the live calls of the API, and their creation touches nothing else."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from google.cloud.bigquery import SchemaField, Table
from google.cloud.exceptions import NotFound

from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.views import VIEWS
from airflow_provider_talkpilot.operators.bigquery import TalkPilotCreateViewsOperator
from airflow_provider_talkpilot.sandbox.calls.performance import RED_FLAGS
from tests.integration.chain import Chain, day, refused
from tests.integration.test_loads import live_call
from tests.integration.test_performance import record_of
from tests.support.tables import Row, assert_equal_rows, expected_rows, table_rows, tables
from tests.support.tasks import run_task

pytestmark = [pytest.mark.slow, pytest.mark.google]


def create_views(chain: Chain, **options: Any) -> dict[str, str]:
    arguments = {"table": chain.table, **options}
    names = run_task(TalkPilotCreateViewsOperator, **arguments).returned
    assert isinstance(names, dict)
    return names


def live(chain: Chain, *days: int) -> list[Row]:
    """Return the API's calls, without the soft-deleted ones."""
    intervals = [day(number) for number in days or (0,)]
    truth = [call for interval in intervals for call in chain.sandbox.store.truth(*interval)]
    found = [call for call in truth if call["deleted_at"] is None]
    assert len(found) < len(truth), "a soft-deleted call must be there to be left out"
    return found


def rows(chain: Chain, view: str) -> list[Row]:
    return [dict(row) for row in chain.bigquery.query(f"SELECT * FROM `{view}`").result()]


def messages(calls: list[Row]) -> list[Row]:
    """Return the rows that call_messages must have."""
    found = []
    for call in calls:
        try:
            transcript = json.loads(call["transcript"] or "[]")
        except ValueError:
            continue
        of_call = {"id": call["id"], "agent_id": call["agent_id"]}
        of_call |= {"created_at": moment(call["created_at"])}
        found += [of_call | {"position": n} | message for n, message in enumerate(transcript)]
    assert found
    return sorted(found, key=in_order)


moment = datetime.fromisoformat


def in_order(message: Row) -> tuple[str, int]:
    return message["id"], message["position"]


def average(values: Iterable[Any]) -> Any:
    """Return the average of the values that are known."""
    known = [float(value) for value in values if value is not None]
    return pytest.approx(sum(known) / len(known)) if known else None


def figures(calls: list[Row]) -> dict[tuple[date, str], Row]:
    """Return the rows that calls_daily must have, without p90_duration, by day and agent."""
    groups: dict[tuple[date, str], list[Row]] = defaultdict(list)
    for call in calls:
        groups[moment(call["created_at"]).astimezone(UTC).date(), call["agent_id"]].append(call)
    return {
        key: {
            "calls": len(group),
            "success_rate": average(call["general_success"] for call in group),
            "average_duration": average(call["duration"] for call in group),
            "transfers": [call["disconnection_reason"] for call in group].count("call_transfer"),
            "average_score": average(call["final_score"] for call in group),
            "transcript_share": average(call["transcript"] not in (None, "[]") for call in group),
        }
        for key, group in groups.items()
    }


def assert_ninetieth(found: int | None, durations: list[int]) -> None:
    """BigQuery approximates: it may be the nearest rank, or a neighbour."""
    ordered = sorted(durations)
    rank = -(-9 * len(ordered) // 10) - 1
    assert found in ordered[max(0, rank - 1) : rank + 2]


def assert_views_are_truth(chain: Chain, names: dict[str, str], calls: list[Row]) -> None:
    agents = {agent["id"]: agent["name"] for agent in chain.sandbox.store.agents}
    found = table_rows(chain.bigquery, names["calls_live"])
    assert all(row.pop("agent_name") == agents[row["agent_id"]] for row in found)
    assert_equal_rows(found, expected_rows(calls))
    assert sorted(rows(chain, names["call_messages"]), key=in_order) == messages(calls)
    daily = rows(chain, names["calls_daily"])
    for row in daily:
        durations = [
            call["duration"]
            for call in calls
            if call["agent_id"] == row["agent_id"]
            and moment(call["created_at"]).date() == row["day"]
        ]
        assert_ninetieth(row.pop("p90_duration"), durations)
        assert row.pop("agent_name") == agents[row["agent_id"]]
    assert {(row.pop("day"), row.pop("agent_id")): row for row in daily} == figures(calls)
    assert len(daily) == len(figures(calls))


def test_views_show_the_live_calls(chain: Chain) -> None:
    for number in (0, 1):
        chain.interval = day(number)
        chain.run()
    names = create_views(chain)
    assert list(names) == ["calls_live", "call_messages", "calls_daily", "calls_quality"]
    assert names["calls_daily"] == f"{chain.table.rpartition('.')[0]}.calls_daily"
    calls = live(chain, 0, 1)
    assert any(call["general_success"] is None for call in calls)
    assert any(call["final_score"] is None for call in calls)
    assert {moment(call["created_at"]).strftime("%H:%M:%S.%f") for call in calls} >= {
        "00:00:00.000000",
        "23:59:59.999000",
    }
    assert_views_are_truth(chain, names, calls)


def test_views_follow_the_table(chain: Chain) -> None:
    """The views are older than the details, a soft delete, a purge and an erasure."""
    chain.summaries()
    names = create_views(chain)
    assert rows(chain, names["call_messages"]) == []
    assert {row["transcript_share"] for row in rows(chain, names["calls_daily"])} == {0.0}
    chain.run()
    assert_views_are_truth(chain, names, live(chain))
    deleted, purged = live_call(chain, 0), live_call(chain, 1)
    chain.sandbox.store.soft_delete(deleted["id"])
    chain.sandbox.store.purge(purged["id"])
    chain.run()
    ids = {row["id"] for row in rows(chain, names["call_messages"])}
    assert not {deleted["id"], purged["id"]} & ids
    assert_views_are_truth(chain, names, live(chain))
    erased = live_call(chain)["id"]
    chain.bigquery.query(
        f"UPDATE `{chain.table}` SET erased_at = CURRENT_TIMESTAMP() WHERE id = '{erased}'"
    ).result()
    assert_views_are_truth(chain, names, [c for c in live(chain) if c["id"] != erased])


def test_the_quality_of_each_live_call(chain: Chain) -> None:
    calls = chain.summaries()
    before = rows(chain, create_views(chain)["calls_quality"])
    assert {row["llm_model"] for row in before} == {None}
    chain.performance(calls)
    found = {row["id"]: row for row in rows(chain, create_views(chain)["calls_quality"])}
    assert found.keys() == {call["id"] for call in live(chain)}
    for call in live(chain):
        row, record = found[call["id"]], record_of(chain, call)
        result = record["final_result"] or {"outcome_label": None, "final_score": None}
        assert row["final_score"] == call["final_score"] == result["final_score"]
        assert row["outcome_label"] == result["outcome_label"]
        for name in ("e2e_latency_p90", "llm_total_tokens", "llm_model", "prompt_fingerprint"):
            assert row[name] == record[name]
        for flag in RED_FLAGS:
            assert row[flag] == (record[flag] and record[flag]["detected"])


def test_calls_without_any_figures(chain: Chain) -> None:
    fields = ("duration", "general_success", "final_score", "transcript")
    unknown: Row = dict.fromkeys(fields)
    for call in chain.truth():
        chain.sandbox.store.edit(call["id"], **unknown)
    chain.run()
    names = create_views(chain, views="calls_daily", location="US")
    assert list(names) == ["calls_daily"]
    assert tables(chain.bigquery, chain.table) == ["calls", "calls_daily"]
    for row in rows(chain, names["calls_daily"]):
        assert row["calls"] > 0
        assert row["transcript_share"] == 0
        for column in ("success_rate", "average_duration", "p90_duration", "average_score"):
            assert row[column] is None


def test_an_empty_table(chain: Chain) -> None:
    chain.interval = "2026-01-05", "2026-01-06"
    chain.run()
    for view in create_views(chain).values():
        assert rows(chain, view) == []


def described(fields: list[SchemaField]) -> dict[str, Any]:
    return {
        field.name: (field.field_type, field.mode, field.description, described(list(field.fields)))
        for field in fields
    }


def test_descriptions_and_labels(chain: Chain) -> None:
    chain.run()
    names = create_views(chain)
    for name, view_id in names.items():
        found = chain.bigquery.get_table(view_id)
        assert found.table_type == "VIEW"
        assert found.description == VIEWS[name].description
        assert found.labels["source"] == "talkpilot"
        fields = described(found.schema)
        assert all(description for _, _, description, _ in fields.values())
        assert {mode for _, mode, _, _ in fields.values()} <= {"NULLABLE", "REPEATED"}
        [first] = list(chain.bigquery.query(f"SELECT * FROM `{view_id}` LIMIT 1").result())
        assert list(fields) == list(first.keys())
    table = described(target_schema())
    view = described(chain.bigquery.get_table(names["calls_live"]).schema)
    assert view.pop("agent_name")[2] == "What the agent is called now."
    assert {n: (t, d, f) for n, (t, _, d, f) in view.items()} == {
        n: (t, d, f) for n, (t, _, d, f) in table.items()
    }


def test_an_older_view_of_ours_is_brought_up_to_date(chain: Chain) -> None:
    chain.run()
    old = Table(f"{chain.table.rpartition('.')[0]}.calls_live")
    old.view_query = f"SELECT id FROM `{chain.table}`"
    old.labels = {"source": "talkpilot", "team": "support"}
    old.description = "Old."
    chain.bigquery.create_table(old)
    names = create_views(chain)
    assert_views_are_truth(chain, names, live(chain))
    found = chain.bigquery.get_table(names["calls_live"])
    assert found.description == VIEWS["calls_live"].description
    assert found.labels["team"] == "support"


def test_other_columns_of_the_users(chain: Chain) -> None:
    chain.run()
    create_views(chain)
    for column in ("tag STRING", "`select` BOOL"):
        chain.bigquery.query(f"ALTER TABLE `{chain.table}` ADD COLUMN {column}").result()
    chain.bigquery.query(f"UPDATE `{chain.table}` SET `select` = TRUE WHERE TRUE").result()
    table = chain.bigquery.get_table(chain.table)
    added = SchemaField("select", "BOOLEAN", description="Somebody listened.")
    table.schema = [*(field for field in table.schema if field.name != "select"), added]
    chain.bigquery.update_table(table, ["schema"])

    view = create_views(chain, views=("calls_live",))["calls_live"]
    assert {row["select"] for row in rows(chain, view)} == {True}
    fields = described(chain.bigquery.get_table(view).schema)
    assert fields["select"][2] == "Somebody listened."
    assert list(fields) == [*(field.name for field in table.schema), "agent_name"]


def test_two_tables_in_one_dataset(chain: Chain) -> None:
    chain.run()
    names = create_views(chain)
    first, other = chain.table, f"{chain.table}_of_2027"
    chain.table, chain.interval = other, day(1)
    chain.run()
    with pytest.raises(AirflowFailException, match=r"belongs to the table calls: .* prefix"):
        create_views(chain)
    others = create_views(chain, prefix="new_")
    assert others == {name: view.replace(name, f"new_{name}") for name, view in names.items()}
    assert_views_are_truth(chain, others, live(chain, 1))
    chain.table = first
    assert_views_are_truth(chain, create_views(chain), live(chain, 0))


@pytest.mark.parametrize(
    ("name", "statement", "message"),
    [
        ("calls_live", "CREATE TABLE `{0}` AS SELECT 1 AS theirs", "exists and is no view"),
        ("calls_daily", "CREATE VIEW `{0}` AS SELECT COUNT(*) AS theirs FROM `{1}`", "is not of"),
    ],
)
def test_what_others_made_stays(chain: Chain, name: str, statement: str, message: str) -> None:
    chain.run()
    taken = f"{chain.table.rpartition('.')[0]}.{name}"
    chain.bigquery.query(statement.format(taken, chain.table)).result()
    before = chain.bigquery.get_table(taken).to_api_repr(), rows(chain, taken)
    refused(lambda: create_views(chain), message, "rename or drop it", taken)
    assert (chain.bigquery.get_table(taken).to_api_repr(), rows(chain, taken)) == before
    assert tables(chain.bigquery, chain.table) == sorted(["calls", name]), "all or nothing"
    assert set(create_views(chain, prefix="talkpilot_")) == set(VIEWS)


@pytest.mark.parametrize(
    ("exists", "message"),
    [
        ("no dataset", r"There is no table .* load calls into it first"),
        ("no table", r"There is no table .* load calls into it first"),
        ("another table", r"lacks what views need \(agent_id, .*load calls"),
    ],
)
def test_without_a_table_of_calls(chain: Chain, exists: str, message: str) -> None:
    if exists != "no dataset":
        chain.bigquery.create_dataset(chain.table.rpartition(".")[0], exists_ok=True)
    if exists == "another table":
        chain.bigquery.query(f"CREATE TABLE `{chain.table}` AS SELECT 'x' AS id").result()
    with pytest.raises(AirflowFailException, match=message):
        create_views(chain)
    with pytest.raises(NotFound):
        chain.bigquery.get_table(f"{chain.table.rpartition('.')[0]}.calls_live")


def test_wrong_arguments(chain: Chain) -> None:
    chain.summaries()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"views": ["calls_live", "calls_dead"]}, "choose from calls_live, call_messages"),
        ({"prefix": "x`; DROP TABLE y; --"}, "use letters, digits and underscores"),
        ({"prefix": "a."}, "use letters, digits and underscores"),
        ({"location": "europe-west3"}, "leave location empty"),
        ({"table": "calls"}, "write project.dataset.table"),
    ]
    for options, cure in wrong:
        refused(partial(create_views, chain, **options), cure)
    assert tables(chain.bigquery, chain.table) == ["calls"]
