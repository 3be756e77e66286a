"""The table of agents beside the target: each agent as the key's list last had it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.cloud.bigquery import ArrayQueryParameter, Client, Table

from airflow_provider_talkpilot.bigquery.jobs import Jobs
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId

# A request has at most 10 MB, and JSON in JSON takes more bytes.
_BATCH_BYTES = 4_000_000
_COMPARED = "organization_id", "name", "prompt", "greeting", "settings"


def load_agents(
    jobs: Jobs, table: Table, target: TableId, agents: Sequence[dict[str, Any]]
) -> None:
    """Merge agents into their table; start no job if none has changed.

    :param jobs: runs the statements.
    :param table: the table of agents, as BigQuery has it.
    :param target: the table of calls.
    :param agents: rows, as ``agent_row`` makes them.
    :raises BigQueryError: when a statement failed.
    """
    statement = render("merge_agents", target=target)
    for batch in _batches(map(json.dumps, _changed(jobs.client, table, agents))):
        jobs.query(statement, [ArrayQueryParameter("agents", "STRING", batch)])


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch, size = list[str](), 0
    for text in texts:
        if batch and size + len(text) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _changed(
    client: Client, table: Table, agents: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the agents that the table lacks, or has with other values."""
    rows = {row["id"]: dict(row) for row in client.list_rows(table)}
    for agent in agents:
        row = rows.get(agent["id"], {})
        if isinstance(settings := row.get("settings"), str):
            row["settings"] = json.loads(settings)
        if any(agent[column] != row.get(column) for column in _COMPARED):
            yield agent
