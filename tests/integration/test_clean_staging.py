"""The last task deletes what is loaded, and what is not loaded once it expires."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_talkpilot.staging.parts import read_intact
from tests.integration.chain import Chain, Kill, age, local, names, refused, staged_files
from tests.support.jobs import Death

pytestmark = pytest.mark.slow


def test_kept_by_choice(chain: Chain) -> None:
    manifests = chain.run()
    before = names(chain.staging_uri)
    age(*staged_files(chain.staging_uri))
    assert not any(chain.clean(*manifests, keep_staged="True").returned.values())
    assert names(chain.staging_uri) == before


def test_mapped_tasks_with_choices_and_a_selection(chain: Chain) -> None:
    chain.extract_options |= {"columns": {"transcript": "drop"}, "done": True}
    chain.clean(manifest_uris=[[chain.summaries()], [None, "None"]], keep_staged="false")
    assert names(chain.staging_uri) == []


def test_a_failed_run_expires(chain: Chain) -> None:
    calls = str(chain.extract(dag_id="other").returned)
    chain.enrich(calls, dag_id="other")
    folder = local(calls).parent
    left = [
        folder / "calls-checkpoint.json",
        folder / "details-checkpoint.json",
        folder / "rejects-00000-0123456789abcdef.jsonl",
        folder / "calls-loaded-0123456789abcdef.json",
        folder / ".details-00012-0123456789abcdef.jsonl.89abcdef",
    ]
    for path in left:
        path.write_text(local(calls).read_text())
    age(*staged_files(chain.staging_uri), by=timedelta(days=6, hours=23))
    assert chain.clean(*chain.run()).returned["expired"] == 1, "no more than the unfinished file"
    age(*staged_files(chain.staging_uri))
    assert chain.clean(*chain.run()).returned["expired"] == 4 + 3
    assert names(chain.staging_uri) == []
    assert not folder.exists()


def test_how_long_can_be_chosen_in_a_bucket_too(chain: Chain, bucket: str) -> None:
    chain.staging_uri = bucket
    assert not any(chain.clean().returned.values()), "nothing was ever staged"
    chain.enrich(str(chain.extract().returned))
    assert chain.clean(max_age=timedelta(minutes=5)).returned["expired"] == 0
    assert len(names(bucket)) == 4
    assert chain.clean(max_age=timedelta(microseconds=1)).returned["expired"] == 4
    assert names(bucket) == []


def test_a_long_enrichment_does_not_expire_while_it_is_at_work(chain: Chain) -> None:
    """It writes a checkpoint with every batch, so nothing in its folder expires."""
    chain.sandbox.faults.add("no_start", kind="detail", after=20)
    calls = str(chain.extract(dag_id="other").returned)
    with pytest.raises(AirflowFailException):
        chain.enrich(calls, dag_id="other")
    before = staged_files(chain.staging_uri)
    checkpoint = local(calls).with_name("details-checkpoint.json")
    age(*(path for path in before if path != checkpoint))
    chain.clean()
    assert staged_files(chain.staging_uri) == before


def test_files_of_others_are_never_touched(chain: Chain, tmp_path: Path) -> None:
    manifests = chain.run()
    folder, root = local(manifests[0]).parent, local(chain.staging_uri)
    outside = tmp_path / "outside" / "all" / folder.name
    outside.mkdir(parents=True)
    (root / "linked").mkdir()
    (root / "linked" / "talkpilot_default").symlink_to(outside.parents[1])
    (folder.parent / "20260301T000000Z_20260302T000000Z").symlink_to(outside)
    strangers = [
        root / "README",
        root / "all" / "calls-manifest-0123456789abcdef.json",
        folder.parent / "calls-manifest-0123456789abcdef.json",
        folder.parent / "2026-03-01_2026-03-02" / "calls-00000-0123456789abcdef.jsonl",
        folder.parent / "20260302T000000Z_20260301T000000Z" / "calls-checkpoint.json",
        folder.parents[1] / "some" / folder.name / "calls-checkpoint.json",
        folder / "README",
        folder / "details-notes.jsonl",
        folder / "calls-99999.jsonl",
        folder / "calls-00000-0123456789abcdef.jsonl.bak",
        folder / "calls-00000-0123456789ABCDEF.jsonl",
        folder / "deeper" / "calls-00000-0123456789abcdef.jsonl",
        outside / "calls-00000-0123456789abcdef.jsonl",
    ]
    for stranger in strangers:
        stranger.parent.mkdir(parents=True, exist_ok=True)
        stranger.write_text("not ours\n")
    link = folder / "calls-00001-0123456789abcdef.jsonl"
    link.symlink_to(strangers[0])
    age(*strangers)
    chain.clean(*manifests)
    age(*strangers)
    chain.clean()
    assert all(stranger.read_text() == "not ours\n" for stranger in strangers)
    assert set(staged_files(chain.staging_uri)) == {*strangers[:-1], link}


def test_a_manifest_that_is_not_below_the_staging_uri(chain: Chain) -> None:
    manifests = chain.run()
    before = names(chain.staging_uri)
    path = local(manifests[0])
    for place in (
        "{outside}/calls/talkpilot_default/all/{interval}/{manifest}",
        "{root}/calls/talkpilot_default/all/{interval}/../../../../../x/{manifest}",
        "{root}/../calls/talkpilot_default/all/{interval}/{manifest}",
        "{root}/calls/../all/{interval}/{manifest}",
        "{root}/calls/talkpilot_default/all/{interval}/README",
        "{root}/calls/talkpilot_default/all/{interval}/calls-loaded-0123456789abcdef.json",
        "{root}/{manifest}",
        "{root}x/calls/talkpilot_default/all/{interval}/{manifest}",
        "gs://bucket/calls/talkpilot_default/all/{interval}/{manifest}",
    ):
        uri = place.format(
            root=chain.staging_uri,
            outside="file:///x",
            interval=path.parent.name,
            manifest=path.name,
        )
        with pytest.raises(AirflowFailException, match=r"give the staging_uri of|write the whole"):
            chain.clean(uri, *manifests)
        assert names(chain.staging_uri) == before


def test_what_cannot_be_read_is_left_alone_and_the_rest_is_cleaned(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not known which parts a manifest of another version names."""
    other = local(str(chain.extract(dag_id="another").returned))
    loaded = other.with_name("calls-loaded-0123456789abcdef.json")
    loaded.write_text(other.read_text())
    other.write_text('{"version": 2}')
    manifests = chain.run()
    before = staged_files(str(other.parent))
    chain.clean(*manifests)
    assert staged_files(chain.staging_uri) == before
    assert "no manifest of this version" in caplog.text


