"""SIGKILL at any moment: the next try makes the table right, and repeats next to nothing."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging.enrich.details import BATCH_ROWS
from tests.integration.chain import Chain, local
from tests.support.jobs import Death, Jobs
from tests.support.tables import tables

pytestmark = pytest.mark.slow

# Every finished walk is staged at once, as it is after a minute of work.
AT_ONCE = {"airflow_provider_talkpilot.staging.extract.walker:PART_SECONDS": 0.0}


class Killer:
    """Kills a process when the sandbox is about to respond to its n-th request of a kind."""

    def __init__(self, sandbox: Sandbox, kind: str, count: int) -> None:
        self._kind, self._count, self._process = kind, count, 0
        sandbox.reset_counters()
        sandbox.before_request = self._before

    def aim(self, process: int) -> None:
        self._process = process

    def _before(self, kind: str, count: int) -> None:
        if self._process and kind == self._kind and count == self._count:
            os.kill(self._process, signal.SIGKILL)
            self._process = 0


@pytest.mark.both_eras
@pytest.mark.parametrize("request_number", [1, 4])
def test_extract_killed(chain: Chain, jobs: Jobs, request_number: int) -> None:
    """Finished agents are not walked again."""
    sandbox = chain.sandbox
    sandbox.reset(agents=6)
    killer = Killer(sandbox, "calls", request_number)
    ended = jobs.run(
        TalkPilotExtractCallsOperator,
        on_start=killer.aim,
        constants=AT_ONCE,
        interval=chain.interval,
        staging_uri=chain.staging_uri,
    )
    assert ended.killed, ended.error
    sandbox.reset_counters()

    staged = chain.extract()
    assert sandbox.counters["calls"] == 6 - (request_number - 1)
    assert staged.xcoms["summary"]["agents"] == 6
    chain.load(staged.returned)
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("pages", [1, 3])
def test_extract_killed_in_the_middle_of_a_walk(chain: Chain, jobs: Jobs, pages: int) -> None:
    """Half a walk counts for nothing."""
    sandbox = chain.sandbox
    sandbox.reset(agents=1, calls_per_day=250)
    ended = jobs.run(
        TalkPilotExtractCallsOperator,
        on_start=Killer(sandbox, "calls", pages).aim,
        constants=AT_ONCE,
        interval=chain.interval,
        staging_uri=chain.staging_uri,
    )
    assert ended.killed, ended.error
    assert not list(local(chain.staging_uri).rglob("*.json*"))
    chain.summaries()
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("content", ["", '{"version": 1}'])
def test_a_broken_checkpoint_is_no_checkpoint(chain: Chain, content: str) -> None:
    calls = str(chain.extract().returned)
    local(calls).with_name("details-checkpoint.json").write_text(content)
    local(calls).with_name("calls-checkpoint.json").write_text(content)
    chain.run()
    chain.assert_table_is_truth()


@pytest.mark.both_eras
@pytest.mark.parametrize("request_number", [1, 150, 249])
def test_enrich_killed(chain: Chain, jobs: Jobs, request_number: int) -> None:
    """A kill costs at most a batch of details, and what was in flight."""
    sandbox = chain.sandbox
    sandbox.reset(days=1, calls_per_day=250)
    calls = chain.summaries()
    ended = jobs.run(
        TalkPilotEnrichCallsOperator,
        on_start=Killer(sandbox, "detail", request_number).aim,
        manifest_uri=calls,
    )
    assert ended.killed, ended.error

    chain.load(chain.enrich(calls).returned)
    chain.assert_table_is_truth()
    requested = Counter(request.path for request in sandbox.requests if request.kind == "detail")
    repeated = sum(requested.values()) - len(requested)
    assert max(requested.values()) <= 2
    assert repeated <= BATCH_ROWS


def test_enrich_killed_again_and_again_gets_done(chain: Chain, jobs: Jobs) -> None:
    sandbox = chain.sandbox
    sandbox.reset(days=1, calls_per_day=300)
    calls = chain.summaries()
    for _ in range(2):
        ended = jobs.run(
            TalkPilotEnrichCallsOperator,
            on_start=Killer(sandbox, "detail", 120).aim,
            manifest_uri=calls,
        )
        assert ended.killed, ended.error
    sandbox.reset_counters()
    chain.load(chain.enrich(calls).returned)
    # Of each 120, all but one batch at most are staged.
    assert sandbox.counters["detail"] <= 300 - 2 * (120 - BATCH_ROWS)
    chain.assert_table_is_truth()


@pytest.mark.parametrize(("task", "replacement"), [("extract", 1), ("extract", 2), ("enrich", 3)])
def test_killed_while_a_file_is_written(
    chain: Chain, jobs: Jobs, task: str, replacement: int
) -> None:
    """What is left of an unfinished file is never taken for a file."""
    death = Death("pathlib:Path.replace", call=replacement)
    if task == "extract":
        ended = jobs.run(
            TalkPilotExtractCallsOperator,
            death=death,
            interval=chain.interval,
            staging_uri=chain.staging_uri,
        )
    else:
        ended = jobs.run(
            TalkPilotEnrichCallsOperator, death=death, manifest_uri=chain.extract().returned
        )
    assert ended.killed, ended.error
    assert [path for path in local(chain.staging_uri).rglob(".*") if path.is_file()]
    chain.run()
    chain.assert_table_is_truth()


def test_a_kill_leaves_no_calls_on_the_workers_disk(
    anywhere: Chain, jobs: Jobs, tmp_path: Path
) -> None:
    own = tmp_path / "tmp"
    own.mkdir()
    ended = jobs.run(
        TalkPilotExtractCallsOperator,
        death=Death("airflow_provider_talkpilot.staging.storage:put"),
        constants={"tempfile:tempdir": str(own)},
        interval=anywhere.interval,
        staging_uri=anywhere.staging_uri,
    )
    assert ended.killed, ended.error
    assert list(own.iterdir()) == []
    anywhere.summaries()
    anywhere.assert_table_is_truth(details=False)


def test_a_torn_part_of_details_is_asked_for_again(chain: Chain) -> None:
    calls = chain.summaries()
    chain.enrich(calls)
    [part] = local(calls).parent.glob("details-0*.jsonl*")
    part.write_bytes(part.read_bytes()[:-100])
    chain.sandbox.reset_counters()
    chain.load(chain.enrich(calls).returned)
    assert chain.sandbox.counters["detail"] == len(chain.sandbox.truth(*chain.interval))
    chain.assert_table_is_truth()


CLIENT = "google.cloud.bigquery:Client"
DEATHS = [
    Death(f"{CLIENT}.create_dataset"),
    Death(f"{CLIENT}.create_table", call=1),
    Death(f"{CLIENT}.create_table", call=2),
    Death(f"{CLIENT}.load_table_from_file"),
    Death(f"{CLIENT}.load_table_from_file", after=True),
    Death(f"{CLIENT}.query"),
    Death(f"{CLIENT}.query", after=True),
    Death(f"{CLIENT}.query", call=2, after=True),
    Death(f"{CLIENT}.query", call=3),
    Death(f"{CLIENT}.query", call=3, after=True),
    Death(f"{CLIENT}.delete_table"),
    Death(f"{CLIENT}.delete_table", after=True),
]


@pytest.mark.parametrize("death", DEATHS, ids=lambda d: f"{d.function[-12:]}-{d.call}-{d.after}")
def test_load_of_calls_killed(chain: Chain, jobs: Jobs, death: Death) -> None:
    calls = chain.extract().returned
    ended = jobs.run(TalkPilotLoadCallsOperator, death=death, manifest_uri=calls, table=chain.table)
    assert ended.killed, ended.error
    chain.load(calls)
    chain.assert_table_is_truth(details=False)
    assert tables(chain.bigquery, chain.table) == ["calls"]


@pytest.mark.parametrize(
    "death",
    [each for each in DEATHS if each.call == 1 and "create" not in each.function and each.after],
    ids=lambda d: f"{d.function[-12:]}-{d.after}",
)
def test_load_of_details_killed(chain: Chain, jobs: Jobs, death: Death) -> None:
    calls = chain.summaries()
    details = chain.enrich(calls).returned
    ended = jobs.run(
        TalkPilotLoadCallsOperator, death=death, manifest_uri=details, table=chain.table
    )
    assert ended.killed, ended.error
    chain.load(details)
    chain.assert_table_is_truth()
    assert tables(chain.bigquery, chain.table) == ["calls"]


@pytest.mark.parametrize("query", [1, 2])
def test_killed_while_it_erases(chain: Chain, jobs: Jobs, query: int) -> None:
    """The queries: a look, and the merge."""
    chain.run()
    gone = chain.sandbox.truth(*chain.interval)[:3]
    for call in gone:
        chain.sandbox.erase(call["id"])
    calls = chain.extract().returned
    ended = jobs.run(
        TalkPilotLoadCallsOperator,
        death=Death(f"{CLIENT}.query", call=query, after=True),
        manifest_uri=calls,
        table=chain.table,
    )
    assert ended.killed, ended.error
    chain.load(calls)
    chain.assert_table_is_truth(erased=gone)
    assert tables(chain.bigquery, chain.table) == ["calls"]
