"""Performance records in their table, their scores in the calls, and purges of both."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_talkpilot.api import PerformanceRecord
from airflow_provider_talkpilot.sandbox.calls.performance import RED_FLAGS
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.parts import PartWriter
from airflow_provider_talkpilot.staging.rows.choices import KEEP_ALL
from airflow_provider_talkpilot.staging.rows.performance import performance_row
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain
from tests.integration.test_columns import SECRET, hashed, keep_secret
from tests.support.tables import Row, tables
from tests.support.windows import long_window

PERSONAL = (
    "caller_phone", "agent_phone_number", "pre_call_variables", "extracted_variables", "extra",
)  # fmt: skip


def record_of(chain: Chain, call: Row) -> Row:
    """Return the API's performance record of a call."""
    ordinal = chain.sandbox.store.find(call["id"])
    assert ordinal is not None
    return chain.sandbox.store.performance(ordinal)


def truth(chain: Chain) -> dict[str, Row]:
    """Return the API's records of the chain's interval by ``call_id``, as rows of the table."""
    found = {}
    for call in chain.truth():
        record = record_of(chain, call)
        flags = [{"name": n, **record[n]} for n in RED_FLAGS if record[n]]
        row = {name: value for name, value in record.items() if name not in RED_FLAGS}
        row |= {"created_at": datetime.fromisoformat(record["created_at"]), "extra": None}
        found[record["call_id"]] = row | {"red_flags": flags}
    return found


def rows(chain: Chain) -> list[Row]:
    """Return the rows of the table of records, without the times of our own clock."""
    found = []
    for each in chain.bigquery.query(f"SELECT * FROM `{chain.table}_performance`").result():
        row = dict(each)
        for name in ("pre_call_variables", "extracted_variables", "extra"):
            row[name] = json.loads(row[name]) if isinstance(row[name], str) else row[name]
        row["red_flags"] = [dict(flag) for flag in row["red_flags"]]
        found.append({name: value for name, value in row.items() if name != "synced_at"})
    return found


def emptied(row: Row) -> Row:
    """Return a record without its personal data, as a purge leaves it."""
    return row | dict.fromkeys(PERSONAL) | {
        "red_flags": [flag | {"reasoning": None} for flag in row["red_flags"]],
        "final_result": row["final_result"] and row["final_result"] | {"summary_reasoning": None},
    }  # fmt: skip


def assert_table_is_truth(chain: Chain, *gone: Row) -> None:
    """Check the table: records of calls that are purged or gone have no personal data."""
    purged = {c["call_id"] for c in chain.truth() if c["is_purged"]}
    wanted = [
        emptied(row) if call_id in purged else row for call_id, row in truth(chain).items()
    ] + [emptied(row) | {"call_id": None} for row in gone]
    found = rows(chain)
    for row in found:
        is_emptied = row.pop("purged_at") is not None
        assert is_emptied == (row["call_id"] is None or row["call_id"] in purged)
    assert sorted(found, key=itemgetter("id")) == sorted(wanted, key=itemgetter("id"))


def scores(chain: Chain) -> dict[str, float | None]:
    return {row["id"]: row["final_score"] for row in chain.rows()}


def true_scores(chain: Chain) -> dict[str, float | None]:
    return {call["id"]: call["final_score"] for call in chain.truth()}


def stage(chain: Chain, calls: str, *records: Row) -> str:
    """Stage records that the sandbox does not have, as an extraction does."""
    folder, walked = parse_uri(calls).parent, ListManifest.load(parse_uri(calls))
    now = datetime.now(UTC)
    with PartWriter(folder, "performance") as writer:
        made = (performance_row(PerformanceRecord.read(record), now) for record in records)
        writer.write(map(KEEP_ALL.performance_row, made))
        part = writer.flush()
    assert part
    manifest = ListManifest(
        kind="performance",
        parts=[part],
        agents=walked.agents,
        start=walked.start,
        end=walked.end,
        started_at=now,
    )
    return str(manifest.save(folder))


def made_record(call: Row, number: int, **fields: Any) -> Row:
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "agent_id": call["agent_id"],
        "call_id": call["call_id"],
        "created_at": call["created_at"],
        **fields,
    }


