"""Dry runs: each statement of a load reads the partitions of its interval alone."""

from __future__ import annotations

import pytest
from google.cloud.bigquery import ArrayQueryParameter, QueryJobConfig, Table

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery.schema import staging_schema
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from tests.integration.chain import Chain, day
from tests.support.google import GoogleProject

pytestmark = pytest.mark.google

NOW = "2026-03-20 00:00:00+00"


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("compare", "calls"),
        ("compare", "details"),
        ("merge", "calls"),
        ("merge", "details"),
        ("known_details", "calls"),
    ],
)
def test_one_day_costs_less_than_two(
    chain: Chain, google: GoogleProject | None, statement: str, kind: str
) -> None:
    chain.interval = day(0)[0], day(1)[1]
    chain.run()
    target = TableId.parse(chain.table)
    staging = target.sibling("calls_staging_of_the_test")
    chain.bigquery.create_table(Table(str(staging), schema=staging_schema(kind)))
    agents = [
        ArrayQueryParameter(name, "STRING", chain.sandbox.store.agent_ids)
        for name in ("whole_agents", "walked_agents")
    ]

    def total_bytes(interval: Interval) -> int:
        text = render(
            statement,
            kind=kind,
            target=target,
            staging=staging,
            interval=interval,
            read_before=NOW,
            erased_at=NOW,
            staged_rows=0,
            duplicates=0,
            gone_agents=chain.sandbox.store.agent_ids,
            has_performance=False,
            has_recordings=True,
        )
        # A dry run of a script counts no bytes, so each statement has its own.
        jobs = [
            chain.bigquery.query(
                query,
                job_config=QueryJobConfig(
                    dry_run=True, use_query_cache=False, query_parameters=agents
                ),
            )
            for query in text.split(";")
            if f"`{target}`" in query
        ]
        return sum(int(job.total_bytes_processed or 0) for job in jobs)

    before = chain.rows(own_times=True)
    one, both = (total_bytes(Interval.parse(day()[0], day(number)[1])) for number in (0, 1))
    assert chain.rows(own_times=True) == before, "a dry run changes nothing"
    if google:  # no emulator counts the bytes of a dry run by partition
        assert 0 < one < both
