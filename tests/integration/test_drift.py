"""A value that does not fit its column goes to extra, and stops nothing."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud.bigquery import SchemaField

from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.staging.manifests import load_manifest
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, day, local, staged_files
from tests.integration.test_columns import keep_secret
from tests.integration.test_evolution import create_table
from tests.integration.test_loads import live_call, row_of
from tests.support.tables import Row, assert_equal_rows, expected_rows

pytestmark = pytest.mark.slow

DRIFT: dict[str, Any] = {
    "duration": 12.5,
    "done": "true",
    "general_success": 1,
    "note": {"by": "Kim", "text": '\u2028 {"quoted"} \\ [1]'},
    "employee": ["Kim", None],
    "call_id": 4711,
    "deleted_at": "16.03.2026",
}
"""A value that does not fit, by column."""

INT64_TABLE = [
    SchemaField("final_score", "INTEGER") if field.name == "final_score" else field
    for field in target_schema()
]
"""The schema of a table that an older version created."""


def drifted(rows: list[Row], drift: dict[str, Any]) -> list[Row]:
    """Return the rows for calls that all have these values."""
    return [
        row | dict.fromkeys(drift) | {"extra": (row["extra"] or {}) | drift or None} for row in rows
    ]


def assert_table_is_drifted(chain: Chain, drift: dict[str, Any], **expected: Any) -> None:
    assert_equal_rows(chain.rows(), drifted(expected_rows(chain.truth(), **expected), drift))


def test_two_loads_widen_an_int64_table_at_once(chain: Chain) -> None:
    create_table(chain, INT64_TABLE)
    first, second = live_call(chain), live_call(chain, 1)
    chain.sandbox.store.edit(first["id"], final_score=7.5)
    chain.sandbox.store.edit(second["id"], final_score=7)
    days = [day(0), day(1)]
    staged = [chain.extract(interval=each).returned for each in days]
    details = [chain.enrich(manifest).returned for manifest in staged]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(chain.load, details))
    for manifest in staged:
        chain.load(manifest)
    chain.assert_table_is_truth(*days)
    assert (row_of(chain, first)["final_score"], row_of(chain, second)["final_score"]) == (7.5, 7)


def test_drift_is_counted_and_logged_once(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    drift = {"duration": "ninety seconds", "note": {"text": "Kim called."}}
    chain.sandbox.settings.patch(extra_list_fields=drift, extra_detail_fields={"done": "yes"})
    extracted = chain.extract()
    enriched = chain.enrich(extracted.returned)
    total = len(chain.truth())
    for outcome, counts in (
        (extracted, {"duration": total, "note": total}),
        (enriched, {"done": total}),
    ):
        assert outcome.xcoms["summary"]["drift"] == counts
        assert load_manifest(parse_uri(outcome.returned)).drift == counts
    lines = [line for line in caplog.messages if "does not fit" in line]
    found = [re.findall(rf"^{total} call.s. .* a value of (\w+)", line) for line in lines]
    assert found == [["duration"], ["note"], ["done"]]
    assert "ninety" not in caplog.text
    assert "Kim" not in caplog.text


def test_the_rest_of_the_row_loads_and_drift_leaves_when_the_api_is_mended(chain: Chain) -> None:
    settings, unknown = chain.sandbox.settings, {"mood": ["glad"]}
    of_details = DRIFT | {"final_score": "?"}
    settings.patch(extra_list_fields=DRIFT | unknown, extra_detail_fields=of_details)
    calls = chain.summaries()
    assert_table_is_drifted(chain, DRIFT, details=False, extra=unknown)
    chain.load(chain.enrich(calls).returned)
    assert_table_is_drifted(chain, of_details, extra=unknown)
    settings.patch(extra_list_fields=unknown, extra_detail_fields={})
    for call in chain.truth():
        chain.sandbox.store.edit(call["id"])
    chain.run()
    mended = expected_rows(chain.truth(), extra=unknown)
    # The detail of a purged call is not requested again.
    rows = [
        row if not row["is_purged"] else stale
        for row, stale in zip(mended, drifted(mended, {"final_score": "?"}), strict=True)
    ]
    known = {row["id"]: row for row in chain.rows()}
    for row in rows:
        if row["is_purged"]:
            row["detail_updated_at"] = known[row["id"]]["detail_updated_at"]
    assert_equal_rows(chain.rows(), rows)


@pytest.mark.parametrize("details_first", [False, True])
def test_unknown_fields_of_lists_and_of_details(chain: Chain, details_first: bool) -> None:
    """A detail adds its own to its list row's; a later list row replaces only those that it has."""

    def run(lists: Row, details: Row) -> list[int]:
        chain.sandbox.settings.patch(extra_list_fields=lists, extra_detail_fields=details)
        calls = chain.extract().returned
        manifests = [calls, chain.enrich(calls).returned]
        order = reversed(manifests) if details_first else manifests
        return [chain.load(manifest).returned["changed"] for manifest in order]

    def edit() -> None:
        for call in chain.truth():
            chain.sandbox.store.edit(call["id"])

    def assert_each_is(extra: Row) -> None:
        assert all(row["extra"] == extra for row in chain.rows() if not row["is_purged"])

    first: Row = {"mood": [1], "two words": {"y": 1, "z": 2}, "both": 1}
    run(first, {"tone": '"', "both": None})
    assert_each_is(first | {"tone": '"', "both": None})
    assert run(dict(reversed(first.items())), {}) == [0, 0]
    edit()
    chain.enrich_options["details"] = "until_complete"
    run({"mood": "sad", "both": 2}, {})
    assert_each_is(first | {"mood": "sad", "both": 2, "tone": '"'})
    chain.enrich_options["details"] = "every_version"
    edit()
    run({"mood": "glad"}, {"number": 2})
    assert_each_is({"mood": "glad", "number": 2})
    purged = live_call(chain)
    chain.sandbox.store.purge(purged["id"])
    run({"mood": 0}, {})
    assert row_of(chain, purged)["extra"] == {"mood": 0}