def living(chain: Chain) -> list[Row]:
    return [c for c in chain.truth() if not c["is_purged"]]


def test_records_and_scores_are_the_truth_for_a_request_an_agent(chain: Chain) -> None:
    calls = chain.summaries()
    chain.spent()
    chain.performance(calls)
    assert chain.spent() == {"performance": 2}
    assert_table_is_truth(chain)
    assert scores(chain) == true_scores(chain)
    assert tables(chain.bigquery, chain.table) == ["calls", "calls_performance"]
    made = chain.bigquery.get_table(f"{chain.table}_performance")
    assert made.clustering_fields == ["agent_id", "call_id"]
    assert made.time_partitioning.field == "created_at"
    # Again, from the beginning: the same, and no row is written.
    times = f"SELECT DISTINCT synced_at FROM `{chain.table}_performance` ORDER BY 1"
    before = [*chain.bigquery.query(times).result()]
    chain.performance(chain.summaries())
    assert_table_is_truth(chain)
    assert [*chain.bigquery.query(times).result()] == before
    late = "EXTRACT(HOUR FROM created_at) > 0"
    moved = "agent_id = 'another', created_at = TIMESTAMP_SUB(created_at, INTERVAL 1 SECOND)"
    chain.bigquery.query(f"UPDATE `{chain.table}_performance` SET {moved} WHERE {late}").result()
    chain.performance(chain.summaries())
    assert_table_is_truth(chain)


def test_a_dropped_score_does_not_come_back_from_a_record(chain: Chain) -> None:
    chain.performance(chain.summaries())
    chain.bigquery.delete_table(chain.table)
    chain.extract_options["columns"] = {"final_score": "drop"}
    chain.run()
    assert set(scores(chain).values()) == {None}


def test_a_late_score_comes_without_a_detail(chain: Chain) -> None:
    chain.enrich_options = {"refetch_days": 10_000, "details": "until_complete"}
    chain.run(performance=True)
    unscored = [call for call in living(chain) if call["final_score"] is None]
    assert unscored
    chain.spent()
    chain.age_details()
    for call in unscored:
        chain.sandbox.store.score(call["id"], 9, bump=False)
    calls = chain.summaries()
    chain.performance(calls)
    assert scores(chain) == true_scores(chain)
    again = chain.enrich(calls)
    lacking = [c for c in living(chain) if c["transcript"] in (None, "[]")]
    assert chain.spent() == {"agents": 1, "calls": 2, "performance": 2, "detail": len(lacking)}
    chain.load(str(again.returned))
    assert scores(chain) == true_scores(chain)


def test_the_calls_own_score_stays_where_a_records_differs(chain: Chain) -> None:
    """TalkPilot does not say that the two are the same."""
    chain.sandbox.settings.performance_score_shift = 0.25
    late = next(call for call in living(chain) if call["final_score"] is None)
    calls, _ = chain.run(performance=True)
    chain.performance(calls)
    # Of a purged call no detail is requested: it keeps the record's.
    own = {call["id"]: call["final_score"] for call in living(chain)}
    assert {call: score for call, score in scores(chain).items() if call in own} == own
    # Where only the record has one, that is the score; and it follows the record.
    for score in (4, 6):
        chain.sandbox.store.score(late["id"], score)
        chain.performance(chain.summaries())
        assert scores(chain)[late["id"]] == score + 0.25


@pytest.mark.parametrize("has_scores", [True, False])
def test_a_purged_call_costs_a_detail_for_its_score_alone(chain: Chain, has_scores: bool) -> None:
    chain.sandbox.settings.performance_score_shift = 0.0 if has_scores else None
    chain.enrich_options = {"details": "until_complete"}
    every = {call["id"] for call in chain.truth()}
    purged = every - {call["id"] for call in living(chain)}
    calls = chain.summaries()
    chain.performance(calls)
    chain.spent()
    details = chain.enrich(calls)
    assert purged
    assert chain.details_requested() == len(every) - (len(purged) if has_scores else 0)
    chain.load(str(details.returned))
    assert scores(chain) == true_scores(chain)
    chain.forget_staging()
    chain.enrich(chain.summaries())
    assert chain.details_requested() == 0


