"""The page's figures, from the tasks in Airflow's database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_talkpilot.plugins.overview.page import overview
from airflow_provider_talkpilot.plugins.overview.records import Run, Summary, Task, parse_summary
from tests.support.runs import ANNA, BERT, CONNECTION, Sync

TODAY = date(2026, 3, 20)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
NOT_LOADED = dict.fromkeys(("load_calls", "enrich_calls", "load_details"), "upstream_failed")


def day(before: int) -> date:
    return TODAY - timedelta(days=before)


def look(*syncs: Sync, days: int = 5) -> dict[str, Any]:
    tasks = [task for sync in syncs for task in sync.tasks()]
    return overview(tasks, now=NOW, days=days)


def only(shown: dict[str, Any]) -> dict[str, Any]:
    [connection] = shown["connections"]
    assert isinstance(connection, dict)
    return connection


def states(connection: dict[str, Any]) -> list[str]:
    return [each["state"] for each in connection["days"]]


def test_a_fresh_install_has_nothing_to_show() -> None:
    shown = look()
    assert shown["connections"] == []
    assert not shown["has_runs"]
    assert shown["days"] == [day(before).isoformat() for before in (4, 3, 2, 1, 0)]


def test_the_state_of_each_day() -> None:
    skipped = {"enrich_calls": "skipped", "load_details": "skipped"}
    failed = {"load_calls": "failed", "enrich_calls": "success", "load_details": "success"}
    some = Sync(day(1), rule="by_webhook", fetched=0, by_webhook=9, lacking=5)
    runs = Sync(day(4)), Sync(day(3), states=skipped), Sync(day(2), states=failed), some
    connection = only(look(*runs))
    assert states(connection) == ["complete", "summaries", "failed", "summaries", "open"]
    assert [each.get("calls") for each in connection["days"]] == [16, 16, None, 16, None]
    assert [each.get("details") for each in connection["days"]] == [16, 0, None, 11, None]
    assert (connection["calls"], connection["details"]) == (48, 27)


def test_a_day_that_was_loaded_and_then_failed_is_old_not_lost() -> None:
    later = Sync(day(2), states={"extract_calls": "failed", **NOT_LOADED}, ended=NOW)
    shown = look(Sync(day(2)), later)
    [cell] = [each for each in only(shown)["days"] if each["state"] == "stale"]
    assert shown["outcomes"][cell["outcome"]]["failed_task"] == "extract_calls"
    assert shown["outcomes"][cell["before"]]["state"] == "complete"


def test_values_that_did_not_fit_and_recordings() -> None:
    """The same call's value comes with its list row and its detail, and counts once."""
    counts = {"archived": 9, "deleted": 2, "expired": 1}
    drift = ({"note": 2, "done": 16}, {"done": 15, "final_score": 1})
    [outcome] = look(Sync(day(2), drift=drift, recordings=counts))["outcomes"]
    assert outcome["drift"] == {"done": 16, "final_score": 1, "note": 2}
    assert outcome["recordings"] == counts


def test_calls_of_an_agent_show_only_if_they_are_known() -> None:
    """A walk of several days counts calls by agent and by day, not by both at once."""
    shown = only(look(Sync(day(4), days=2), Sync(day(2))))
    assert shown["calls"] == 32
    assert not any("calls" in agent for agent in shown["agents"])


def test_no_call_counts_twice_and_no_detail_is_taken_away() -> None:
    states = {"enrich_calls": "deferred", "load_details": None}
    running = Sync(day(3), 2, {ANNA: 20, BERT: 12}, states=states, ended=NOW)
    assert only(look(Sync(day(3)), Sync(day(2)), running))["details"] == 32
    one = Sync(day(3), scope="agents-2", calls={ANNA: 10}, ended=NOW)
    assert only(look(Sync(day(3), scope="agents-1"), one))["calls"] == 16
    assert only(look(*(Hour(TODAY, quarter=each) for each in range(9)), days=2))["calls"] == 3 * 16


