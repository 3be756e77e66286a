"""Past days read again: what changed arrives, for the requests that docs/resync.md tells of."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseRungOperator
from tests.integration.chain import DAY, Chain, day
from tests.support.lists import pages
from tests.support.tables import assert_equal_rows, expected_rows
from tests.support.tasks import Outcome, run_task

DAYS = 5
CALLS = 84


class Resync:
    """The tasks of the re-sync DAG on one day, and what it keeps between its runs."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.done = ""

    def choose(self, number: int, **options: Any) -> Outcome:
        """At six in the morning of a day of the sandbox."""
        interval = tuple(f"{each}T06:00:00" for each in day(number - 1))
        return run_task(
            TalkPilotChooseRungOperator,
            **{"interval": interval, "table": self.chain.table, "done": self.done, **options},
        )

    def run(self, number: int, **options: Any) -> tuple[str, str]:
        """The whole run; gives the interval that was read again."""
        chosen = self.choose(number, **options).returned
        self.chain.interval = chosen["start"], chosen["end"]
        self.chain.extract_options["dag_id"] = "resync"
        self.chain.run()
        self.done = chosen["done"] or self.done
        return chosen["start"], chosen["end"]


@pytest.fixture
def resync(chain: Chain) -> Resync:
    """Five days are in the table, as the daily DAG brought them; nothing was spent since."""
    chain.sandbox.reset(days=DAYS, calls_per_day=CALLS)
    chain.interval = day(0)[0], day(DAYS - 1)[1]
    chain.run()
    chain.assert_table_is_truth()
    chain.sandbox.reset_counters()
    return Resync(chain)


def midnight(number: int) -> str:
    return f"{day(number)[0]}T00:00:00Z"


def alive(chain: Chain, number: int) -> list[str]:
    """Ids of a day's calls that can still change."""
    return [
        call["id"]
        for call in chain.sandbox.truth(*day(number))
        if not call["is_purged"] and not call["deleted_at"]
    ]


def lists(chain: Chain, first: int, end: int) -> int:
    """Requests for the lists of some days."""
    interval = Interval.parse(day(first)[0], day(end)[0])
    return sum(pages(chain.sandbox, each, interval) for each in chain.sandbox.store.agent_ids)


def test_all_that_happened_to_past_days_arrives(chain: Chain, resync: Resync) -> None:
    sandbox = chain.sandbox
    sandbox.edit(alive(chain, 0)[0], note="Rückruf erledigt ✓", done=True)
    sandbox.score(alive(chain, 1)[0], 9)
    sandbox.purge(alive(chain, 2)[0])
    sandbox.soft_delete(alive(chain, 3)[0])
    sandbox.insert_late(sandbox.store.agent_ids[1], f"{day(3)[0]}T23:59:59.999Z")
    changed = 5

    assert resync.run(DAYS) == (midnight(0), midnight(DAYS - 1))
    chain.assert_table_is_truth(day(0), day(1), day(2), day(3), day(4))
    assert dict(sandbox.counters) == {
        "agents": 1,
        "calls": lists(chain, 0, DAYS - 1),
        "detail": changed,
    }
    assert resync.done == f'{{"180":"{day(DAYS - 1)[0]}"}}'

    # Again at once, by hand: the lists alone are paid.
    sandbox.reset_counters()
    before = chain.rows()
    resync.run(DAYS, start=day(0)[0], end=day(DAYS - 1)[0])
    assert dict(sandbox.counters) == {"agents": 1, "calls": lists(chain, 0, DAYS - 1)}
    assert chain.rows() == before


