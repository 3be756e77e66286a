"""Transcripts that came by webhook cost no request, and leave the inbox with their calls."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_talkpilot.sandbox import StorageEmulator
from airflow_provider_talkpilot.staging.inbox import Event
from airflow_provider_talkpilot.staging.names import unfinished_name
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, age, local
from tests.support.deliveries import AGENT, CALL_ENDED, SECRET, body_of
from tests.support.receivers import PROGRAM, Receiver, running
from tests.support.tables import Row, assert_equal_rows, expected_rows, table_rows

SENT = {"webhook_secret": SECRET, "webhooks_repeated": 0.2, "webhooks_forged": 0.2}
HOUR = timedelta(hours=1)
LOST = {**SENT, "webhooks_lost": 0.1}


@pytest.fixture
def receiver(anywhere: Chain, storage_emulator: StorageEmulator) -> Iterator[Receiver]:
    """A receiver whose inbox is in the chain's staging."""
    uri = re.sub(r"//\w+@", "//", anywhere.staging_uri)
    settings = {"TALKPILOT_WEBHOOK_SECRET": SECRET, **storage_emulator.environment}
    with running(PROGRAM, uri, settings) as running_receiver:
        yield running_receiver


@pytest.fixture
def in_folder(chain: Chain) -> Iterator[Receiver]:
    uri = chain.staging_uri
    with running(PROGRAM, uri, {"TALKPILOT_WEBHOOK_SECRET": SECRET}) as running_receiver:
        yield running_receiver


def deliver(chain: Chain, receiver: Receiver, **settings: Any) -> set[str]:
    """Send the webhooks of the chain's calls; return the ids of calls whose transcript arrived."""
    sandbox, chain.enrich_options = chain.sandbox, {"details": "until_complete"}
    for agent_id in sandbox.store.agent_ids:
        sandbox.store.edit_agent(agent_id, post_call_webhook_url=receiver.url)
    sandbox.settings.patch(**settings)
    sent = sandbox.deliver_webhooks(*chain.interval)
    arrived = {d.id for d in sent if d.event != "call_started" and d.statuses[-1:] == (200,)}
    # In spring a call without a word had no transcript.
    is_list = settings.get("webhooks") != "call.completed"
    return arrived & living(chain) & {c["id"] for c in chain.truth() if is_list or has_words(c)}


def has_words(call: Row) -> bool:
    """Return whether the call's webhook has any words."""
    try:
        return bool(json.loads(call["transcript"] or "[]"))
    except ValueError:
        return False


def with_words(chain: Chain, arrived: set[str]) -> set[str]:
    return {call["id"] for call in chain.truth() if has_words(call)} & arrived


def living(chain: Chain) -> set[str]:
    """Return the calls that are not purged. A purged call's score comes with its record."""
    return {call["id"] for call in chain.truth() if not call["is_purged"]}


def requested(chain: Chain) -> list[str]:
    """Return the calls whose detail was requested, each as often as it was."""
    requests = chain.sandbox.requests
    return sorted(r.path.rpartition("/")[2] for r in requests if r.kind == "detail")