@dataclass
class Hour(Sync):
    quarter: int = 0

    @property
    def start(self) -> datetime:
        return super().start + self.quarter * timedelta(minutes=15)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(hours=1)


def test_connections_are_kept_apart() -> None:
    shown = look(Sync(day(2)), Sync(day(2), connection="talkpilot_north", calls={BERT: 2}))
    assert [each["id"] for each in shown["connections"]] == [CONNECTION, "talkpilot_north"]
    assert [each["calls"] for each in shown["connections"]] == [16, 2]


def test_requests_and_the_fewest_possible() -> None:
    """A walk that moved and was walked again costs more than it must."""
    again = Sync(day(1), requests={"agents": 1, "calls": 4}, hour_limit=1000, ended=NOW)
    connection = only(look(again))
    requests = connection["requests"]
    assert [requests[name] for name in ("lists", "details", "least")] == [5, 16, 1 + 2 + 16]
    assert connection["quota"] == {"today": 5 + 16, "hour_limit": 1000}
    shown = only(look(Sync(day(2), fetched=3, by_webhook=13)))["requests"]
    assert [shown[name] for name in ("details", "by_webhook", "without")] == [3, 13, 3 + 16]


def test_the_rule_is_that_of_the_tasks_that_request_details() -> None:
    by_webhook = Sync(day(1), rule="by_webhook", fetched=0, by_webhook=16)
    daily = Sync(day(2), rule="every_version")
    assert only(look(daily, by_webhook))["requests"]["rule"] == "every_version"
    assert only(look(by_webhook))["requests"]["rule"] is None


def test_agents_have_the_names_of_the_newest_list() -> None:
    before = Sync(day(3), names_of_agents={ANNA: "Anna", BERT: "Bert"})
    shown = only(look(before, Sync(day(2), names_of_agents={ANNA: "Anne"}), Sync(day(1))))
    assert {each["id"]: each["name"] for each in shown["agents"]} == {ANNA: "Anne", BERT: "Bert"}
    assert [each["name"] for each in only(look(Sync(day(1))))["agents"]] == [None, None]


def test_purges_and_erasures_count_once() -> None:
    """Each load counts the purges and erasures that it is the first to bring."""
    runs = [
        Sync(day(3)),
        Sync(day(3), purged=2, erased=1, ended=NOW - timedelta(hours=2)),
        Sync(day(3), calls={ANNA: 10}, scope="agents-1", ended=NOW - timedelta(hours=1)),
    ]
    connection = only(look(*runs))
    assert (connection["purged"], connection["erased"]) == (2, 1)
    [event] = connection["events"]
    assert (event["purged"], event["erased"]) == (2, 1)


def resync(*syncs: Sync, reasons: list[str]) -> list[Task]:
    """Return the tasks of one run that chose intervals, and read them with mapped tasks."""
    chosen = [
        {"reason": reason, "start": sync.start.isoformat(), "end": sync.end.isoformat()}
        for sync, reason in zip(syncs, reasons, strict=True)
    ]
    tasks = [
        task
        for index, sync in enumerate(syncs)
        for task in replace(sync, run_id="one", map_index=index, dag_id="resync").tasks()
    ]
    about = {"kind": "resync", "scope": f"{CONNECTION}/all", "connection_id": CONNECTION}
    figures = {"intervals": chosen, "requests": {"agents": 1}}
    summary = Summary.model_validate(about | figures)
    choose = Task(tasks[0].run, "choose_days", -1, "success", NOW, summary)
    return [choose, *tasks]