def test_a_late_score_comes_with_a_detail_where_the_record_has_none(chain: Chain) -> None:
    """TalkPilot does not say that a record gets the score of its call."""
    chain.sandbox.settings.performance_score_shift = None
    chain.enrich_options = {"refetch_days": 10_000, "details": "until_complete"}
    chain.run(performance=True)
    late = next(call["id"] for call in living(chain) if call["final_score"] is None)
    chain.sandbox.store.score(late, 7, bump=False)
    chain.age_details()
    chain.run(performance=True)
    assert scores(chain)[late] == 7


def test_a_detail_without_a_score_takes_none_away(chain: Chain) -> None:
    calls = chain.summaries()
    early = str(chain.enrich(calls).returned)
    late = next(call for call in living(chain) if call["final_score"] is None)
    chain.sandbox.store.score(late["id"], 7)
    chain.performance(chain.summaries())
    chain.load(early)
    assert scores(chain) == true_scores(chain)


@pytest.mark.parametrize("reaches", [True, False])
def test_a_purge_and_an_erasure_empty_the_records_too(chain: Chain, reaches: bool) -> None:
    chain.sandbox.settings.purge_reaches_performance = reaches
    chain.performance(chain.summaries())
    purged, erased = living(chain)[3], living(chain)[4]
    last = truth(chain)[erased["call_id"]]
    chain.sandbox.store.purge(purged["id"])
    chain.sandbox.store.erase(erased["id"])
    # Where the records cannot be read any more, the lists alone tell.
    calls = chain.summaries()
    told = {row["id"]: row for row in rows(chain)}
    assert told[truth(chain)[purged["call_id"]]["id"]]["extracted_variables"] is None
    found = []
    for _ in range(2):
        if reaches:
            assert_table_is_truth(chain, last)
        chain.performance(calls)
        assert_table_is_truth(chain, last)
        calls = chain.summaries()
        found.append({row["id"]: row["purged_at"] for row in rows(chain)})
    assert found[0] == found[1], "it is the time of the first load that found it"


@pytest.mark.parametrize("kind", ["details", "selection"])
def test_a_purge_that_another_load_brings_empties_the_record_too(chain: Chain, kind: str) -> None:
    """No later walk need come soon: the day has no call left whose retention is due."""
    calls = chain.summaries()
    chain.performance(calls)
    call = living(chain)[3]
    chain.sandbox.store.purge(call["id"])
    selected = partial(chain.extract, search=call["customer_name"])
    staged = chain.enrich(calls) if kind == "details" else selected()
    chain.load(str(staged.returned))
    [row] = [row for row in rows(chain) if row["call_id"] == call["call_id"]]
    assert (row["extracted_variables"], row["caller_phone"]) == (None, None)
    assert row["purged_at"]


def test_records_of_no_call_have_no_personal_data(chain: Chain) -> None:
    calls = chain.summaries()
    call = living(chain)[0]
    secret = {
        "caller_phone": "+4930",
        "extracted_variables": {"name": "Zaphod"},
        "final_result": {"final_score": 3, "summary_reasoning": "Zaphod was rude"},
        "technical_error": {"detected": True, "reasoning": "Zaphod hung up", "score_impact": 1},
    }
    unknown = made_record(call, 1, **secret) | {"call_id": "SCL_nobody"}
    none = made_record(call, 2, **secret) | {"call_id": None}
    manifest = stage(chain, calls, unknown, none)
    assert "Zaphod" not in "".join(
        path.read_text() for path in (parse_uri(manifest).parent.iterdir()) if "calls" in path.name
    )
    chain.load(manifest)
    for row in rows(chain):
        assert row["purged_at"]
        assert row["call_id"] is None
        assert row["final_result"] == {
            "outcome": None, "outcome_label": None, "final_score": 3.0, "summary_reasoning": None,
        }  # fmt: skip
        assert "Zaphod" not in repr(row)