def test_two_runs_of_an_interval_at_once(chain: Chain) -> None:
    """Each cleans its own, whichever comes first."""
    first = chain.summaries()
    chain.sandbox.store.insert_late(chain.sandbox.store.agent_ids[0], "2026-03-16T11:11:11Z")
    second = chain.summaries()
    first_details = str(chain.enrich(first).returned)
    second_details = str(chain.enrich(second).returned)
    chain.load(first_details)
    chain.clean(first, first_details)
    kept = {path.name for path in staged_files(chain.staging_uri)}
    manifests = [json.loads(local(uri).read_text()) for uri in (second, second_details)]
    assert {part["name"] for each in manifests for part in each["parts"]} < kept
    chain.load(second_details)
    chain.clean(second, second_details)
    assert names(chain.staging_uri) == []
    chain.assert_table_is_truth()
    requests = Counter(r.path for r in chain.sandbox.requests if r.kind == "detail")
    assert set(requests.values()) == {1}


def test_one_cleans_while_the_other_fetches_details(chain: Chain) -> None:
    """What is deleted was loaded: it is neither requested again nor missed."""
    sandbox = chain.sandbox
    first = chain.summaries()
    first_details = str(chain.enrich(first).returned)
    for call in chain.truth()[:3]:
        sandbox.store.edit(call["id"], note="new")
    second = chain.summaries()
    sandbox.reset_counters()

    def clean_the_first(kind: str, count: int) -> None:
        if kind == "detail" and count == 2:
            chain.load(first_details)
            chain.clean(first, first_details)

    sandbox.state.before_request = clean_the_first
    second_details = str(chain.enrich(second, concurrency=1).returned)
    assert sandbox.counters["detail"] == 3
    chain.load(second_details)
    chain.assert_table_is_truth()
    chain.clean(second, second_details)
    assert names(chain.staging_uri) == []


def test_one_cleans_while_the_other_plans(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it queried the table, and before it reads the staged details."""
    calls = chain.summaries()
    details = str(chain.enrich(calls).returned)
    second = chain.summaries()
    chain.spent()
    done = list[str]()

    def late(path: ObjectStoragePath) -> Any:
        if not done:
            done.append(details)
            chain.load(details)
            chain.clean(calls, details)
        return read_intact(path)

    monkeypatch.setattr("airflow_provider_talkpilot.staging.enrich.enrichment.read_intact", late)
    chain.load(chain.enrich(second).returned)
    assert done
    assert chain.details_requested() == 0
    chain.assert_table_is_truth()


STORAGE = "airflow_provider_talkpilot.staging.storage"
DEATHS = [
    *(Death(f"{STORAGE}:delete", call=number) for number in (1, 4, 6)),
    Death(f"{STORAGE}:put_text", after=True),
]


@pytest.mark.parametrize("death", DEATHS, ids=lambda d: f"{d.function[45:]}-{d.call}-{d.after}")
def test_clean_killed(chain: Chain, kill: Kill, death: Death) -> None:
    manifests = chain.run()
    kill("clean", *manifests, death=death)
    # A manifest that is there has its parts.
    for manifest in manifests:
        if local(manifest).exists():
            chain.load(manifest)
        else:
            refused(partial(chain.load, manifest), "no manifest")
    chain.clean(*manifests)
    assert names(chain.staging_uri) == []
    chain.assert_table_is_truth()
    for task in (chain.load, chain.enrich):
        refused(partial(task, manifests[0]), "Run the task that stages", "again")


def test_a_folder_that_goes_while_one_stages(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder is removed after another task created it and before it has a file."""
    original, times = Path.open, list[Path]()

    def late(path: Path, *args: Any, **options: Any) -> Any:
        if len(times) < 3 and path.name.startswith(".calls-") and path.parent.exists():
            times.append(path)
            path.parent.rmdir()
        return original(path, *args, **options)

    monkeypatch.setattr(Path, "open", late)
    chain.run()
    assert len(times) == 3
    chain.assert_table_is_truth()