def test_the_days_after(chain: Chain, resync: Resync) -> None:
    """Nothing twice on a day; then the three days, and what is older waits for its turn."""
    sandbox = chain.sandbox
    resync.run(DAYS)
    sandbox.reset_counters()
    with pytest.raises(AirflowSkipException, match="Nothing is due"):
        resync.run(DAYS)
    assert not sandbox.counters

    before = sandbox.truth(*day(0))
    sandbox.edit(alive(chain, 0)[0], note="waits for the week")
    sandbox.edit(alive(chain, 2)[0], note="arrives")
    assert resync.run(DAYS + 1) == (midnight(DAYS - 3), midnight(DAYS))
    later = sandbox.truth(day(1)[0], day(DAYS - 1)[1])
    assert_equal_rows(chain.rows(), expected_rows([*before, *later]))
    assert sandbox.counters["calls"] == lists(chain, DAYS - 3, DAYS)
    assert sandbox.counters["detail"] == 1

    # Days without a run skip nothing: the week is due as soon as there is one.
    assert resync.run(DAYS + 9)[0] == midnight(0)
    chain.assert_table_is_truth(day(0), day(1), day(2), day(3), day(4))


def test_the_newest_day_is_the_daily_dags(chain: Chain, resync: Resync) -> None:
    """Both would ask for its details, which the daily DAG may still be fetching."""
    before = chain.rows()
    chain.sandbox.edit(alive(chain, DAYS - 1)[0], note="a day later")
    resync.run(DAYS)
    assert "detail" not in chain.sandbox.counters
    assert chain.rows() == before
    resync.run(DAYS + 1)
    chain.assert_table_is_truth(day(0), day(1), day(2), day(3), day(4))


def test_a_ladder_of_ones_own(resync: Resync) -> None:
    ladder = ' [{"days": 4, "every": 2}, {"days": 1, "every": 1}] '
    chosen = [resync.run(DAYS + number, ladder=ladder)[0] for number in range(4)]
    assert chosen == [midnight(number) for number in (0, 4, 2, 6)]


def test_an_interval_by_hand_counts_for_no_rung(resync: Resync) -> None:
    chosen = resync.choose(DAYS, start="2026-01-01", end="{{ '2026-01-02' }}").returned
    assert chosen == {
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-02T00:00:00Z",
        "done": "",
    }
    assert resync.choose(DAYS, interval=None, start="2026-01-01", end="2026-01-02").returned


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start": "2026-03-16"}, "is missing a bound"),
        ({"end": "2026-03-16"}, "is missing a bound"),
        ({"start": "2026-03-16", "end": "2026-03-16"}, "has zero length"),
        ({"start": "2026-03-17", "end": "2026-03-16"}, "is reversed"),
        ({"start": "soon", "end": "2026-03-16"}, "is no date or time"),
        ({"ladder": '[{"days": 0, "every": 1}]'}, "ladder does not fit"),
        ({"interval": None}, "This run has no data interval"),
        ({"table": "calls"}, "is malformed"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(chain: Chain, options: dict[str, Any], says: str) -> None:
    with pytest.raises(AirflowFailException, match=says) as caught:
        Resync(chain).choose(DAYS, **options)
    assert len(str(caught.value).splitlines()) == 1
    assert not chain.sandbox.counters


@pytest.mark.parametrize("there", ["no table", "an empty table", "the newest day alone"])
def test_nothing_to_read_again(chain: Chain, there: str) -> None:
    """A re-sync loads no history: else the first one would ask for half a year of details."""
    if there == "an empty table":
        chain.interval = "2026-01-05", "2026-01-06"
        chain.run()
    if there == "the newest day alone":
        chain.run()
    chain.sandbox.reset_counters()
    with pytest.raises(AirflowSkipException, match="nothing to read again"):
        Resync(chain).choose(1)
    assert not chain.sandbox.counters


def test_unreadable_notes_of_earlier_runs_cost_requests_and_no_truth(resync: Resync) -> None:
    resync.done = "{half"
    assert resync.run(DAYS) == (midnight(0), midnight(DAYS - 1))
    assert resync.done == f'{{"180":"{day(DAYS - 1)[0]}"}}'


def test_history_that_was_loaded_by_hand_is_read_again_from_then_on(
    chain: Chain, resync: Resync
) -> None:
    resync.run(DAYS)
    early = (DAY - dt.timedelta(days=15)).isoformat()
    chain.sandbox.insert_late(chain.sandbox.store.agent_ids[0], f"{early}T12:00:00Z")
    chain.interval = early, day(0)[0]
    chain.run()
    assert resync.run(DAYS + 7)[0] == f"{early}T00:00:00Z"