def test_drift_that_comes_later_without_a_new_version(chain: Chain) -> None:
    settings, unknown = chain.sandbox.settings, {"mood": ["glad"]}
    settings.patch(extra_detail_fields=unknown)
    chain.run()
    settings.patch(extra_list_fields=DRIFT, extra_detail_fields=DRIFT | unknown)
    chain.run()
    assert_table_is_drifted(chain, DRIFT, extra=unknown)


def test_a_purge_and_an_erasure_empty_it(chain: Chain) -> None:
    """A caller's number is personal, also if TalkPilot sends it as an object."""
    number = {"national": "030 5550199"}
    purged, erased = live_call(chain), live_call(chain, 1)
    for call in (purged, erased):
        chain.sandbox.store.edit(call["id"], phone_number=number)
    older = chain.run()
    for call in (purged, erased):
        assert row_of(chain, call)["extra"] == {"phone_number": number}
    chain.sandbox.store.purge(purged["id"])
    chain.sandbox.store.erase(erased["id"])
    newer = chain.run()
    for manifest in older:
        chain.load(manifest)
    assert "5550199" not in repr(chain.rows())
    chain.clean(*newer)
    assert not [path for path in staged_files(chain.staging_uri) if "5550199" in path.read_text()]


@pytest.mark.parametrize(
    ("columns", "kept"),
    [({"phone_number": "hash"}, {"duration": "long"}), ({"extra": "drop"}, None)],
    ids=str,
)
def test_choices_for_columns_hold(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, columns: dict[str, str], kept: Row | None
) -> None:
    keep_secret(monkeypatch)
    odd = {"phone_number": {"national": "5550199"}, "duration": "long"}
    chain.sandbox.settings.patch(extra_list_fields=odd, extra_detail_fields=odd)
    chain.extract_options["columns"] = columns
    calls, _ = chain.run()
    for row in chain.rows():
        assert row["extra"] == kept
        assert (row["phone_number"], row["duration"]) == (None, None)
    staged = "".join(path.read_text() for path in local(calls).parent.iterdir())
    assert ("5550199" in staged) is bool(kept and "phone_number" in kept)
    assert load_manifest(parse_uri(calls)).drift.keys() == odd.keys()


def test_the_agent_is_the_one_whose_list_has_the_call(chain: Chain) -> None:
    odd = {"agent_id": "no id"}
    chain.sandbox.settings.patch(extra_list_fields=odd, extra_detail_fields=odd)
    chain.run()
    chain.assert_table_is_truth(extra=odd)


def test_timestamps_in_the_form_of_postgres(chain: Chain) -> None:
    chain.sandbox.settings.patch(moment_form="postgres")
    chain.run()
    chain.assert_table_is_truth()


@pytest.mark.parametrize("form", ["array", "object"])
def test_transcripts_with_times_and_tools(chain: Chain, form: str) -> None:
    """The messages can be queried as ever, and transcript_raw has all the rest."""
    chain.sandbox.settings.patch(
        transcript_form=form,
        transcript_role="assistant",
        transcript_times=True,
        transcript_tools=True,
    )
    chain.sandbox.reset(days=1)
    call = live_call(chain)
    chain.run()
    row = row_of(chain, call)
    sent = json.loads(row["transcript_raw"])
    assert "time_sec" in row["transcript_raw"]
    assert "tool_call" in row["transcript_raw"]
    if form == "object":
        assert row["transcript"] == []
        return
    assert row["transcript"] == [
        {"role": item["role"], "text": item["text"]} for item in sent if "text" in item
    ]
    assert {"assistant", "user"} >= {message["role"] for message in row["transcript"]} != set()
    assert len(sent) > len(row["transcript"])
