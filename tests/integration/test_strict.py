"""Tests for a BigQuery that refuses used ids, lets tables expire and counts changed rows."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict
from google.cloud.bigquery import Client, Dataset, LoadJob, QueryJob, Table, TimePartitioning

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.jobs import Jobs as BigQueryJobs
from airflow_provider_talkpilot.bigquery.policy_tags import tagged
from airflow_provider_talkpilot.bigquery.queries import earliest_call, unpurged_days
from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.table_id import TableId
from tests.integration.chain import Chain, Kill
from tests.integration.test_loads import live_call
from tests.support.jobs import Death, Jobs
from tests.support.tables import assert_equal_rows, expected_rows, table_rows, tables

pytestmark = [pytest.mark.strict, pytest.mark.google]

CALLS = 46
# make test-rounds takes 50. Without the lock the first one doubles already.
ROUNDS = int(os.environ.get("TALKPILOT_LOAD_ROUNDS", "5"))
TAG = "projects/p/locations/us/taxonomies/1/policyTags/2"
DELETE = Death("google.cloud.bigquery:Client.delete_table")


@pytest.fixture
def counter(bigquery: Client, table: str) -> str:
    """A table that gets a row each time that a job ran."""
    name = f"{table}_counter"
    bigquery.create_dataset(table.rpartition(".")[0], exists_ok=True)
    bigquery.query(f"CREATE TABLE `{name}` (job STRING)").result()
    return name


def count(client: Client, name: str) -> int:
    return int(client.get_table(name).num_rows)


def insert(client: Client, counter: str, job_id: str) -> QueryJob:
    statement = f"INSERT INTO `{counter}` (job) VALUES ('{job_id}')"
    return client.query(statement, job_id=job_id, job_retry=None)


def run_job(client: Client, name: str, submit: Callable[[str], QueryJob]) -> QueryJob:
    return BigQueryJobs(client).run_job(name, submit)


def left_by_a_killed_load(chain: Chain, kill: Kill, calls: str) -> Table:
    """Return the staging table of a load that was killed after its merge."""
    kill("load", calls, death=DELETE)
    [left] = [name for name in tables(chain.bigquery, chain.table) if name != "calls"]
    return chain.bigquery.get_table(f"{chain.table.rpartition('.')[0]}.{left}")


def test_ids_of_finished_jobs_are_not_used_again(chain: Chain) -> None:
    calls = chain.extract().returned
    ids: dict[str, list[str]] = {"load_job_id": [], "merge_job_id": []}
    for _ in range(3):
        result = chain.load(calls).returned
        for kind, found in ids.items():
            found.append(result[kind])
        chain.bigquery.query(f"DELETE FROM `{chain.table}` WHERE TRUE").result()
    for found in ids.values():
        assert [one.rpartition("-")[2] for one in found] == ["0", "1", "2"]
        assert len({one.rpartition("-")[0] for one in found}) == 1
        with pytest.raises(Conflict):
            chain.bigquery.query("SELECT 1", job_id=found[0], job_retry=None)
    chain.load(calls)
    chain.assert_table_is_truth(details=False)


def test_a_job_that_another_task_started_meanwhile(bigquery: Client, counter: str) -> None:
    """Two tasks find no job, and both submit one: the second task waits for the first one's job."""
    name = counter.replace(".", "-")

    def submit(job_id: str) -> QueryJob:
        insert(bigquery, counter, job_id)
        return insert(bigquery, counter, job_id)

    job = run_job(bigquery, name, submit)
    assert (job.job_id, job.state, job.num_dml_affected_rows) == (f"{name}-0", "DONE", 1)
    assert count(bigquery, counter) == 1


