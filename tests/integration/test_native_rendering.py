"""With ``render_template_as_native_obj``, an argument means the same as with rendered text."""

from __future__ import annotations

import json

import pytest

from airflow_provider_talkpilot.exceptions import TalkPilotTaskFailError
from tests.integration.chain import Chain


def template(value: str) -> str:
    """Return a template that renders to a text."""
    return "{{ " + repr(value) + " }}"


def test_the_chain(chain: Chain) -> None:
    agent_ids = chain.sandbox.store.agent_ids
    start, end = chain.interval
    calls = chain.extract(
        native=True,
        interval=None,
        staging_uri=template(chain.staging_uri),
        agent_ids=template(json.dumps(agent_ids)),
        start=template(start),
        end=template(end),
        columns=template('{"note": "keep"}'),
    ).returned
    chain.load(calls, native=True, confirm_erasure="{{ false }}", location="{{ '' }}")
    details = chain.enrich(
        calls, native=True, enrich="{{ true }}", impersonation_chain="{{ '' }}"
    ).returned
    chain.load(details, native=True, table=template(chain.table))
    chain.assert_table_is_truth()
    cleaned = chain.clean(str([calls, details]), native=True, keep_staged=template("false"))
    assert cleaned.returned["loaded"] > 0


def test_a_number_stays_the_number_that_it_is(chain: Chain) -> None:
    """As a Python number it would lose its plus, and no call would have it."""
    call = next(c for c in chain.truth() if c["phone_number"])
    number = call["phone_number"]
    for given in (number, template(number), "{{ params.number }}"):
        found = chain.extract(native=True, phone_number=given, params={"number": number})
        assert found.xcoms["summary"]["calls"] >= 1
        assert number not in str(found.rendered)


def test_a_filter_that_renders_to_nothing_is_refused(chain: Chain) -> None:
    """Else all calls would be staged instead of the calls of one caller."""
    for native in (False, True):
        for name in ("phone_number", "search"):
            for given in ("{{ none }}", "{{ '' }}", "{{ ti.xcom_pull('gone') }}"):
                with pytest.raises(TalkPilotTaskFailError, match=f"{name} rendered to .* leave"):
                    chain.extract(native=native, **{name: given})
    assert not chain.sandbox.counters
