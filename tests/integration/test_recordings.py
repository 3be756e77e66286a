"""Recordings are archived once, and deleted before their rows are emptied."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from google.cloud.bigquery import Client, QueryJob

from airflow_provider_talkpilot.recordings.archive import RecordingArchive
from airflow_provider_talkpilot.recordings.delete import Recording, delete_recordings
from airflow_provider_talkpilot.staging.manifests import load_manifest
from airflow_provider_talkpilot.staging.names import unfinished_name
from airflow_provider_talkpilot.staging.parts import read_records
from airflow_provider_talkpilot.staging.rows.columns import RECORDING_COLUMNS
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, Kill, age, local, names, staged_files
from tests.support.jobs import Death
from tests.support.tables import Row, tables

ROUNDS = int(os.environ.get("TALKPILOT_KILL_ROUNDS", "6"))
CONCURRENCY = 8


class Recorded:
    """The chain, with an archive of recordings."""

    def __init__(self, chain: Chain, uri: str) -> None:
        self.chain, self.uri, self.sandbox = chain, uri, chain.sandbox
        chain.enrich_options = {"recordings_uri": uri, "concurrency": CONCURRENCY}
        chain.load_options = {"recordings_uri": uri}

    def objects(self) -> dict[str, bytes]:
        """Return the content of every object, by its path without the bucket's connection."""
        read = parse_uri(self.uri).fs.cat_file
        # The unfinished files of a killed task are hidden.
        found = [name for name in names(self.uri) if "/." not in name]
        return {name.lstrip("/"): read(name) for name in found}

    def rows(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.chain.rows(own_times=True)}

    def staged(self, **options: Any) -> list[Row]:
        """Extract and enrich; return the staged details."""
        calls = str(self.chain.extract().returned)
        path = parse_uri(str(self.chain.enrich(calls, **options).returned))
        parts = load_manifest(path).parts
        return [row for part in parts for row in read_records(path.parent / part.name)]

    def audio(self) -> Counter[str]:
        """Return how often each recording was requested since the last time."""
        found = Counter(r.path for r in self.sandbox.requests if r.kind == "audio")
        self.sandbox.reset_counters()
        return found

    def assert_archive_is_table(self) -> list[Row]:
        """Check that objects and archived rows belong to each other; return these rows."""
        archived = [row for row in self.rows().values() if row["recording_uri"]]
        objects = self.objects()
        for row in archived:
            content = objects.pop(row["recording_uri"].partition("://")[2].lstrip("/"))
            assert row["recording_status"] == "archived"
            assert row["recording_archived_at"] is not None
            assert row["recording_bytes"] == len(content)
            assert row["recording_sha256"] == sha256(content).hexdigest()
            assert row["recording_type"] == "audio/wav"
            day = f"{row['created_at']:%Y/%m/%d}"
            assert row["recording_uri"].endswith(f"/{row['agent_id']}/{day}/{row['id']}.wav")
        assert not objects, "objects without a row"
        return archived

    def run_then_lose_two(self) -> tuple[Row, Row]:
        """Archive all, then purge a call and erase another at TalkPilot; return their rows."""
        self.chain.run()
        purged, erased, *_ = self.assert_archive_is_table()
        self.sandbox.store.purge(purged["id"])
        self.sandbox.store.erase(erased["id"])
        return purged, erased


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """An S3 on this machine, as a file system of s3fs."""
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3FileSystem(key="fake", secret="fake", endpoint_url=f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def s3_bucket(s3: Any) -> str:
    """A URI in an empty bucket of S3 that keeps versions.

    Airflow's Amazon provider, which is not installed here, makes the same file system.
    """
    name = f"test-{uuid4().hex[:12]}"
    s3.mkdir(name)
    versioning = {"Status": "Enabled"}
    s3.call_s3("put_bucket_versioning", Bucket=name, VersioningConfiguration=versioning)
    import_module(ObjectStoragePath.__module__).attach("s3", conn_id=name, fs=s3)
    return f"s3://{name}@{name}/recordings"


@pytest.fixture
def recorded(chain: Chain, tmp_path: Path) -> Recorded:
    return Recorded(chain, (tmp_path / "recordings").as_uri())


@pytest.fixture(params=["folder", "bucket", "s3_bucket"])
def anywhere(recorded: Recorded, request: pytest.FixtureRequest) -> Recorded:
    """The archive in a folder, or in a bucket."""
    if request.param == "folder":
        return recorded
    return Recorded(recorded.chain, request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    ("anywhere", "era"),
    [
        *((place, "now") for place in ("folder", "bucket", "s3_bucket")),
        pytest.param("folder", "spring", marks=pytest.mark.slow),
    ],
    indirect=["anywhere"],
)
def test_recordings_are_archived_beside_their_rows(
    anywhere: Recorded, log_of: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    recorded = anywhere
    caplog.set_level("DEBUG")
    recorded.chain.run()
    archived = recorded.assert_archive_is_table()
    others = [row for row in recorded.rows().values() if not row["recording_uri"]]
    assert len(archived) > 20
    assert {row["recording_status"] for row in others if not row["is_purged"]} <= {"expired"}
    purged = [row for row in others if row["is_purged"]]
    assert all(row[name] is None for row in purged for name in RECORDING_COLUMNS)
    # The key goes to the API alone, and the address nowhere.
    audio = [request for request in recorded.sandbox.requests if request.kind == "audio"]
    assert audio
    assert not any(request.key_prefix for request in audio)
    storage = urlsplit(recorded.sandbox.storage_url).netloc
    text = "".join(path.read_text() for path in staged_files(recorded.chain.staging_uri))
    assert storage not in text + log_of() + caplog.text + str(recorded.rows())
    # Archived recordings are not fetched again, and their details not requested.
    recorded.sandbox.reset_counters()
    recorded.chain.run()
    assert recorded.sandbox.counters["audio"] == recorded.sandbox.counters["detail"] == 0
    assert recorded.assert_archive_is_table() == archived


@pytest.mark.parametrize(
    ("status", "prepare", "options"),
    [
        ("archived", lambda s, _: s.faults.add("status", kind="audio", status=503), {}),
        ("none", lambda s, c: s.store.edit(c, audio_file_url=None), {}),
        ("expired", lambda s, _: s.settings.patch(recordings="signed", audio_url_seconds=-1), {}),
        ("too_large", lambda *_: None, {"recordings_max_bytes": 800}),
        ("refused", lambda s, c: s.store.edit(c, audio_file_url="http://169.254.169.254/a"), {}),
        ("failed", lambda s, _: s.faults.add("cut", kind="audio", times=3), {}),
    ],
)
def test_each_status(
    recorded: Recorded, status: str, prepare: Callable[[Any, str], object], options: dict[str, Any]
) -> None:
    sandbox = recorded.sandbox
    sandbox.reset(agents=1, calls_per_day=1, dead_recording_every=0)
    [call] = sandbox.store.truth(*recorded.chain.interval)
    prepare(sandbox, call["id"])
    [row] = recorded.staged(**options)
    assert row["recording_status"] == status
    assert ("recording_uri" in row) == (status == "archived")
    assert len(recorded.objects()) == (status == "archived")


def test_an_archive_that_cannot_be_written_stops_nothing(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    local(recorded.uri).write_text("no folder")
    rows = recorded.staged()
    assert {row.get("recording_status") for row in rows} <= {"failed", "expired", None}
    assert caplog.text.count("Recordings are not archived") == 1
    assert caplog.text.count("Recordings do not go through it") == 1


def test_what_the_bucket_has_is_not_fetched_again(recorded: Recorded) -> None:
    recorded.chain.run()
    before = {row["id"]: row for row in recorded.assert_archive_is_table()}
    assert max(recorded.audio().values()) == 1
    recorded.chain.bigquery.delete_table(recorded.chain.table)
    recorded.chain.forget_staging()
    archived = local(next(iter(before.values()))["recording_uri"])
    left = [archived.with_name(unfinished_name(archived.name)) for _ in range(2)]
    for path in left:
        path.write_bytes(b"RIFF")
    age(left[0], by=timedelta(hours=2))
    recorded.chain.run()
    assert [path.exists() for path in left] == [False, True], "a task may be writing the other"
    again = {path.rpartition("/")[2].removesuffix(".wav") for path in recorded.audio()}
    assert not again & before.keys()
    after = recorded.assert_archive_is_table()
    assert [row["recording_sha256"] for row in after] == [
        before[row["id"]]["recording_sha256"] for row in after
    ]


def test_a_bucket_that_keeps_what_is_deleted_is_named(
    bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = parse_uri(bucket)
    kept = {"softDeletePolicy": {"retentionDurationSeconds": "604800"}, "retentionPolicy": {"a": 1}}
    monkeypatch.setattr(root.fs, "info", lambda _: kept)  # no emulator has such settings
    RecordingArchive(root)
    assert "has soft delete and a retention policy: recordings of purged calls" in caplog.text


def test_known_details_are_requested_for_recordings_by_choice_alone(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    chain = recorded.chain
    chain.load(str(chain.enrich(chain.summaries(), recordings_uri=None).returned))
    chain.age_details()
    chain.spent()
    chain.run()
    assert chain.details_requested() == 0
    wanted = sum(not row["is_purged"] for row in recorded.rows().values())
    chain.enrich_options["recordings_backfill"] = True
    chain.run()
    assert chain.details_requested() == wanted
    assert f"Of these, {wanted} for their recording alone." in caplog.text
    assert recorded.assert_archive_is_table()
    chain.run()
    assert chain.details_requested() == 0


def test_a_purge_and_an_erasure_delete_the_recordings(anywhere: Recorded) -> None:
    recorded, lost = anywhere, anywhere.run_then_lose_two()
    recorded.chain.run()
    for row in lost:
        assert all(recorded.rows()[row["id"]][name] is None for name in RECORDING_COLUMNS)
    recorded.assert_archive_is_table()


def test_a_load_killed_between_a_recording_and_its_row(recorded: Recorded, kill: Kill) -> None:
    lost = recorded.run_then_lose_two()
    calls = str(recorded.chain.extract().returned)
    between = Death("airflow_provider_talkpilot.bigquery.load:delete_recordings", after=True)
    kill("load", calls, death=between)
    for row in lost:
        assert not any(row["id"] in name for name in recorded.objects())
        assert recorded.rows()[row["id"]] == row
    recorded.chain.load(calls)
    assert len(recorded.assert_archive_is_table()) > 20


def test_a_staging_table_that_another_load_emptied_proves_nothing(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.run_then_lose_two()
    chain, before = recorded.chain, (recorded.rows(), recorded.objects())
    calls, query = str(chain.extract().returned), Client.query

    def late(self: Client, statement: str, *args: Any, **options: Any) -> QueryJob:
        if "AS uri" in statement:
            [name] = [name for name in tables(chain.bigquery, chain.table) if "_staging_" in name]
            name = f"{chain.table.rpartition('.')[0]}.{name}"
            query(self, f"DELETE FROM `{name}` WHERE TRUE").result()
        return query(self, statement, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "query", late)
        chain.load(calls)
    assert (recorded.rows(), recorded.objects()) == before
    chain.load(calls)
    recorded.assert_archive_is_table()


def test_a_recording_that_came_after_its_purge_was_loaded_goes_with_the_next_load(
    recorded: Recorded,
) -> None:
    """A task had its address before, and was killed before it staged the detail."""
    paths = [local(row["recording_uri"]) for row in recorded.run_then_lose_two()]
    contents = [path.read_bytes() for path in paths]
    calls = recorded.chain.summaries()
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert recorded.chain.load(calls).returned["recordings_deleted"] == 2
    recorded.assert_archive_is_table()


def test_a_recording_from_before_the_start_was_corrected_goes_too(tmp_path: Path) -> None:
    """A killed task archived it, so no row names it."""
    call = Recording(str(uuid4()), "agent", datetime(2026, 3, 17, tzinfo=UTC))
    audio = tmp_path / "agent" / "2026" / "03" / "16" / f"{call.id}.wav"
    audio.parent.mkdir(parents=True)
    audio.touch()
    assert delete_recordings([call], parse_uri(str(tmp_path))) == 1
    assert not audio.exists()


def test_a_folder_named_as_a_call_is_no_recording(tmp_path: Path) -> None:
    call = Recording(str(uuid4()), "agent", datetime.now(UTC))
    folder = tmp_path.joinpath("agent", f"{call.created_at:%Y/%m/%d}", call.id)
    folder.mkdir(parents=True)
    assert delete_recordings([call], parse_uri(str(tmp_path))) == 0
    assert folder.is_dir()


def test_older_versions_go_too(s3: Any, s3_bucket: str) -> None:
    root, now = parse_uri(s3_bucket), datetime.now(UTC)
    forgotten, kept = (Recording(str(uuid4()), "agent", now) for _ in range(2))
    for call in (forgotten, kept):
        path = f"{root.path}/agent/{now:%Y/%m/%d}/{call.id}.wav"
        s3.pipe_file(path, b"older")
        s3.pipe_file(path, b"newer")
        s3.rm_file(path)
    assert delete_recordings([forgotten], root) == 3
    versions = s3.call_s3("list_object_versions", Bucket=root.path.partition("/")[0])
    found = versions["Versions"] + versions["DeleteMarkers"]
    assert len(found) == 3
    assert all(kept.id in each["Key"] for each in found)


@pytest.mark.parametrize("knows", [True, False])
def test_a_purge_reaches_a_recording_that_no_row_names(recorded: Recorded, knows: bool) -> None:
    """It is found by its name, or once its details are loaded."""
    chain = recorded.chain
    details = str(chain.enrich(chain.summaries()).returned)
    name = next(iter(recorded.objects()))
    recorded.sandbox.store.purge(name.rpartition("/")[2].removesuffix(".wav"))
    root = recorded.uri if knows else None
    chain.load(str(chain.extract().returned), recordings_uri=root)
    assert (name in recorded.objects()) != knows
    chain.load(details, recordings_uri=root)
    assert name not in recorded.objects()
    recorded.assert_archive_is_table()


@pytest.mark.parametrize("keep_days", [None, 30])
def test_a_recording_of_a_call_that_has_moved_since_goes_too(
    recorded: Recorded, keep_days: int | None
) -> None:
    """It stays where it was archived, in the folder of the agent that had the call."""
    chain = recorded.chain
    chain.run()
    row = recorded.assert_archive_is_table()[0]
    here = local(row["recording_uri"])
    there = local(recorded.uri).joinpath("another", *here.parts[-4:])
    there.parent.mkdir(parents=True)
    here.rename(there)
    chain.bigquery.query(
        f"UPDATE `{chain.table}` SET recording_uri = 'file://{there}' WHERE id = '{row['id']}'"
    ).result()
    if not keep_days:
        recorded.sandbox.store.purge(row["id"])
    chain.load(str(chain.extract().returned), recordings_keep_days=keep_days)
    assert recorded.rows()[row["id"]]["recording_uri"] is None
    assert not there.exists()


def test_recordings_are_kept_for_so_many_days(recorded: Recorded) -> None:
    chain = recorded.chain
    calls, _ = chain.run()
    archived, today = recorded.assert_archive_is_table(), datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    late = chain.sandbox.store.insert_late(archived[0]["agent_id"], f"{yesterday}T00:00:00Z")
    interval, chain.interval = chain.interval, (str(yesterday), str(today))
    chain.run()
    chain.interval = interval
    young = recorded.rows().pop(late)
    assert young["recording_status"] == "archived"
    for days, deleted in ((10_000, 0), (30, len(archived))):
        loaded = chain.load(calls, recordings_keep_days=days).returned
        assert loaded["recordings_deleted"] == deleted
    [left] = recorded.objects()
    assert late in left
    rows = recorded.rows()
    assert rows.pop(late) == young
    for row in archived:
        kept = rows[row["id"]]
        assert (kept["recording_status"], kept["recording_uri"]) == ("deleted", None)
        assert kept["phone_number"] == row["phone_number"]
    chain.spent()
    chain.forget_staging()
    chain.bigquery.delete_table(chain.table)
    chain.enrich_options["recordings_keep_days"] = 30
    chain.run()
    spent = chain.spent()
    assert (spent["detail"], spent.get("audio", 0)) == (len(rows), 0)
    assert [*recorded.objects()] == [left]


@pytest.mark.slow
def test_killed_at_any_moment(recorded: Recorded, kill: Kill) -> None:
    """No object is torn or without its row, and none is fetched twice but those in flight."""
    recorded.sandbox.reset(dead_recording_every=0, recording_bytes=200_000)
    chain, chance = recorded.chain, random.Random(1)
    for _ in range(ROUNDS):
        shutil.rmtree(local(recorded.uri), ignore_errors=True)
        shutil.rmtree(local(chain.staging_uri), ignore_errors=True)
        chain.bigquery.delete_table(chain.table, not_found_ok=True)
        calls = chain.summaries()
        recorded.sandbox.reset_counters()
        kill("enrich", calls, request=chance.randrange(1, 60), kinds="detail audio")
        whole = {name for name in recorded.objects() if name.endswith(".wav")}
        chain.load(str(chain.enrich(calls).returned))
        assert len(recorded.assert_archive_is_table()) > 20
        twice = {path for path, count in recorded.audio().items() if count > 1}
        assert len(twice) <= CONCURRENCY
        assert not {path.rpartition("/")[2] for path in twice} & {
            name.rpartition("/")[2] for name in whole
        }