def test_a_job_that_an_earlier_try_left_running(
    bigquery: Client, counter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, gate = counter.replace(".", "-"), f"{counter}_gate"
    bigquery.query(f"CREATE TABLE `{gate}` (open BOOL)").result()
    bigquery.query(
        f"WHILE (SELECT COUNT(*) FROM `{gate}`) = 0 DO SELECT 1; END WHILE;"
        f"INSERT INTO `{counter}` (job) VALUES ('first');",
        job_id=f"{name}-0",
        job_retry=None,
    )
    states = []

    def look_then_open(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        job = bigquery.get_job(*args, **kwargs)
        states.append(job.state)
        bigquery.query(f"INSERT INTO `{gate}` (open) VALUES (TRUE)").result()
        return job

    monkeypatch.setattr(bigquery, "get_job", look_then_open)
    job = run_job(bigquery, name, lambda job_id: insert(bigquery, counter, job_id))
    assert states == ["RUNNING"]
    assert (job.job_id, job.state) == (f"{name}-0", "DONE")
    assert count(bigquery, counter) == 1


def test_a_job_that_was_tried_often(bigquery: Client, counter: str) -> None:
    """Four tries of a task take so many ids while a user's statement holds the table for hours."""
    name = counter.replace(".", "-")
    for number in range(122):
        bigquery.query("SELECT 1", job_id=f"{name}-{number}", job_retry=None).result()
    job = run_job(bigquery, name, lambda job_id: insert(bigquery, counter, job_id))
    assert (job.job_id, count(bigquery, counter)) == (f"{name}-122", 1)


def changes(chain: Chain, job_id: str) -> tuple[int, int, int]:
    """Return how many rows of the target a merge inserted, updated and deleted."""
    job = chain.bigquery.get_job(job_id)
    assert job.labels["source"] == "talkpilot"
    statements = chain.bigquery.list_jobs(parent_job=job_id)
    # All but the lock's.
    done = [each.dml_stats for each in statements if each.dml_stats and each.job_id[-1] != "1"]
    return (
        sum(stats.inserted_row_count for stats in done),
        sum(stats.updated_row_count for stats in done),
        sum(stats.deleted_row_count for stats in done),
    )


def test_what_the_jobs_did(chain: Chain) -> None:
    calls = chain.extract().returned
    result = chain.load(calls).returned
    load = chain.bigquery.get_job(result["load_job_id"])
    assert isinstance(load, LoadJob)
    assert load.output_rows == result["rows"] == CALLS
    assert result["changed"] == CALLS
    assert changes(chain, result["merge_job_id"]) == (CALLS, 0, 0)

    result = chain.load(chain.enrich(calls).returned).returned
    assert result["changed"] == CALLS
    assert changes(chain, result["merge_job_id"]) == (0, CALLS, 0)

    chain.sandbox.store.insert_late(chain.sandbox.store.agent_ids[0], "2026-03-16T11:11:11Z")
    chain.sandbox.store.edit(chain.truth()[0]["id"], note="edited")
    result = chain.load(chain.extract().returned).returned
    assert result["changed"] == 2
    assert changes(chain, result["merge_job_id"]) == (1, 1, 0)


@pytest.mark.slow
def test_two_processes_that_load_one_day_at_the_same_time(chain: Chain, jobs: Jobs) -> None:
    """As in Google's BigQuery, transactions that only insert run side by side here."""
    wanted = expected_rows(chain.truth(), details=False)

    def load(manifest: str, table: str) -> int:
        ended = jobs.run(**chain.arguments("load", manifest, table=table))
        if ended.error and "Failed to commit" in ended.error[1]:  # here tables conflict, too
            return load(manifest, table)
        return int(ended.returned["live"])

    manifests = [str(chain.extract().returned) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            table = f"{chain.table}_{number}"
            assert list(pool.map(load, manifests, [table, table])) == [CALLS, CALLS]
            assert_equal_rows(table_rows(chain.bigquery, table), wanted)


def test_the_staging_table_of_a_killed_load_expires(chain: Chain, kill: Kill) -> None:
    """Though the load job empties it first, its expiry stays; the next load creates it anew."""
    calls = str(chain.extract().returned)
    left = left_by_a_killed_load(chain, kill, calls)
    assert left.num_rows == CALLS
    assert left.expires
    hours = (left.expires - dt.datetime.now(dt.UTC)).total_seconds() / 3600
    assert 23 < hours <= 24
    left.expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    chain.bigquery.update_table(left, ["expires"])
    deadline = time.monotonic() + 60
    while left.table_id in tables(chain.bigquery, chain.table):
        assert time.monotonic() < deadline, "it does not expire"
        time.sleep(0.2)

    chain.load(calls)
    chain.assert_table_is_truth(details=False)
    assert tables(chain.bigquery, chain.table) == ["calls"]


@pytest.mark.parametrize("is_sent_twice", [False, True])
def test_new_tables_do_not_expire_whatever_the_dataset_says(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, is_sent_twice: bool
) -> None:
    """Google's library sends a request again whose response was lost: then the table exists."""
    create = Client.create_table

    def create_twice(client: Client, *args: Any, **options: Any) -> Table:
        create(client, *args, **options)
        return create(client, *args, **options)

    if is_sent_twice:
        monkeypatch.setattr(Client, "create_table", create_twice)
    dataset = Dataset(chain.table.rpartition(".")[0])
    dataset.default_table_expiration_ms = dataset.default_partition_expiration_ms = 86_400_000
    chain.bigquery.create_dataset(dataset)
    chain.load(chain.extract(table=chain.table).returned)
    table, agents = (chain.bigquery.get_table(f"{chain.table}{end}") for end in ("", "_agents"))
    assert table.expires is agents.expires is None
    assert table.time_partitioning.expiration_ms is None
    chain.assert_table_is_truth(details=False)


def test_a_table_that_requires_a_filter_on_its_partition(chain: Chain) -> None:
    """This emulator refuses a statement without the filter, as Google's BigQuery does."""
    target = TableId.parse(chain.table)
    chain.bigquery.create_dataset(f"{target.project}.{target.dataset}")
    table = Table(chain.table, schema=target_schema())
    table.time_partitioning = TimePartitioning(field="created_at")
    table.require_partition_filter = True
    chain.bigquery.create_table(table)
    with pytest.raises(BadRequest, match="without a filter"):
        chain.bigquery.query(f"SELECT id FROM `{chain.table}`").result()

    chain.run()
    day, end = (dt.date.fromisoformat(each) for each in chain.interval)
    chain.bigquery.query(
        f"INSERT INTO `{chain.table}` SELECT * FROM `{chain.table}` WHERE created_at >= '{day}'"
    ).result()
    gone = live_call(chain)
    chain.sandbox.store.erase(gone["id"])
    chain.run()
    agents = chain.sandbox.store.agent_ids
    due = {Interval.parse(day, end): agents, Interval.parse("2026-01-01", end): agents}
    assert {found for _, found in unpurged_days(chain.bigquery, target, due)} == {day}
    assert earliest_call(chain.bigquery, target, end)
    table.require_partition_filter = False
    chain.bigquery.update_table(table, ["require_partition_filter"])
    chain.assert_table_is_truth(erased=[gone])


def test_a_table_that_expires_is_named_once(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    calls = chain.summaries()
    table = chain.bigquery.get_table(chain.table)
    table.expires = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    chain.bigquery.update_table(table, ["expires"])
    chain.load(calls)
    chain.load(chain.enrich(calls).returned)
    [line] = [line for line in caplog.messages if "deletes the table" in line]
    assert "on 2099-01-01 with all its calls" in line
    assert f"ALTER TABLE `{chain.table}` SET OPTIONS (expiration_timestamp = NULL)" in line


def tags_of(table: Table) -> dict[str, str]:
    tags = {}
    for field in table.schema:
        for part in field.fields or [field]:
            if part.policy_tags:
                [tags[field.name]] = part.policy_tags.names
    return tags


def test_policy_tags_are_on_the_table_and_on_staging_tables(chain: Chain, kill: Kill) -> None:
    """Both have the tags of the argument, and those that users set by hand."""
    calls = str(chain.extract().returned)
    chain.load(calls, policy_tags=json.dumps({"phone_number": TAG}))
    details = str(chain.enrich(calls).returned)
    table = chain.bigquery.get_table(chain.table)
    assert tags_of(table) == {"phone_number": TAG}
    table.schema = tagged(table.schema, {"transcript": f"{TAG}1"})
    chain.bigquery.update_table(table, ["schema"])
    left = left_by_a_killed_load(chain, kill, details)
    assert tags_of(left) == {"phone_number": TAG, "transcript": f"{TAG}1"}
