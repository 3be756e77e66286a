"""The key and what callers said stay out of logs, XComs, rendered fields and exceptions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.chain import Chain
from tests.integration.sensing import Connect
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
    enrich = jobs.run(debug=True, **chain.arguments("enrich", extract.returned))
    load = jobs.run(debug=True, **chain.arguments("load", enrich.returned))
    assert load.returned["rows"] >= 1
    for ended in (extract, enrich, load):
        assert_hidden(chain, ended)


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
