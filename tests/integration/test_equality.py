"""The table equals the API, field by field, on every interval that was run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_provider_talkpilot.sandbox.settings import Bound
from tests.integration.chain import Chain, day


@pytest.mark.google
@pytest.mark.both_eras
def test_summaries_then_details(chain: Chain) -> None:
    calls = chain.summaries()
    chain.assert_table_is_truth(details=False)

    chain.load(chain.enrich(calls).returned)
    chain.assert_table_is_truth()


@pytest.mark.parametrize("bound", ["exclusive", "inclusive"])
def test_midnights_are_in_exactly_one_day(chain: Chain, bound: Bound) -> None:
    sandbox = chain.sandbox
    sandbox.settings.patch(from_bound=bound, to_bound=bound)
    last, first = (
        ("58.999", "59.000", "59.999", "59.999999"),
        ("00.000", "00.001", "01.000", "01.001"),
    )
    for agent_id in sandbox.store.agent_ids:
        for date in ("2026-03-15", "2026-03-16", "2026-03-17"):
            for second in last:
                sandbox.store.insert_late(agent_id, f"{date}T23:59:{second}Z")
        for date in ("2026-03-16", "2026-03-17", "2026-03-18"):
            for second in first:
                sandbox.store.insert_late(agent_id, f"{date}T00:00:{second}Z")

    chain.summaries()
    chain.assert_table_is_truth(day(0), details=False)
    chain.interval = day(1)
    chain.summaries()
    chain.assert_table_is_truth(day(0), day(1), details=False)


def test_hours_make_the_same_table_as_a_day(chain: Chain) -> None:
    bounds = ["2026-03-16T00:00:00", "2026-03-16T09:30:00", "2026-03-17T00:00:00"]
    for start, end in pairwise(bounds):
        chain.interval = start, end
        chain.run()
    chain.assert_table_is_truth(day(0))


@pytest.mark.google
def test_an_empty_interval_makes_an_empty_table(chain: Chain) -> None:
    chain.interval = "2026-01-05", "2026-01-06"
    calls, details = chain.run()
    assert chain.rows() == []
    assert calls
    assert details


@pytest.mark.both_eras
def test_what_changed_arrives_with_the_next_run(chain: Chain) -> None:
    sandbox = chain.sandbox
    chain.run()
    live = [c for c in chain.truth() if not c["is_purged"] and not c["deleted_at"]]
    sandbox.store.edit(live[0]["id"], note='Neu: \u2028 "ja"\n🙂', done=not live[0]["done"])
    sandbox.store.score(live[1]["id"], 3)
    sandbox.store.purge(live[2]["id"])
    sandbox.store.soft_delete(live[3]["id"])
    sandbox.store.insert_late(sandbox.store.agent_ids[0], "2026-03-16T12:34:56.789Z")
    # As if that call had moved from another agent since, and its start had been corrected.
    chain.bigquery.query(
        f"UPDATE `{chain.table}` SET agent_id = 'another',"
        " created_at = TIMESTAMP_SUB(created_at, INTERVAL 1 SECOND)"
        f" WHERE id = '{live[4]['id']}'"
    ).result()

    chain.run()
    chain.assert_table_is_truth()
