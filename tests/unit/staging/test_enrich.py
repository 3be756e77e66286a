"""Enrichment: what waits is staged meanwhile, and a kill costs at most a batch."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, cast

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import CallDetail, Interval, Quota, TalkPilotClient, prefetch
from airflow_provider_talkpilot.api.errors import InvalidRecordError
from airflow_provider_talkpilot.api.quota import Permit
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.enrich import details
from airflow_provider_talkpilot.staging.enrich.details import BATCH_ROWS, MOST_ACCIDENTS
from airflow_provider_talkpilot.staging.enrich.enrichment import enrich_calls
from airflow_provider_talkpilot.staging.enrich.options import MOST_IN_FLIGHT, EnrichOptions
from airflow_provider_talkpilot.staging.errors import StagingError, TooManyRejectsError
from airflow_provider_talkpilot.staging.extract.extraction import extract_calls
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions
from airflow_provider_talkpilot.staging.manifests import DetailsManifest, ListManifest
from airflow_provider_talkpilot.staging.parts import PartWriter, read_records
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.support.waiting import wait_until
from tests.unit.api.conftest import unlimited_quota

START = datetime(2026, 3, 16, tzinfo=UTC)
DAY = ("2026-03-16", "2026-03-17")
AGENT_ID = "00000000-0000-4000-8000-00000000000a"


def call_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


class Client:
    """Responds with details; those in ``bad`` do not fit."""

    def __init__(self, *, bad: range = range(0)) -> None:
        self.quota, self.requests, self.bad = Quota(), Counter[str](), bad

    def call(self, agent_id: str, call_id: str, permit: Permit) -> CallDetail:
        self.requests["detail"] += 1
        self.quota.record_response(permit, {})
        record = {
            "id": call_id,
            "agent_id": agent_id,
            "created_at": START,
            "final_score": 7,
            "audio_file_url": "https://storage.example/signed",
        }
        if int(call_id[-12:]) in self.bad:
            raise InvalidRecordError("It does not fit.", record=record, reason="final_score: no")
        return CallDetail.model_validate(record)


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStoragePath:
    return parse_uri(tmp_path.as_uri())


def stage(folder: ObjectStoragePath, count: int) -> ObjectStoragePath:
    """What an extract task leaves behind."""
    manifest = ListManifest(start=START, end=START + timedelta(days=1), started_at=START)
    with PartWriter(folder, "calls") as writer:
        writer.write(
            {"id": call_id(number), "agent_id": AGENT_ID, "created_at": START}
            for number in range(count)
        )
        part = writer.flush()
    manifest.parts += [part] if part else []
    return manifest.save(folder)


def enrich(calls: ObjectStoragePath, client: Client, **options: Any) -> DetailsManifest:
    found, _ = enrich_calls(cast(TalkPilotClient, client), calls, options=EnrichOptions(**options))
    return found


def rows(folder: ObjectStoragePath, kind: str) -> list[dict[str, Any]]:
    """The staged records of a kind, in order."""
    parts = sorted(Path(folder.path).glob(f"{kind}-0*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_bytes().splitlines()]


def staged(folder: ObjectStoragePath) -> list[str]:
    """Ids of the details that a kill at this moment would leave, in order."""
    return [row["id"] for row in rows(folder, "details")]


def test_an_api_that_changed_gets_no_more_requests(folder: ObjectStoragePath) -> None:
    client = Client(bad=range(500))
    with pytest.raises(TooManyRejectsError):
        enrich(stage(folder, 500), client, concurrency=4)
    assert client.requests["detail"] <= MOST_ACCIDENTS + 1 + 6
    assert len(rows(folder, "rejects")) == client.requests["detail"]


@pytest.fixture
def quick_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "IDLE_SECONDS", 0.05)


@pytest.mark.usefixtures("quick_idle")
@pytest.mark.parametrize("slow", [0, 3])
def test_results_are_staged_while_one_is_waited_for(folder: ObjectStoragePath, slow: int) -> None:
    class Slow(Client):
        def call(self, agent_id: str, call_id: str, permit: Permit) -> CallDetail:
            if int(call_id[-12:]) == slow:
                wait_until(lambda: len(staged(folder)) == 3)
            return super().call(agent_id, call_id, permit)

    client = Slow()
    client.quota = unlimited_quota()
    assert enrich(stage(folder, 4), client).rows == 4


@pytest.mark.usefixtures("quick_idle")
def test_results_are_staged_before_the_quota_is_waited_for(folder: ObjectStoragePath) -> None:
    class Watching(Client):
        def call(self, agent_id: str, call_id: str, permit: Permit) -> CallDetail:
            assert len(staged(folder)) == int(call_id[-12:]) // 3 * 3
            return super().call(agent_id, call_id, permit)

    client = Watching()
    client.quota = Quota(requests_per_minute=3, minute=1)
    assert enrich(stage(folder, 6), client).rows == 6


class SlowArchive:
    """Archives one recording after the other, slower than details come."""

    def __init__(self) -> None:
        self._lock, self.closed = Lock(), False

    def archive(self, call: CallDetail) -> dict[str, Any]:
        with self._lock:
            time.sleep(0.001)
        return {"recording_status": "none"}

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("concurrency", [1, MOST_IN_FLIGHT])
@pytest.mark.parametrize("archive", [None, SlowArchive()])
def test_a_kill_at_any_moment_costs_at_most_a_batch(
    folder: ObjectStoragePath,
    monkeypatch: pytest.MonkeyPatch,
    concurrency: int,
    archive: SlowArchive | None,
) -> None:
    # A slow machine stages more parts.
    monkeypatch.setattr(details, "BATCH_SECONDS", math.inf)
    monkeypatch.setattr("airflow_provider_talkpilot.api.prefetch.IDLE_SECONDS", 3600.0)
    counting = Lock()

    class Watching(Client):
        def call(self, agent_id: str, call_id: str, permit: Permit) -> CallDetail:
            with counting:
                assert self.requests["detail"] + 1 - len(staged(folder)) <= BATCH_ROWS
                return super().call(agent_id, call_id, permit)

    manifest = enrich(stage(folder, 450), Watching(), concurrency=concurrency, archive=archive)
    assert manifest.rows == 450
    assert manifest.recordings == ({"none": 450} if archive else {})
    assert len(manifest.parts) <= 450 / (BATCH_ROWS - MOST_IN_FLIGHT) + 1


def test_small_parts_are_packed(folder: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "PACKED_PARTS", 10)
    manifest = enrich(stage(folder, 5_250), Client(), concurrency=4)
    *large, _ = [part.rows for part in manifest.parts if part.rows > BATCH_ROWS]
    assert len(large) >= 4
    assert len(manifest.parts) < len(large) + 1 + 10
    assert sorted(path.name for path in Path(folder.path).glob("details-0*")) == sorted(
        part.name for part in manifest.parts
    )
    assert staged(folder) == [call_id(number) for number in range(5_250)]
    assert manifest.has_all_files(folder)


def test_killed_while_it_packs(folder: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch) -> None:
    """The large part is stored, and the small ones too: none is requested or loaded twice."""

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(details, "PACKED_PARTS", 10)
    calls, archive = stage(folder, 1_500), SlowArchive()
    with monkeypatch.context() as patched:
        patched.setattr(storage, "delete", kill)
        with pytest.raises(Killed):
            enrich(calls, Client(), concurrency=1, archive=archive)
    assert archive.closed, "no recording takes the time that is left"
    left = staged(folder)
    assert len(left) > len(set(left)) > 900
    again = Client()
    manifest = enrich(calls, again, concurrency=1)
    assert again.requests["detail"] == 1_500 - len(set(left))
    found = [row["id"] for part in manifest.parts for row in read_records(folder / part.name)]
    assert sorted(found) == [call_id(number) for number in range(1_500)]


def test_an_agent_that_is_gone_costs_few_requests(folder: ObjectStoragePath) -> None:
    """No more of its details are requested; those of the other agent come."""
    with (
        Sandbox(days=1, calls_per_day=150, hidden_agent_status=404) as sandbox,
        TalkPilotClient(sandbox.base_url, sandbox.api_key, quota=unlimited_quota()) as client,
    ):
        sandbox.settings.patch(requests_per_minute=None, requests_per_hour=None)
        _, calls = extract_calls(client, folder, ExtractOptions(Interval.parse(*DAY)))
        gone, other = sandbox.store.agent_ids
        sandbox.settings.api_keys[sandbox.api_key].allowed_agent_ids = [other]
        sandbox.reset_counters()
        manifest, _ = enrich_calls(client, calls, options=EnrichOptions(concurrency=1))
        lost, others = (len(sandbox.store.truth(*DAY, [agent])) for agent in (gone, other))
        spent = sandbox.counters
    assert manifest.rows - manifest.vanished >= others
    assert spent["calls"] == 1, "to see whether the agent is there"
    assert others + details.MOST_VANISHED <= spent["detail"] < others + lost / 2


def test_staged_details_that_are_deleted_again_and_again(folder: ObjectStoragePath) -> None:
    calls, client, numbers = stage(folder, 30), Client(), count(1)
    enrich(calls, client)

    def known(_: ListManifest) -> tuple[()]:
        [part] = Path(folder.path).glob("details-0*")
        part.rename(part.with_name(f"details-{next(numbers):05}{part.name[13:]}"))
        return ()

    with pytest.raises(StagingError, match="was deleted while"):
        enrich_calls(cast(TalkPilotClient, client), calls, known=known)
    assert enrich(calls, client).rows == client.requests["detail"] == 30


def test_details_that_cannot_be_copied_are_not_taken_for_staged(
    folder: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, again = (
        folder / dag_id / "connection/all/20260316T000000Z_20260317T000000Z"
        for dag_id in ("failed", "again")
    )
    enrich(stage(failed, 30), Client())
    calls, client = stage(again, 30), Client()

    def write(_writer: PartWriter, _rows: object) -> None:
        raise StagingError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(PartWriter, "write", write)
        with pytest.raises(StagingError, match="disk is full"):
            enrich(calls, client)
    assert enrich(calls, client).rows == 30
    assert client.requests["detail"] == 0
