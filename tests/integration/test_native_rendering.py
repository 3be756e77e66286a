"""``render_template_as_native_obj``: an argument means the same as where templates give text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from tests.integration.chain import Chain
from tests.support.tasks import run_task

both = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])


def template(value: str) -> str:
    """A template that renders to a text."""
    return "{{ " + repr(value) + " }}"


@both
def test_the_chain(chain: Chain, native: bool) -> None:
    agent_ids = chain.sandbox.store.agent_ids
    start, end = chain.interval
    calls = chain.extract(
        native=native,
        interval=None,
        staging_uri=template(chain.staging_uri),
        agent_ids=template(json.dumps(agent_ids)),
        start=template(start),
        end=template(end),
        columns=template('{"note": "keep"}'),
    ).returned
    chain.load(calls, native=native, confirm_erasure="{{ false }}", location="{{ none }}")
    details = chain.enrich(
        calls, native=native, enabled="{{ true }}", impersonation_chain="{{ none }}"
    ).returned
    chain.load(details, native=native, table=template(chain.table))
    chain.assert_table_is_truth()
    cleaned = chain.clean(str([calls, details]), native=native, keep=template("false")).returned
    assert cleaned["loaded"] > 0


@both
def test_a_number_stays_the_number_that_it_is(chain: Chain, native: bool) -> None:
    """As a Python number it would lose its plus, and no call would have it."""
    call = next(c for c in chain.sandbox.truth(*chain.interval) if c["phone_number"])
    number = call["phone_number"]
    for given in (number, template(number), "{{ params.number }}"):
        found = chain.extract(native=native, phone_number=given, params={"number": number})
        assert found.xcoms["summary"]["calls"] >= 1
        assert number not in str(found.rendered)


@both
@pytest.mark.parametrize("given", ["{{ none }}", "{{ '' }}"])
def test_a_filter_that_renders_to_nothing_is_none(chain: Chain, native: bool, given: str) -> None:
    """Else no call would have it, and the run would end as if the interval were empty."""
    summary = chain.extract(native=native, phone_number=given, search=given).xcoms["summary"]
    assert summary["selection"] == []
    assert summary["calls"] == len(chain.sandbox.truth(*chain.interval))


@both
def test_the_resync(chain: Chain, native: bool) -> None:
    chain.sandbox.reset(days=3)
    chain.interval = "2026-03-16", "2026-03-19"
    chain.run()
    arguments: dict[str, Any] = {
        "interval": ("2026-03-18T06:00:00", "2026-03-19T06:00:00"),
        "table": template(chain.table),
        "native": native,
        "look_backs": template('[{"days": 2, "every": 1}]'),
    }
    first = run_task(TalkPilotChooseDaysOperator, **arguments, done="{{ none }}")
    done = first.xcoms["summary"]["done"]
    assert [each["start"] for each in first.returned] == ["2026-03-16T00:00:00Z"]
    with pytest.raises(Exception, match="Nothing is due"):
        run_task(TalkPilotChooseDaysOperator, **arguments, done=template(done))
