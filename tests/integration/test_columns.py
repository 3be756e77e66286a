"""Values of dropped or hashed columns are written nowhere; all other values are kept."""

from __future__ import annotations

import datetime as dt
import hmac
import json
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException as Skipped
from google.cloud.bigquery import Client, Table

from tests.integration.chain import Chain, local, refused, staged_files
from tests.integration.test_rejects import newest
from tests.support.jobs import Death, Jobs
from tests.support.tables import DROPPABLE, HASHABLE, Row, assert_equal_rows, expected_rows, tables

pytestmark = pytest.mark.slow

SECRET = "correct-horse-battery-staple-0123456789"
CALLS = 46
MARK = "Geheim"
"""Begins every planted text, and no other text of the sandbox."""

CHOICES = {"phone_number": "hash", "customer_name": "hash", "transcript": "drop", "extra": "drop"}
EVERY_HASH = dict.fromkeys(HASHABLE, "hash") | {"transcript": "drop", "extra": "drop"}
EVERY_DROP = dict.fromkeys(DROPPABLE, "drop") | {"final_score": "keep"}


def hashed(text: str | None) -> str | None:
    return hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest() if text else text


def chosen(rows: list[Row], columns: dict[str, str]) -> list[Row]:
    """Return the rows as they must be under the choices."""
    if columns.get("transcript") == "drop":
        columns = {**columns, "transcript_raw": "drop"}

    def value(name: str, value: Any) -> Any:
        if columns.get(name) == "hash":
            return hashed(value)
        if columns.get(name) == "drop":
            return [] if name in ("transcript", "turns") else None
        return value

    return [{name: value(name, held) for name, held in row.items()} for row in rows]


def assert_table_is_chosen(chain: Chain, columns: dict[str, str], **expected: Any) -> None:
    assert_equal_rows(chain.rows(), chosen(expected_rows(chain.truth(), **expected), columns))


def keep_secret(monkeypatch: pytest.MonkeyPatch, secret: str | None = SECRET) -> None:
    connection = json.dumps({"conn_type": "generic", "password": secret})
    monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_HASH", connection)


