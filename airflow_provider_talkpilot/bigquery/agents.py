"""The table of agents beside the target: each agent as the key's list last had it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from google.cloud.bigquery import ArrayQueryParameter, Client, Table

from airflow_provider_talkpilot.bigquery.jobs import Jobs
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId

# A request has at most 10 MB, and an agent with its prompts can have 100 kB.
_BATCH = 50
_COMPARED = "organization_id", "name", "prompt", "greeting", "settings"


def load_agents(
    jobs: Jobs, table: Table, target: TableId, agents: Sequence[dict[str, Any]]
) -> None:
    """Merge agents into their table; start no job if none has changed.

    :param jobs: runs the statements.
    :param table: the table of agents, as BigQuery has it.
    :param target: the table of calls.
    :param agents: rows, as ``agent_row`` makes them.
    :raises BigQueryLoadError: when a statement failed.
    """
    changed = list(_changed(jobs.client, table, agents))
    statement = render("merge_agents", target=target)
    for first in range(0, len(changed), _BATCH):
        texts = [json.dumps(row) for row in changed[first : first + _BATCH]]
        jobs.query(statement, [ArrayQueryParameter("agents", "STRING", texts)])


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
