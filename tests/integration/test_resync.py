"""A re-sync brings what changed on past days, for the requests that docs/resync.md names."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.exceptions import TalkPilotTaskFailError
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from tests.integration.chain import DAY, Chain, day, pages
from tests.support.tables import assert_equal_rows, expected_rows
from tests.support.tasks import Outcome, run_task

DAYS = 5
CALLS = 84


class Resync:
    """The tasks of the re-sync DAG, and the state that it stores between its runs."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.state = ""

    def choose(self, number: int, **options: Any) -> Outcome:
        """Choose the days, at six in the morning of a day of the sandbox."""
        interval = tuple(f"{each}T06:00:00" for each in day(number - 1))
        return run_task(
            TalkPilotChooseDaysOperator,
            **{"interval": interval, "table": self.chain.table, "state": self.state, **options},
        )

    def run(self, number: int, **options: Any) -> list[tuple[str, str]]:
        """Run all tasks; return the intervals that were read again."""
        chosen = self.choose(number, **options)
        for interval in chosen.returned:
            self.chain.interval = interval["start"], interval["end"]
            self.chain.extract_options |= {"dag_id": "resync", "agent_ids": interval["agent_ids"]}
            calls, details = self.chain.run()
            self.chain.clean(calls, details)
        self.state = chosen.xcoms["summary"]["state"] or self.state
        return [(interval["start"], interval["end"]) for interval in chosen.returned]


@pytest.fixture
def resync(chain: Chain) -> Resync:
    """Five days are in the table, as the daily DAG loaded them; no request is counted yet."""
    chain.sandbox.reset(days=DAYS, calls_per_day=CALLS)
    chain.interval = day(0)[0], day(DAYS - 1)[1]
    chain.run()
    chain.assert_table_is_truth()
    chain.sandbox.reset_counters()
    return Resync(chain)


def midnight(number: int) -> str:
    return f"{day(number)[0]}T00:00:00Z"


def alive(chain: Chain, number: int) -> list[str]:
    """Return the ids of a day's calls that can still change."""
    return [
        call["id"]
        for call in chain.sandbox.store.truth(*day(number))
        if not call["is_purged"] and not call["deleted_at"]
    ]


def lists(chain: Chain, first: int, end: int) -> int:
    """Return the number of requests for the lists of some days."""
    interval = Interval.parse(day(first)[0], day(end)[0])
    return sum(pages(chain.sandbox, each, interval) for each in chain.sandbox.store.agent_ids)


def test_all_that_happened_to_past_days_arrives(chain: Chain, resync: Resync) -> None:
    sandbox = chain.sandbox
    sandbox.store.edit(alive(chain, 0)[0], note="Rückruf erledigt ✓", done=True)
    sandbox.store.score(alive(chain, 1)[0], 9)
    sandbox.store.purge(alive(chain, 2)[0])
    sandbox.store.soft_delete(alive(chain, 3)[0])
    sandbox.store.insert_late(sandbox.store.agent_ids[1], f"{day(3)[0]}T23:59:59.999Z")
    assert resync.run(DAYS) == [(midnight(0), midnight(DAYS - 1))], "not the newest day"
    chain.assert_table_is_truth(day(0), day(1), day(2), day(3), day(4))
    assert chain.spent() == {
        "agents": 2,  # to choose the days, and to walk
        "calls": lists(chain, 0, DAYS - 1),
        "detail": 4,  # the purged call's is in the table
    }
    assert json.loads(resync.state)["look_backs"] == {"90": day(DAYS - 1)[0]}

    # At once again, by hand: this costs the lists alone.
    before = chain.rows()
    resync.run(DAYS, start=day(0)[0], end=day(DAYS - 1)[0])
    assert chain.spent() == {"agents": 1, "calls": lists(chain, 0, DAYS - 1)}
    assert chain.rows() == before


@pytest.mark.slow
def test_the_days_after(chain: Chain, resync: Resync) -> None:
    """A second run of the day does nothing. The next day's run reads three days, not older ones."""
    sandbox = chain.sandbox
    resync.run(DAYS)
    chain.spent()
    with pytest.raises(AirflowSkipException, match="Nothing is due"):
        resync.run(DAYS)
    assert chain.spent() == {"agents": 1}, "the retention may have changed"

    before = sandbox.store.truth(*day(0))
    sandbox.store.edit(alive(chain, 0)[0], note="waits for the week")
    sandbox.store.edit(alive(chain, 2)[0], note="arrives")
    assert resync.run(DAYS + 1) == [(midnight(DAYS - 3), midnight(DAYS))]
    later = sandbox.store.truth(day(1)[0], day(DAYS - 1)[1])
    assert_equal_rows(chain.rows(), expected_rows([*before, *later]))
    assert sandbox.counters["calls"] == lists(chain, DAYS - 3, DAYS)
    assert sandbox.counters["detail"] == 1

    # After days without a run, the next run reads the month that is overdue.
    assert resync.run(DAYS + 9)[0][0] == midnight(0)
    chain.assert_table_is_truth(day(0), day(1), day(2), day(3), day(4))