@pytest.fixture(autouse=True)
def _secret(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(monkeypatch)


def live_calls(chain: Chain) -> list[Row]:
    return [
        call
        for call in chain.truth()
        if not call["is_purged"] and not call["deleted_at"] and call["phone_number"]
    ]


def plant(chain: Chain, columns: dict[str, str]) -> None:
    """Write texts that a test can search for into every column that is not kept."""
    names = [name for name in HASHABLE if columns.get(name, "keep") != "keep"]
    names = [name for name in names if name != "call_id"]  # edit() has an argument of that name
    first, second = live_calls(chain)[:2]
    for call, form in ((first, 'Größe "42"\\ \u2028 🙂 {}'), (second, "{}\r\n\x85")):
        texts: dict[str, Any] = {name: f"{MARK} {form.format(name)}" for name in names}
        words = [{"role": "user", "text": f"{MARK} {form.format('said')}"}]
        chain.sandbox.store.edit(call["id"], **texts, transcript=words)
    unparsable = next(c for c in live_calls(chain)[2:] if c["transcript"])
    chain.sandbox.store.edit(unparsable["id"], transcript=f'[{{"role":"user","text":"{MARK}')
    chain.sandbox.settings.patch(
        extra_list_fields={"mood": f"{MARK} gut", "transcript_raw": MARK},
        extra_detail_fields={"nested": [{MARK: MARK}]},
    )


def assert_unseen(*places: Any) -> None:
    text = "\n".join(place if isinstance(place, str) else repr(place) for place in places)
    assert MARK not in text
    assert SECRET not in text


def staged_texts(chain: Chain) -> list[str]:
    return [str(path) + path.read_text() for path in staged_files(chain.staging_uri)]


@pytest.mark.parametrize("columns", [EVERY_HASH, EVERY_DROP], ids=["hash all", "drop all"])
def test_the_table_is_the_truth_but_for_the_choices(chain: Chain, columns: dict[str, str]) -> None:
    plant(chain, columns)
    chain.extract_options["columns"] = json.dumps(columns)
    calls = chain.summaries()
    assert_table_is_chosen(chain, columns, details=False)
    chain.load(str(chain.enrich(calls).returned))
    assert_table_is_chosen(chain, columns)
    assert_unseen(*staged_texts(chain), chain.rows())


def test_requests_are_the_same_and_none_is_repeated(chain: Chain) -> None:
    chain.run()
    spent = chain.spent()
    chain.table += "_chosen"
    chain.extract_options["columns"] = CHOICES
    chain.run()
    assert chain.spent() == spent, "nothing of what was staged before is used"
    assert_table_is_chosen(chain, CHOICES)

    chain.run()
    assert chain.details_requested() == 0, "staging knows"
    chain.forget_staging()
    chain.run()
    assert chain.details_requested() == 0, "the table knows"
    assert_table_is_chosen(chain, CHOICES)


def test_changes_purges_and_deletions_arrive(chain: Chain) -> None:
    columns = CHOICES | {"note": "hash", "transcript": "keep"}
    chain.extract_options["columns"] = columns
    calls, details = chain.run()
    edited, purged, deleted = live_calls(chain)[:3]
    chain.sandbox.store.edit(edited["id"], note=f"{MARK} neu")
    chain.sandbox.store.purge(purged["id"])
    chain.sandbox.store.soft_delete(deleted["id"])
    new_calls, new_details = chain.run()
    assert_table_is_chosen(chain, columns)
    [row] = [row for row in chain.rows() if row["id"] == purged["id"]]
    assert (row["phone_number"], row["transcript"]) == (None, [])
    for manifest in (calls, details, new_details, new_calls):
        chain.load(manifest)
    assert_table_is_chosen(chain, columns)


def test_a_dropped_score_is_not_requested_again(chain: Chain) -> None:
    """The calls are so young that a missing score is requested again."""
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    chain.sandbox.reset(days=1, start=yesterday, calls_per_day=CALLS)
    chain.interval = yesterday.isoformat(), (yesterday + dt.timedelta(days=1)).isoformat()
    chain.extract_options["columns"] = {"final_score": "drop"}
    chain.run()
    chain.age_details()
    chain.run()
    # A purged call has no transcript.
    spared = [call for call in chain.truth() if call["is_purged"]]
    assert chain.details_requested() == CALLS - len(spared)
    assert_table_is_chosen(chain, {"final_score": "drop"}, spared=spared)


def test_details_with_nothing_to_bring_are_not_requested(chain: Chain) -> None:
    columns = {"transcript": "drop", "final_score": "drop"}
    chain.extract_options["columns"] = columns
    calls = chain.summaries()
    for given in ({}, {"columns": columns}):
        with pytest.raises(Skipped, match="transcript and final_score"):
            chain.enrich(calls, **given)
    assert chain.details_requested() == 0
    assert_table_is_chosen(chain, columns, details=False)


def test_nothing_is_seen_on_the_way(chain: Chain, jobs: Jobs) -> None:
    """Neither in logs at DEBUG, XComs, rendered fields and staged files, nor in staging tables."""
    plant(chain, EVERY_HASH)
    chain.extract_options["columns"] = EVERY_HASH
    seen: list[Any] = []

    def run(task: str, *manifest_uris: str, death: Death | None = None) -> str:
        ended = jobs.run(debug=True, death=death, **chain.arguments(task, *manifest_uris))
        assert "DEBUG" in ended.output
        seen.extend([ended.output, ended.error])
        if death:
            assert ended.killed
            return ""
        assert ended.outcome
        seen.extend([ended.outcome.returned, ended.outcome.xcoms, ended.outcome.rendered])
        return str(ended.returned)

    calls = run("extract")
    details = run("enrich", calls)
    before_it_is_deleted = Death("google.cloud.bigquery:Client.delete_table")
    for manifest in (calls, details):
        run("load", manifest, death=before_it_is_deleted)
        [left] = [name for name in tables(chain.bigquery, chain.table) if name != "calls"]
        rows = chain.bigquery.query(
            f"SELECT * FROM `{chain.table.rpartition('.')[0]}.{left}`"
        ).result()
        assert rows.total_rows == CALLS
        seen.extend(dict(row) for row in rows)
        run("load", manifest)

    assert_unseen(*seen, *staged_texts(chain), chain.rows())
    assert_table_is_chosen(chain, EVERY_HASH)


def test_rejects_hold_what_was_chosen(chain: Chain) -> None:
    columns = {name: "hash" if name in HASHABLE else "drop" for name in DROPPABLE}
    columns |= {"duration": "keep", "final_score": "keep", "note": "keep", "employee": "drop"}
    chain.sandbox.reset(days=1)
    plant(chain, columns)
    broken = newest(chain)
    calls = str(chain.extract(columns=columns).returned)
    chain.sandbox.faults.add("no_start", kind="detail")
    chain.sandbox.store.edit(
        broken["id"],
        customer_name=f"{MARK} Name",
        duration="ninety",
        note="kept as it is",
        phone_number={MARK: [MARK]},
        unheard_of=f"{MARK} again",
    )
    chain.enrich_options["concurrency"] = 1
    message = refused(lambda: chain.enrich(calls), "failed validation")
    [path] = local(chain.staging_uri).rglob("rejects-*.jsonl")
    [reject] = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert_unseen(message, *staged_texts(chain))
    assert "ninety" not in reject["reason"] + message
    record = reject["record"]
    assert (record["id"], record["duration"]) == (broken["id"], "ninety")
    assert record["note"] == "kept as it is"
    assert len(record["customer_name"]) == 64
    gone = {"phone_number", "employee", "mood", "unheard_of", "transcript", "audio_file_url"}
    assert not gone & record.keys()


def test_enriching_under_other_choices_or_with_another_secret(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = str(chain.extract(columns=CHOICES).returned)
    for given in ({"note": "drop"}, "{}", CHOICES | {"note": "drop"}):
        enrich = partial(chain.enrich, calls, columns=given)
        refused(enrich, "the same columns and the same secret")
    for secret, cure in ((SECRET[::-1], "the same secret"), (None, "openssl rand -hex 32")):
        keep_secret(monkeypatch, secret)
        refused(lambda: chain.enrich(calls), cure)
    assert chain.details_requested() == 0
    keep_secret(monkeypatch)
    for same in (CHOICES, json.dumps(CHOICES), None, ""):
        chain.enrich(calls, columns=same)
    assert chain.details_requested() == CALLS


def test_changed_choices(chain: Chain) -> None:
    chain.extract_options["columns"] = {"note": "drop"}
    chain.run()
    rows = chain.rows(own_times=True)
    chain.spent()
    # Changes that must not arrive.
    chain.sandbox.store.edit(live_calls(chain)[0]["id"], employee="somebody else")

    calls = str(chain.extract(columns={"note": "hash"}).returned)
    for task in (chain.load, chain.enrich):
        refused(partial(task, calls), "note (drop there, hash-", "docs/privacy-columns.md")
    assert chain.details_requested() == 0, "not spent on what cannot be loaded"
    assert chain.rows(own_times=True) == rows
    assert tables(chain.bigquery, chain.table) == ["calls"]


def test_a_table_that_another_task_created_meanwhile(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both tasks find no table, and the second one has other choices."""
    kept = str(chain.extract().returned)
    dropped = str(chain.extract(columns={"note": "drop"}).returned)
    create_table, first = Client.create_table, [True]

    def overtaken(self: Client, table: Table, *args: Any, **options: Any) -> Any:
        if first.pop() if first else False:
            chain.load(kept)
        return create_table(self, table, *args, **options)

    monkeypatch.setattr(Client, "create_table", overtaken)
    refused(lambda: chain.load(dropped), "note (keep there, drop now)")
    chain.assert_table_is_truth(details=False)