def test_two_records_of_a_call_and_what_is_unknown(chain: Chain) -> None:
    calls = chain.summaries()
    call = next(call for call in living(chain) if call["final_score"] is None)
    later = datetime.fromisoformat(call["created_at"]) + timedelta(seconds=1)
    first = made_record(
        call, 1, created_at=later.isoformat(), final_result={"final_score": 2, "mood": "sad"},
        spoke_over_the_caller={"detected": True, "reasoning": "twice", "score_impact": "much"},
        technical_error=None, duration_seconds="long", mood=["calm"],
    )  # fmt: skip
    second = made_record(call, 2, final_result={"final_score": 8.5})
    chain.load(stage(chain, calls, first, second))
    assert scores(chain)[call["id"]] == 2, "the score of the later record"
    chain.load(str(chain.enrich(calls).returned))
    assert scores(chain)[call["id"]] == 2
    row = min(rows(chain), key=itemgetter("id"))
    assert row["red_flags"] == [
        {"name": "spoke_over_the_caller", "detected": True, "reasoning": "twice",
         "score_impact": None},
    ]  # fmt: skip
    assert row["extra"] == {
        "duration_seconds": "long",
        "mood": ["calm"],
        "final_result": {"mood": "sad"},
        "red_flags": {"spoke_over_the_caller": {"score_impact": "much"}},
    }


def test_an_older_reading_of_a_record_takes_nothing_back(chain: Chain) -> None:
    calls, call = chain.summaries(), living(chain)[0]
    older, newer = [stage(chain, calls, made_record(call, 1, duration_seconds=n)) for n in (1, 2)]
    for manifest in (newer, older):
        chain.load(manifest)
        assert [row["duration_seconds"] for row in rows(chain)] == [2]


def test_choices_for_columns(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(monkeypatch)
    columns = {
        "call_id": "hash", "phone_number": "hash", "extracted_variables": "drop",
        "red_flags": "drop", "final_score": "drop",
    }  # fmt: skip
    chain.extract_options["columns"] = columns
    chain.performance(chain.summaries())
    wanted = truth(chain)
    live = [row for row in rows(chain) if row["purged_at"] is None]
    assert len(live) == len(living(chain))
    phones = {hashed(row["caller_phone"]) for row in wanted.values()}
    for row in live:
        assert row["call_id"] in {hashed(call_id) for call_id in wanted}
        assert row["caller_phone"] in phones
        assert row["extracted_variables"] is None
        assert row["red_flags"] == []
        assert not row["final_result"] or row["final_result"]["final_score"] is None
    assert set(scores(chain).values()) == {None}
    assert SECRET not in repr(rows(chain))


@pytest.mark.parametrize("walked", [0, 1])
def test_an_agent_that_is_deleted_meanwhile_ends_no_run(chain: Chain, walked: int) -> None:
    calls = chain.summaries()
    chain.sandbox.faults.add("status", kind="performance", after=walked, status=404)
    chain.performance(calls)
    assert len({row["agent_id"] for row in rows(chain)}) == 1


@pytest.mark.parametrize("refused", ["permission", "spring", "unknown path"])
def test_everything_goes_on_without_permission(
    chain: Chain, caplog: pytest.LogCaptureFixture, refused: str
) -> None:
    sandbox = chain.sandbox
    if refused == "spring":
        sandbox.settings.performance_records = False
    elif refused == "unknown path":
        sandbox.faults.add("status", kind="performance", times=4, status=404, body="message")
    else:
        key = sandbox.settings.api_keys[sandbox.api_key]
        key.permissions = ["agents:read", "calls:read"]
    calls = chain.summaries()
    chain.spent()
    chain.performance(calls, performance="off")
    assert chain.spent() == {}
    with pytest.raises(AirflowFailException):
        chain.performance(calls, performance="required")
    if refused == "permission":  # after a deferral too
        sandbox.settings.patch(requests_per_hour=1, hour_seconds=long_window())
        chain.reset_quota()
        sandbox.spend(1)
        with pytest.raises(TaskDeferred):
            chain.performance(calls, deferrable=True, defer_after=timedelta(seconds=2))
        sandbox.settings.patch(requests_per_hour=None)
        chain.reset_quota()
    chain.spent()
    caplog.clear()
    chain.performance(calls)
    assert chain.spent()["performance"] == (1 if refused == "permission" else 2)
    assert caplog.text.count("No performance records are read") == 1
    chain.load(str(chain.enrich(calls).returned))
    chain.assert_table_is_truth()
    assert tables(chain.bigquery, chain.table) == ["calls"]