def assert_table_is_truth(chain: Chain, by_webhook: set[str]) -> None:
    """Check that the table equals the API, and that calls by webhook have turns as well."""
    wanted, silent = expected_rows(chain.truth()), by_webhook
    by_webhook = with_words(chain, by_webhook)
    found = table_rows(chain.bigquery, chain.table)
    for row in found:
        turns, is_by_webhook = row.pop("turns"), row["id"] in by_webhook
        assert (row["transcript_source"] == "webhook") == is_by_webhook
        assert bool(turns) == is_by_webhook
        said = [(turn["role"], turn["text"]) for turn in turns if turn["role"] in ("agent", "user")]
        assert said == [(m["role"], m["text"]) for m in row["transcript"] if is_by_webhook]
        assert [turn["position"] for turn in turns] == list(range(len(turns)))
        assert sorted(turn["time_sec"] for turn in turns) == [turn["time_sec"] for turn in turns]
        tools = [turn for turn in turns if turn["tool"]]
        assert [turn["role"] for turn in tools] == ["tool_call", "tool_result"] * (len(tools) // 2)
        if tools:
            assert json.loads(tools[0]["arguments"]) == {"hour": 10}
            assert (tools[0]["successful"], tools[1]["successful"]) == (None, True)
    for row in wanted:
        del row["turns"]
        if row["is_purged"]:
            row |= {"detail_updated_at": None, "detail_synced_at": None}
        if row["id"] in by_webhook:
            row["transcript_source"] = "webhook"
        elif row["id"] in silent:  # of one of these, the API has words that are no JSON
            row |= {"transcript_raw": None, "transcript_source": None}
    assert_equal_rows(found, wanted)


@pytest.mark.parametrize("anywhere", ["folder", "bucket"], indirect=True)
def test_details_are_requested_of_what_no_webhook_told(anywhere: Chain, receiver: Receiver) -> None:
    chain, sandbox = anywhere, anywhere.sandbox
    arrived = deliver(chain, receiver, **LOST)
    truth = chain.truth()
    assert len(truth) * 0.6 < len(arrived) < len(truth)

    calls = chain.summaries()
    chain.performance(calls)
    # The first try ends after it staged the transcripts. They count all the same.
    sandbox.faults.add("status", kind="detail", status=401, times=100)
    with pytest.raises(AirflowFailException, match="401"):
        chain.enrich(calls)
    sandbox.faults.clear()
    sandbox.reset_counters()
    details = chain.enrich(calls)
    chain.load(str(details.returned))
    assert requested(chain) == sorted(living(chain) - arrived)
    assert details.xcoms["summary"]["by_webhook"] == len(arrived)
    assert_table_is_truth(chain, arrived)
    chain.clean(str(details.returned), calls)

    # Staff edit every call once: that costs no detail.
    sandbox.reset_counters()
    for call in truth:
        sandbox.store.edit(call["id"], done=True, note="erledigt")
    chain.run()
    assert requested(chain) == []


def test_by_webhook_alone_costs_no_detail(chain: Chain, in_folder: Receiver) -> None:
    # The webhooks come after the task looked for them: they wait for the next run.
    chain.enrich_options = {"details": "by_webhook"}
    early = chain.run()
    arrived = deliver(chain, in_folder, **LOST)
    chain.clean(*early)
    torn = with_words(chain, arrived).pop()
    arrived.remove(torn)
    [call_id] = [call["call_id"] for call in chain.truth() if call["id"] == torn]
    for folder in (local(chain.staging_uri) / "inbox").glob("*/*"):
        (folder / "lost+found").mkdir()
        for path in folder.glob(f"{call_id}-*"):
            path.write_text("{")
    calls = chain.summaries()
    details = chain.enrich(calls, details="by_webhook")
    chain.load(str(details.returned))
    assert requested(chain) == []
    assert details.xcoms["summary"]["lacking"] == len(living(chain) - arrived)
    assert {row["id"] for row in chain.rows() if row["transcript"]} == with_words(chain, arrived)

    # The daily DAG makes it whole.
    chain.run(performance=True)
    assert requested(chain) == sorted(living(chain) - arrived)
    assert_table_is_truth(chain, arrived)


@pytest.mark.slow
def test_what_came_in_spring_is_taken_too(chain: Chain, in_folder: Receiver) -> None:
    arrived = deliver(chain, in_folder, webhooks="call.completed", **LOST)
    chain.run()
    rows = {row["id"]: row for row in chain.rows()}
    for call in chain.truth():
        row, source = rows[call["id"]], rows[call["id"]]["transcript_source"]
        if call["id"] in arrived:
            assert source == "webhook"
            assert row["transcript"] == json.loads(call["transcript"])
        assert row["turns"] == []


@pytest.mark.slow
def test_what_the_api_says_later_wins(chain: Chain, in_folder: Receiver) -> None:
    arrived = with_words(chain, deliver(chain, in_folder, **SENT))
    chain.run()
    turns = {row["id"]: row["turns"] for row in chain.rows()}
    assert {call_id for call_id, some in turns.items() if some} == arrived
    changed = next(iter(sorted(arrived)))
    chain.sandbox.store.edit(changed, transcript=[{"role": "agent", "text": "Berichtigt."}])

    calls = chain.summaries()
    chain.load(str(chain.enrich(calls, details="every_version").returned))
    rows = {row["id"]: row for row in chain.rows()}
    assert rows[changed]["transcript"] == [{"role": "agent", "text": "Berichtigt."}]
    assert rows[changed]["transcript_source"] == "api"
    # Only webhooks have the tools and times.
    assert {call_id: row["turns"] for call_id, row in rows.items()} == turns
    # A purge comes with a list row, or with a detail that was requested after the list.
    chain.sandbox.store.purge(changed)
    chain.summaries()
    late = max(arrived)
    chain.sandbox.store.edit(late, note="new")
    calls = str(chain.extract().returned)
    chain.sandbox.store.purge(late)
    chain.load(str(chain.enrich(calls, details="every_version").returned))
    rows = {row["id"]: row for row in chain.rows()}
    for call_id in (changed, late):
        assert (rows[call_id]["turns"], rows[call_id]["transcript_source"]) == ([], None)


def test_events_leave_the_inbox(chain: Chain, in_folder: Receiver) -> None:
    def inbox() -> list[Path]:
        return [path for path in (local(chain.staging_uri) / "inbox").rglob("*") if path.is_file()]

    def call_of(path: Path) -> str:
        return str(json.loads(path.read_text("utf-8"))["call_id"])

    def calls_in_inbox() -> set[str]:
        return {call_of(path) for path in inbox()}

    def store(call_id: str, started: str) -> Path:
        turn = {"timestamp": started, "time_sec": 0}
        call = CALL_ENDED | {"agent_id": agent_id, "call_id": call_id, "transcript": [turn]}
        return Path(Event.parse(body_of(call)).store(parse_uri(chain.staging_uri)).path)

    agent_id = chain.sandbox.store.agent_ids[0]
    deliver(chain, in_folder, **SENT)
    # The events of these are filed under the days beside.
    for start, told in (
        ("2026-03-16T00:00:00Z", "2026-03-15T23:59:59Z"),
        ("2026-03-16T23:59:59Z", "2026-03-17T00:00:01Z"),
    ):
        call = chain.sandbox.store.insert_late(agent_id, start)
        store(next(c["call_id"] for c in chain.truth() if c["id"] == call), told)
    calls, details = chain.run()
    every = calls_in_inbox()
    assert len(every) > 40
    age(*inbox(), by=HOUR)
    # They are loaded, so no other task needs them.
    chain.clean(details, calls)
    assert inbox() == []

    # They are delivered again. Events of calls that are purged or gone are deleted at once.
    deliver(chain, in_folder)
    truth = {call["call_id"]: call["id"] for call in chain.truth()}
    purged, erased = itertools.islice(sorted(every), 2)
    chain.sandbox.store.purge(truth[purged])
    chain.sandbox.store.erase(truth[erased])
    age(*(path for path in inbox() if call_of(path) == erased), by=2 * HOUR)
    # A receiver was killed while it wrote these.
    for path in inbox():
        if call_of(path) in (purged, erased):
            path.rename(path.with_name(unfinished_name(path.name)))
    # The calls of these may be in the walks of other days.
    others = [store("next", "2026-03-16T23:59:59Z"), store("far", "2026-03-01T12:00:00Z")]
    age(*others, by=2 * HOUR)
    others.append(others[0].with_name("README"))
    others[-1].write_text("not ours")
    calls = chain.summaries()
    chain.clean(calls)
    assert all(path.exists() for path in others)
    others[-1].unlink()
    assert every - calls_in_inbox() >= {purged, erased}
    assert len(calls_in_inbox()) > 30

    # Events of no call, and the unfinished files of a kill, expire, under a wrong day too.
    folder = local(chain.staging_uri) / "inbox" / AGENT
    paths = [
        folder / day / name
        for day in ("2026-03-01", "2999-01-01")
        for name in ("call_x-0123456789abcdef.json", ".call_x-0123456789abcdef.json.01234567")
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body_of(CALL_ENDED))
    chain.clean()
    assert all(path.exists() for path in paths)
    age(*paths)
    assert chain.clean().returned["expired"] >= len(paths)
    assert not any(path.parent.exists() for path in paths)


@pytest.mark.slow
def test_a_day_of_5000_calls_costs_its_lists_and_records(chain: Chain) -> None:
    chain.sandbox.reset(**chain.sandbox.settings.model_dump() | {"calls_per_day": 5000})
    # The sandbox sends a day's webhooks in seconds.
    settings = {"TALKPILOT_WEBHOOK_SECRET": SECRET, "TALKPILOT_WEBHOOK_RATE": "100000"}
    with running(PROGRAM, chain.staging_uri, settings) as receiver:
        arrived = deliver(chain, receiver, webhook_secret=SECRET)
    truth = chain.truth()
    assert len(truth) == 5000
    assert arrived == living(chain)
    for edited in (False, True):
        # Staff edit every call.
        for call in truth if edited else ():
            chain.sandbox.store.edit(call["id"], done=True, note="erledigt")
        chain.sandbox.reset_counters()
        chain.run(performance=True)
        assert requested(chain) == []
        assert chain.sandbox.counters.total() <= 105
        if not edited:
            assert_table_is_truth(chain, arrived)
