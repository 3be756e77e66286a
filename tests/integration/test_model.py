"""After any history and a last re-sync, the table equals the API.

Edits, scores, purges, soft deletes, erasures and late rows come between runs, partial runs,
repeated loads of earlier manifests, and runs that are killed. ``make test-long`` tries far more.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from google.cloud.bigquery import Client
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from airflow_provider_talkpilot.sandbox import Sandbox
from tests.integration.chain import Chain, Interval, day
from tests.support.jobs import Death, Jobs
from tests.support.tables import ABOUT_PEOPLE, SET, Row, assert_equal_rows, expected_rows, tables

pytestmark = pytest.mark.slow

DAYS = 3
ALL: Interval = (day(0)[0], day(DAYS - 1)[1])
LONG = 1000
# Several series side by side, each of histories of its own.
SERIES, EXAMPLES = (8, LONG // 8) if settings().max_examples >= LONG else (1, 24)

intervals = st.sampled_from([*(day(number) for number in range(DAYS)), ALL])
numbers = st.integers(0, 99)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def deaths(function: str, calls: int) -> st.SearchStrategy[Death]:
    """The deaths at one of the first calls of a function."""
    return st.builds(Death, st.just(function), call=st.integers(1, calls), after=st.booleans())


extract_deaths = deaths("airflow_provider_talkpilot.staging.storage:put_text", 2)
enrich_deaths = deaths("airflow_provider_talkpilot.staging.parts:PartWriter.flush", 2)
load_deaths = deaths("google.cloud.bigquery:Client.query", 3)


class Warehouse(RuleBasedStateMachine):
    """The API, the table, and the events that change them."""

    def __init__(self, sandbox: Sandbox, bigquery: Client, jobs: Jobs, folder: Path) -> None:
        super().__init__()
        self.sandbox, self.jobs = sandbox, jobs
        sandbox.reset(days=DAYS, calls_per_day=5)
        name = uuid4().hex[:12]
        self.chain = Chain(sandbox, bigquery, f"demo.model_{name}.calls", (folder / name).as_uri())
        self.walks: list[str] = []
        self.staged: list[str] = []
        self.loaded: set[str] = set()
        self.load_was_killed = False

    def call(self, number: int) -> str:
        truth = self.sandbox.store.truth(*ALL)
        return str(truth[number % len(truth)]["id"])

    @rule(number=numbers, note=texts, done=st.booleans())
    def staff_edit_a_call(self, number: int, note: str, done: bool) -> None:
        self.sandbox.store.edit(self.call(number), note=note, done=done)

    @rule(number=numbers, score=st.integers(1, 10))
    def a_score_comes_late(self, number: int, score: int) -> None:
        self.sandbox.store.score(self.call(number), score)

    @rule(number=numbers)
    def a_call_is_purged(self, number: int) -> None:
        self.sandbox.store.purge(self.call(number))

    @rule(number=numbers, back=st.booleans())
    def a_call_is_soft_deleted(self, number: int, back: bool) -> None:
        change = self.sandbox.store.restore if back else self.sandbox.store.soft_delete
        change(self.call(number))

    @precondition(lambda self: len(self.sandbox.store.truth(*ALL)) > 1)
    @rule(number=numbers)
    def a_call_is_erased(self, number: int) -> None:
        self.sandbox.store.erase(self.call(number))

    @rule(number=numbers, seconds=st.integers(0, DAYS * 86_400 - 1))
    def a_row_comes_late(self, number: int, seconds: int) -> None:
        agent_id = self.sandbox.store.agent_ids[number % 2]
        date, second = divmod(seconds, 86_400)
        time = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        self.sandbox.store.insert_late(agent_id, f"{day(date)[0]}T{time}Z")

    @rule(interval=intervals)
    def a_run(self, interval: Interval) -> None:
        self.walk(interval)
        self.load(self.walks[-1])
        self.details(self.walks[-1])

    @rule(interval=intervals)
    def a_run_that_gets_no_further_than_its_walk(self, interval: Interval) -> None:
        self.walk(interval)

    @precondition(lambda self: self.walks)
    @rule(number=numbers)
    def details_of_an_earlier_walk(self, number: int) -> None:
        self.details(self.walks[number % len(self.walks)])

    @precondition(lambda self: self.staged)
    @rule(number=numbers)
    def an_earlier_load_again(self, number: int) -> None:
        self.load(self.staged[number % len(self.staged)])

    @rule(interval=intervals, death=extract_deaths)
    def an_extraction_is_killed(self, interval: Interval, death: Death) -> None:
        self.jobs.run(death=death, **self.chain.arguments("extract", interval=interval))

    @precondition(lambda self: self.walks)
    @rule(number=numbers, death=enrich_deaths)
    def an_enrichment_is_killed(self, number: int, death: Death) -> None:
        walk = self.walks[number % len(self.walks)]
        self.jobs.run(death=death, **self.chain.arguments("enrich", walk))

    @precondition(lambda self: self.staged)
    @rule(number=numbers, death=load_deaths)
    def a_load_is_killed(self, number: int, death: Death) -> None:
        manifest = self.staged[number % len(self.staged)]
        self.load_was_killed = True
        self.jobs.run(death=death, **self.chain.arguments("load", manifest))

    def walk(self, interval: Interval) -> None:
        self.walks.append(str(self.chain.extract(interval=interval).returned))
        self.staged.append(self.walks[-1])

    def details(self, walk: str) -> None:
        self.staged.append(str(self.chain.enrich(walk).returned))
        self.load(self.staged[-1])

    def load(self, manifest: str) -> None:
        self.chain.load(manifest)
        self.loaded |= {row["id"] for row in self.chain.rows()}

    def teardown(self) -> None:
        """Run a last re-sync; then the table equals the API, and nothing is left to request."""
        # The first run finishes interrupted work, whose walks are older than the last changes.
        self.a_run(ALL)
        self.chain.interval = ALL
        self.chain.run()
        rows = self.chain.rows()
        truth = self.sandbox.store.truth(*ALL)
        ids = {call["id"] for call in truth}
        assert_equal_rows([row for row in rows if row["id"] in ids], expected_rows(truth))
        erased = [row for row in rows if row["id"] not in ids]
        assert {row["id"] for row in erased} == self.loaded - ids
        assert all(is_empty(row) for row in erased)
        self.sandbox.reset_counters()
        self.chain.run()
        assert self.sandbox.counters["detail"] == 0
        assert self.chain.rows() == rows
        # On Google, the staging table of a killed load expires after a day.
        assert self.load_was_killed or tables(self.chain.bigquery, self.chain.table) == ["calls"]


def is_empty(row: Row) -> bool:
    """Whether a row has no personal data any more."""
    return row["erased_at"] == SET and not row["transcript"] and not any(map(row.get, ABOUT_PEOPLE))


@pytest.mark.airflow3  # takes minutes, and nothing in it depends on Airflow's version
@pytest.mark.parametrize("series", range(SERIES))
def test_any_history_ends_in_the_truth(
    sandbox: Sandbox, bigquery: Client, jobs: Jobs, tmp_path: Path, series: int
) -> None:
    @seed(series)
    class Bound(Warehouse):
        def __init__(self) -> None:
            super().__init__(sandbox, bigquery, jobs, tmp_path)

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
