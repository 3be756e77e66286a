"""The key and what callers said stay out of logs, XComs, rendered fields and exceptions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from tests.integration.chain import Chain
from tests.support.jobs import Ended, Jobs
from tests.support.tasks import Outcome

PERSONAL = ("phone_number", "customer_name", "customer_request", "call_summary", "note", "employee")


def secrets(chain: Chain) -> set[str]:
    """Everything that must not be seen."""
    found = {chain.sandbox.api_key}
    for call in chain.sandbox.truth("2026-01-01", "2027-01-01"):
        found |= {call[name] for name in PERSONAL if call[name]}
        try:
            messages = json.loads(call["transcript"] or "[]")
        except ValueError:
            messages = [{"text": call["transcript"]}]
        found |= {message["text"] for message in messages}
    # As logged in a URL, in JSON, or as a Python literal.
    return {form for text in found if len(text) > 5 for form in forms(text)}


def forms(text: str) -> list[str]:
    first = max(text.splitlines() or [text], key=len)
    return [first, first.replace("+", "%2B"), json.dumps(first)[1:-1], repr(first)[1:-1]]


def assert_hidden(chain: Chain, *places: Any) -> None:
    text = "\n".join(place if isinstance(place, str) else repr(place) for place in places)
    seen = sorted(secret for secret in secrets(chain) if secret in text)
    assert not seen
    assert "tp_live_" not in text


def everything(ended: Ended) -> list[Any]:
    outcome = ended.outcome or Outcome(None, {}, {})
    return [ended.output, ended.error, outcome.returned, outcome.xcoms, outcome.rendered]


def test_at_debug_through_the_whole_chain(chain: Chain, jobs: Jobs) -> None:
    number = next(
        call["phone_number"]
        for call in chain.sandbox.truth(*chain.interval)
        if call["phone_number"] and call["transcript"]
    )
    extract = jobs.run(
        TalkPilotExtractCallsOperator,
        debug=True,
        interval=chain.interval,
        staging_uri=chain.staging_uri,
        phone_number=number,
        search="{{ params.name }}",
        params={"name": "e"},
    )
    enrich = jobs.run(TalkPilotEnrichCallsOperator, debug=True, manifest_uri=extract.returned)
    load = jobs.run(
        TalkPilotLoadCallsOperator, debug=True, manifest_uri=enrich.returned, table=chain.table
    )
    assert load.returned["rows"] >= 1
    for ended in (extract, enrich, load):
        assert "DEBUG" in ended.output
        assert_hidden(chain, *everything(ended))


@pytest.mark.parametrize("fault", ["wrong_type", "no_start", "bad_json", "status"])
@pytest.mark.parametrize("kind", ["calls", "detail"])
def test_at_debug_when_it_fails(chain: Chain, jobs: Jobs, fault: str, kind: str) -> None:
    connection = {**chain.sandbox.connection, "extra": {"tries": 1}}
    calls = chain.extract().returned
    chain.sandbox.faults.add(fault, kind=kind, times=50)  # type: ignore[arg-type]
    operator = TalkPilotExtractCallsOperator if kind == "calls" else TalkPilotEnrichCallsOperator
    arguments: dict[str, Any] = {"manifest_uri": calls}
    if kind == "calls":
        number = chain.sandbox.truth(*chain.interval)[0]["phone_number"] or "+493023125999"
        arguments = {"staging_uri": chain.staging_uri, "phone_number": number, "search": "Müller"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", json.dumps(connection))
        ended = jobs.run(operator, debug=True, interval=chain.interval, **arguments)
    if kind == "detail" and fault != "wrong_type":
        assert ended.error
    assert_hidden(chain, *everything(ended))
    assert "Müller" not in ended.output


def test_a_load_that_fails_shows_no_row(chain: Chain, jobs: Jobs) -> None:
    """BigQuery's own messages can quote what it could not read."""
    calls = chain.summaries()
    chain.bigquery.query(f"ALTER TABLE `{chain.table}` DROP COLUMN note").result()
    ended = jobs.run(TalkPilotLoadCallsOperator, debug=True, manifest_uri=calls, table=chain.table)
    assert ended.error
    assert_hidden(chain, *everything(ended))