def test_an_interval_by_hand_counts_for_no_look_back(resync: Resync) -> None:
    chosen = resync.choose(DAYS, start="2026-01-01", end="{{ '2026-01-02' }}")
    assert chosen.returned == [
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "agent_ids": ""}
    ]
    assert chosen.xcoms["summary"]["state"] == ""
    assert not resync.chain.sandbox.counters
    assert resync.choose(DAYS, interval=None, start="2026-01-01", end="2026-01-02").returned


@pytest.mark.parametrize("has_newest_day", [False, True])
def test_without_past_days_in_the_table_nothing_is_read(chain: Chain, has_newest_day: bool) -> None:
    """A re-sync loads no history: else the first run would fetch months of details."""
    if has_newest_day:
        chain.run()
    chain.sandbox.reset_counters()
    with pytest.raises(AirflowSkipException, match="nothing to read again"):
        Resync(chain).choose(1)
    assert not chain.sandbox.counters


@pytest.mark.slow
def test_history_loaded_by_hand_is_read_again_from_then_on(chain: Chain, resync: Resync) -> None:
    resync.run(DAYS)
    early = (DAY - dt.timedelta(days=15)).isoformat()
    chain.sandbox.store.insert_late(chain.sandbox.store.agent_ids[0], f"{early}T12:00:00Z")
    chain.interval = early, day(0)[0]
    chain.run()
    assert resync.run(DAYS + 7)[0][0] == f"{early}T00:00:00Z"


# This many days after the first day, TalkPilot purges its calls.
PURGED_AFTER = 10
SHORT = '[{"days": 1, "every": 1}]'


@pytest.fixture
def kept_nine_days(resync: Resync) -> Resync:
    """Two agents with a retention of nine days."""
    for agent_id in resync.chain.sandbox.store.agent_ids:
        resync.chain.sandbox.store.edit_agent(agent_id, retention_days=PURGED_AFTER - 1)
    return resync


def test_a_purge_by_retention_arrives_for_lists_alone(chain: Chain, kept_nine_days: Resync) -> None:
    sandbox = chain.sandbox
    for old in range(DAYS):
        number = old + PURGED_AFTER
        sandbox.store.purge_by_retention(midnight(number))
        intervals = kept_nine_days.run(number, look_backs=SHORT)
        assert intervals[0] == (midnight(old), midnight(old + 1)), "the day that became old enough"
        # The look-back reads a day without calls, for one page of each agent.
        assert chain.spent() == {"agents": 2, "calls": lists(chain, old, old + 1) + 2}
        found = {row["id"]: row for row in chain.rows()}
        for call in sandbox.store.truth(*day(old)):
            assert found[call["id"]]["is_purged"]
            assert not found[call["id"]]["transcript"]
            assert found[call["id"]]["phone_number"] is None
    chain.assert_table_is_truth(day(0), day(1), day(2), day(3), day(4))


def test_agents_that_are_named_and_a_key_that_may_not_list_them(
    chain: Chain, kept_nine_days: Resync, log_of: Callable[[], str]
) -> None:
    """Ninety days are assumed, which is TalkPilot's default."""
    sandbox = chain.sandbox
    first, other = sandbox.store.agent_ids
    both, _ = kept_nine_days.choose(PURGED_AFTER, look_backs=SHORT, agent_ids=[first]).returned
    assert both["agent_ids"] == sorted([first, other]), "the table has calls of both"
    sandbox.settings.api_keys[sandbox.api_key].permissions = ["calls:read"]
    [only] = kept_nine_days.choose(PURGED_AFTER, look_backs=SHORT, agent_ids=[first]).returned
    assert only["agent_ids"] == [first]
    assert "agents:read" in log_of()
    with pytest.raises(TalkPilotTaskFailError, match="agents:read"):
        kept_nine_days.choose(PURGED_AFTER, look_backs=SHORT)
    chosen = kept_nine_days.choose(91, look_backs=SHORT, agent_ids=[first]).returned
    assert (chosen[0]["start"], chosen[0]["agent_ids"]) == (midnight(0), [first])
