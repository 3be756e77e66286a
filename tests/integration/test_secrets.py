"""The key and what callers said stay out of logs, XComs, rendered fields and exceptions."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import requests
from gcsfs.retry import validate_response

from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.staging.errors import StagingError, storage_errors
from airflow_provider_talkpilot.staging.inbox import Event
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, staged_files
from tests.integration.sensing import Connect
from tests.integration.test_performance import made_record, stage
from tests.integration.test_performance import rows as records
from tests.support.jobs import Ended, Jobs
from tests.support.personal import found_in, secrets_of


def assert_hidden(chain: Chain, ended: Ended, *more: str) -> None:
    """Check that nothing which a task leaves behind has the key, or texts of calls."""
    text = f"{ended.output}\n{ended.error}\n{ended.outcome}"
    assert "DEBUG" in ended.output
    assert not found_in(text, secrets_of(chain.sandbox) | dict.fromkeys(more, "more"))
    assert "tp_live_" not in text


def test_at_debug_through_the_whole_chain(chain: Chain, jobs: Jobs) -> None:
    number = next(c["phone_number"] for c in chain.truth() if c["phone_number"] and c["transcript"])
    chosen = {"phone_number": number, "search": "{{ params.name }}", "params": {"name": "e"}}
    extract = jobs.run(debug=True, **chain.arguments("extract", **chosen))
    digest = hashlib.sha256(f"phone_number={number}\nsearch=e".encode()).hexdigest()
    assert digest[:12] not in extract.output + str(extract.outcome), "whoever guesses can check"
    enrich = jobs.run(debug=True, **chain.arguments("enrich", extract.returned))
    load = jobs.run(debug=True, **chain.arguments("load", enrich.returned))
    assert load.returned["rows"] >= 1
    for ended in (extract, enrich, load):
        assert_hidden(chain, ended)


def test_addresses_of_recordings_are_stored_nowhere(chain: Chain) -> None:
    """Not under the names that webhooks have for them either, at no depth, and not in rejects."""
    address, call = "https://storage.example/1.wav?token=signed", chain.truth()[5]
    unknown: dict[str, Any] = {
        "recording_url": address,
        "media": [{"public_log_url": address, "kind": "call"}],
    }
    chain.sandbox.store.edit(call["id"], **unknown)
    chain.sandbox.faults.add("no_start", kind="detail", times=99)
    chain.enrich(str(chain.extract(dag_id="b").returned), dag_id="b", max_rejects=99)
    chain.sandbox.faults.clear()
    chain.run()
    [row] = [row for row in chain.rows() if row["id"] == call["id"]]
    assert row["extra"] == {"media": [{"kind": "call"}]}
    record = made_record(call, 1, pre_call_variables=unknown, **unknown)
    chain.load(stage(chain, str(chain.extract().returned), record))
    assert records(chain)[0]["pre_call_variables"] == {"media": [{"kind": "call"}]}
    event = {"event": "call_ended", "agent_id": call["agent_id"], "call_id": "x", **unknown}
    Event.parse(json.dumps(event)).store(parse_uri(chain.staging_uri))
    texts = [path.read_text("utf-8") for path in staged_files(chain.staging_uri)]
    assert any('"reason"' in text for text in texts)
    assert not any("signed" in text for text in texts)


@pytest.mark.usefixtures("environment")
def test_an_upload_that_breaks_shows_no_address_to_go_on_at() -> None:
    """Not in the words of the libraries of Cloud Storage and BigQuery either."""
    address = "http://127.0.0.1:9/upload?uploadType=resumable&upload_id=secret"
    with pytest.raises(StagingError) as storage, storage_errors("write", "gs://bucket/x"):
        validate_response(403, b"", address)
    with pytest.raises(BigQueryError) as load, bigquery_client("google_cloud_default"):
        requests.put(address, timeout=5)
    for error in storage, load:
        assert "/upload…" in str(error.value)
        assert "secret" not in str(error.value)


@pytest.mark.parametrize("fault", ["wrong_type", "no_start", "bad_json", "status"])
@pytest.mark.parametrize("kind", ["calls", "detail"])
def test_at_debug_when_it_fails(
    chain: Chain, jobs: Jobs, connect: Connect, fault: Any, kind: Any
) -> None:
    calls = chain.extract().returned
    chain.sandbox.faults.add(fault, kind=kind, times=50)
    connect(extra={"tries": 1})
    number = chain.truth()[0]["phone_number"] or "+493023125999"
    task = (
        chain.arguments("extract", phone_number=number, search="Müller")
        if kind == "calls"
        else chain.arguments("enrich", calls)
    )
    ended = jobs.run(debug=True, **task)
    if kind == "detail" and fault != "wrong_type":
        assert ended.error
    assert_hidden(chain, ended, "Müller")


def test_a_load_that_fails_shows_no_row(chain: Chain, jobs: Jobs) -> None:
    """BigQuery's own messages can quote what it could not read."""
    calls = chain.summaries()
    chain.bigquery.query(f"ALTER TABLE `{chain.table}` DROP COLUMN note").result()
    ended = jobs.run(debug=True, **chain.arguments("load", calls))
    assert ended.error
    assert_hidden(chain, ended)
