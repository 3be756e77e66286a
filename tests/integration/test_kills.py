"""SIGKILL at any moment: the next try makes the table right, and repeats next to nothing."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging.enrich.details import BATCH_ROWS
from tests.integration.chain import Chain, day, local
from tests.support.jobs import Death, Jobs
from tests.support.tables import tables

pytestmark = [pytest.mark.both_eras, pytest.mark.slow]

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


@pytest.mark.parametrize("request_number", [1, 2, 4, 6])
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


@pytest.mark.parametrize("pages", [1, 2, 3])
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


def test_extract_that_failed_goes_on_where_it_stopped(chain: Chain) -> None:
    """Whatever ends the work early, finished walks are staged first."""
    sandbox = chain.sandbox
    sandbox.reset(agents=6)
    sandbox.faults.add("no_pagination", kind="calls", after=4)
    with pytest.raises(AirflowFailException):
        chain.extract()
    sandbox.reset_counters()
    chain.summaries()
    assert sandbox.counters["calls"] == 2
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("content", ["", "{", '{"version": 1}', "\0"])
def test_a_broken_checkpoint_is_no_checkpoint(chain: Chain, content: str) -> None:
    calls = str(chain.extract().returned)
    local(calls).with_name("details-checkpoint.json").write_text(content)
    local(calls).with_name("calls-checkpoint.json").write_text(content)
    chain.run()
    chain.assert_table_is_truth()


MOMENTS = sorted(random.Random(20260318).sample(range(1, 401), 20))


@pytest.mark.parametrize("request_number", MOMENTS)
def test_enrich_killed(chain: Chain, jobs: Jobs, request_number: int) -> None:
    """A kill costs at most a batch of details, and what was in flight."""
    sandbox = chain.sandbox
    sandbox.reset(days=1, calls_per_day=400)
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
    sandbox.reset(days=1, calls_per_day=600)
    calls = chain.summaries()
    for _ in range(3):
        ended = jobs.run(
            TalkPilotEnrichCallsOperator,
            on_start=Killer(sandbox, "detail", 170).aim,
            manifest_uri=calls,
        )
        assert ended.killed, ended.error
    sandbox.reset_counters()
    chain.load(chain.enrich(calls).returned)
    # Of each 170, all but one batch at most are staged.
    assert sandbox.counters["detail"] <= 600 - 3 * (170 - BATCH_ROWS)
    chain.assert_table_is_truth()


@pytest.mark.parametrize("replacement", [1, 2, 3])
@pytest.mark.parametrize("task", ["extract", "enrich"])
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


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_a_kill_leaves_no_calls_on_the_workers_disk(
    anywhere: Chain, jobs: Jobs, tmp_path: Path, compress: bool
) -> None:
    own = tmp_path / "tmp"
    own.mkdir()
    ended = jobs.run(
        TalkPilotExtractCallsOperator,
        death=Death("airflow_provider_talkpilot.staging.storage:put"),
        constants={"tempfile:tempdir": str(own)},
        interval=anywhere.interval,
        staging_uri=anywhere.staging_uri,
        compress=compress,
    )
    assert ended.killed, ended.error
    assert list(own.iterdir()) == []
    anywhere.run()
    anywhere.assert_table_is_truth()


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_a_torn_part_of_details_is_asked_for_again(chain: Chain, compress: bool) -> None:
    chain.enrich_options["compress"] = compress
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
    [each for each in DEATHS if each.call == 1 and "dataset" not in each.function],
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


@pytest.mark.parametrize(
    ("query", "after"), [(1, True), (2, False), (2, True), (3, False), (3, True)]
)
def test_killed_while_it_erases(chain: Chain, jobs: Jobs, query: int, after: bool) -> None:
    """The queries: a look, the merge, another look."""
    chain.run()
    gone = chain.sandbox.truth(*chain.interval)[:3]
    for call in gone:
        chain.sandbox.erase(call["id"])
    calls = chain.extract().returned
    ended = jobs.run(
        TalkPilotLoadCallsOperator,
        death=Death(f"{CLIENT}.query", call=query, after=after),
        manifest_uri=calls,
        table=chain.table,
    )
    assert ended.killed, ended.error
    chain.load(calls)
    chain.assert_table_is_truth(erased=gone)
    assert tables(chain.bigquery, chain.table) == ["calls"]


def test_one_killed_day_does_not_touch_the_other(chain: Chain, jobs: Jobs) -> None:
    chain.run()
    chain.interval = day(1)
    calls = chain.extract().returned
    ended = jobs.run(
        TalkPilotLoadCallsOperator,
        death=Death(f"{CLIENT}.query"),
        manifest_uri=calls,
        table=chain.table,
    )
    assert ended.killed, ended.error
    chain.assert_table_is_truth(day(0))
    chain.run()
    chain.assert_table_is_truth(day(0), day(1))


def test_files_of_others_in_the_folder_are_left_alone(chain: Chain) -> None:
    calls = str(chain.extract().returned)
    folder = local(calls).parent
    strangers = [folder / "README", folder / "details-notes.jsonl", folder / "calls-99999.jsonl"]
    for stranger in strangers:
        stranger.write_text("not ours\n")
    chain.run()
    chain.assert_table_is_truth()
    assert all(Path(stranger).read_text() == "not ours\n" for stranger in strangers)
