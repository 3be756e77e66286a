"""Staging: any object storage, and every byte of every text."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import LoadJob

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from tests.integration.chain import Chain, names, refused

TEXT = (
    'Größe "42"\\ \u2028 LS \u2029 PS \x85 NEL \x0b VT \x0c FF \x1c FS \r\n CRLF \n LF \t TAB '
    "🙂 👩\u200d🔬 e\u0301 \u202ertl\u202c \ufeff \x7f NULL:\\u0000 {} [] , ' ` </script> %s"
)


def test_texts_survive_unchanged(chain: Chain) -> None:
    call_id = chain.sandbox.store.insert_late(
        chain.sandbox.store.agent_ids[0],
        "2026-03-16T11:11:11.111111Z",
        note=TEXT,
        customer_name=TEXT[::-1],
        transcript=[{"role": "agent", "text": TEXT}, {"role": "user\u2028", "text": ""}],
    )
    chain.run()
    assert [row["note"] for row in chain.rows() if row["id"] == call_id] == [TEXT]
    chain.assert_table_is_truth()


@pytest.mark.google
def test_the_same_table_from_anywhere(anywhere: Chain, tmp_path: Path) -> None:
    """And no file is left there when all is loaded."""
    chain = anywhere
    if chain.staging_uri.startswith("file:"):
        chain.staging_uri = str(tmp_path / "no scheme, with ümlaut and space")
    manifests = chain.run()
    chain.assert_table_is_truth()
    chain.spent()
    assert len(names(chain.staging_uri)) == 4
    assert chain.clean(*manifests).returned == {"loaded": 4, "purged": 0, "expired": 0}
    assert names(chain.staging_uri) == []
    assert chain.spent() == {}
    assert not any(chain.clean(*manifests).returned.values()), "there is nothing more to do"

    # Staging has no details any more, but the table has: no detail is requested again.
    chain.clean(*chain.run())
    assert names(chain.staging_uri) == []
    chain.assert_table_is_truth()
    assert chain.details_requested() == 0


@pytest.mark.google
def test_a_bucket_is_loaded_by_bigquery_itself(chain: Chain, bucket: str) -> None:
    chain.staging_uri = bucket
    loaded = chain.load(chain.extract().returned).returned
    job = chain.bigquery.get_job(loaded["load_job_id"])
    assert isinstance(job, LoadJob)
    [uri] = job.source_uris
    assert uri.startswith(f"gs://{bucket.partition('@')[2]}/")


def test_a_machine_without_temporary_folder(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = str(chain.extract().returned)
    details = str(chain.enrich(calls).returned)
    chain.load(calls)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/1/tmp"])
    for task in (
        partial(chain.extract),
        partial(chain.load, calls),
        partial(chain.load, details),
        partial(chain.enrich, calls),
    ):
        refused(task, "set TMPDIR on all workers", kind=TalkPilotTaskError)


def test_other_work_has_another_folder_and_scope(chain: Chain) -> None:
    agents, phone = chain.sandbox.store.agent_ids, "+4915112345678"
    folders, scopes = set(), set()
    options: list[tuple[dict[str, Any], Any, list[str]]] = [
        ({}, None, []),
        ({"agent_ids": agents}, agents, []),
        ({"agent_ids": agents[:1]}, agents[:1], []),
        ({"done": True}, None, ["done"]),
        ({"done": False}, None, ["done"]),
        ({"search": "a"}, None, ["search"]),
        ({"phone_number": phone}, None, ["phone_number"]),
    ]
    for selection, agent_ids, selected in options:
        staged = chain.extract(**selection)
        folders.add(staged.returned.rpartition("/")[0])
        summary = staged.xcoms["summary"]
        scopes.add(summary["scope"])
        assert (summary["agent_ids"], summary["selection"]) == (agent_ids, selected)
        assert phone[1:] not in str(summary)
    assert len(scopes) == len(options)
    for other in ({"dag_id": "other"}, {"start": "2026-03-16", "end": "2026-03-16T12:00:00"}):
        staged = chain.extract(**other)
        folders.add(staged.returned.rpartition("/")[0])
        assert staged.xcoms["summary"]["scope"] in scopes
    assert len(folders) == len(options) + 2


def test_an_agents_id_in_any_form_is_one_agent(chain: Chain) -> None:
    """TalkPilot writes UUIDs in small letters; the load compares them with what was staged."""
    agents = chain.sandbox.store.agent_ids
    plain = str(chain.extract(agent_ids=agents).returned)
    for forms in ([each.upper() for each in agents], [*agents, f" {agents[0].upper()} "]):
        chain.extract_options["agent_ids"] = forms
        calls, _ = chain.run()
        assert calls.rpartition("/")[0] == plain.rpartition("/")[0]
        chain.assert_table_is_truth()


def test_a_selection_loads_what_it_selects_and_leaves_the_rest(chain: Chain) -> None:
    chain.extract_options["done"] = False
    chain.summaries()
    wanted = {call["id"] for call in chain.truth() if call["done"] is False}
    assert wanted
    assert {row["id"] for row in chain.rows()} == wanted

    chain.extract_options.clear()
    chain.run()
    before = chain.rows()
    chain.extract_options["done"] = False
    chain.run()
    assert chain.rows() == before