def test_the_last_resync_for_each_reason() -> None:
    """Two intervals of one run, each with tasks of its own; one of them failed."""
    failed = {"load_calls": "failed", "enrich_calls": "success", "load_details": "upstream_failed"}
    tasks = resync(
        Sync(day(4), calls={ANNA: 3}, scope="agents-1", requests={"calls": 1}),
        Sync(day(3), days=3, states=failed),
        reasons=["retention", "look-back of 3 day(s)"],
    )
    shown = overview(tasks, now=NOW, days=5)
    connection = only(shown)
    found = {each["reason"]: shown["outcomes"][each["outcome"]] for each in connection["resyncs"]}
    assert list(found) == ["retention", "look-back of 3 day(s)"]
    assert [each["state"] for each in found.values()] == ["complete", "failed"]
    assert found["retention"]["start"] == f"{day(4)}T00:00:00Z"
    # The list of agents of the choice of days, and two walks; the walks cost the least possible.
    assert connection["requests"]["lists"] == 1 + 1 + 3
    assert connection["requests"]["least"] == 1 + 1 + 3 + connection["requests"]["details"]


@pytest.mark.parametrize(
    "wrong",
    [{"requests": "many"}, {"by_agent": {ANNA: -1}}, {"by_day": [1]}, {"interval": "yesterday"}],
)
def test_a_summary_with_wrong_figures_is_an_error(wrong: dict[str, Any]) -> None:
    """The page counts and shows the error, instead of wrong figures."""
    good = {"kind": "calls", "scope": f"{CONNECTION}/all", "connection_id": CONNECTION}
    assert parse_summary(good)
    assert parse_summary(good | {"kind": "poem"}) is None
    with pytest.raises(ValueError, match="validation error"):
        parse_summary(good | wrong)


def test_a_walk_that_failed_before_its_interval_was_known() -> None:
    """An earlier run shows that the task is a walk."""
    run = Run("calls", "manual__1", "failed", NOW)
    before = Sync(day(2), dag_id="calls", names={"extract_calls": "walk"})
    shown = overview([*before.tasks(), Task(run, "walk", -1, "failed", NOW)], now=NOW, days=5)
    assert shown["unplaced"] == 1
    assert states(only(shown)) == ["never", "never", "complete", "never", "open"]


@pytest.mark.parametrize(
    ("run_state", "expected"), [("running", "running"), ("failed", "failed"), ("success", "never")]
)
def test_the_first_run_before_a_load_has_started(run_state: str, expected: str) -> None:
    """Without any load the day has the run's state; a DAG that only stages has no day."""
    first = Sync(day(1)).tasks()[0]
    run = replace(first.run, state=run_state)
    shown = overview([replace(first, run=run)], now=NOW, days=5)
    assert [states(each)[-2] for each in shown["connections"]] in ([expected], [])
    assert bool(shown["connections"]) or expected == "never"


def test_loads_of_another_dag_belong_to_the_walk() -> None:
    """An asset can start them."""
    extract, *others = Sync(day(1)).tasks()
    load_calls, enrich, load_details = (
        replace(task, run=replace(task.run, dag_id="warehouse", run_id="asset__1"))
        for task in others
    )
    assert states(only(overview([extract, load_calls], now=NOW, days=2))) == ["summaries", "open"]
    tasks = [extract, load_calls, enrich, load_details]
    assert states(only(overview(tasks, now=NOW, days=2))) == ["complete", "open"]


def test_two_walks_of_one_run_are_kept_apart() -> None:
    """One DAG for two connections: a load without a summary belongs to its usual walk."""
    south = {"extract_calls": "walk", "load_calls": "put", "enrich_calls": "more"}
    runs = [
        Sync(day(number), run_id=f"run {number}", connection=connection, names=names, states=found)
        for number, bad in ((2, {}), (1, NOT_LOADED))
        for connection, names, found in (
            ("north", {"load_details": "rest"}, {}),
            ("south", south, bad),
        )
    ]
    north, other = look(*runs, days=3)["connections"]
    assert states(north) == ["complete", "complete", "open"]
    assert states(other) == ["complete", "failed", "open"]


def test_a_selection_is_not_the_day() -> None:
    tasks = [
        replace(task, summary=task.summary.model_copy(update={"selection": ("done",)}))
        for task in Sync(day(1)).tasks()
        if task.summary
    ]
    connection = only(overview(tasks, now=NOW, days=2))
    assert states(connection) == ["never", "open"]
    assert connection["requests"]["lists"] == 3
