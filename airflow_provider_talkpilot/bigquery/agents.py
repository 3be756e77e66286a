"""The table of agents beside the target: the current state of those that the key's list had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import ArrayQueryParameter, Client, Table

from airflow_provider_talkpilot.bigquery.jobs import LABELS, Jobs
from airflow_provider_talkpilot.bigquery.policy_tags import add_missing_tags, tagged
from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.statements import query_config, render
from airflow_provider_talkpilot.bigquery.table_id import TableId

# A request has at most 10 MB; with its prompt an agent can have some kB.
_AT_ONCE = 500
_COMPARED = "organization_id", "name", "prompt", "greeting", "settings"


def load_agents(
    client: Client,
    jobs: Jobs,
    target: TableId,
    rows: Sequence[dict[str, Any]],
    policy_tags: Mapping[str, str],
    maximum_bytes_billed: int | None = None,
) -> None:
    """Merge agents into their table, which is created where it is missing.

    Starts no job where the table has them as they are.

    :param client: BigQuery.
    :param jobs: runs the statements.
    :param target: the table of calls.
    :param rows: agents, as ``agent_row`` makes them.
    :param policy_tags: a policy tag by column; set where a column has none.
    :param maximum_bytes_billed: a statement that would read more fails; None for no such limit.
    :raises BigQueryLoadError: when a statement failed.
    """
    table = _ensure_table(client, target.agents, policy_tags)
    changed = list(_changed(client, table, rows))
    statement = render("merge_agents", target=target)
    for first in range(0, len(changed), _AT_ONCE):
        texts = [json.dumps(row) for row in changed[first : first + _AT_ONCE]]
        parameters = [ArrayQueryParameter("agents", "STRING", texts)]
        jobs.query(statement, query_config(maximum_bytes_billed, query_parameters=parameters))


def _ensure_table(client: Client, name: TableId, policy_tags: Mapping[str, str]) -> Table:
    try:
        return add_missing_tags(client, client.get_table(str(name)), policy_tags)
    except NotFound:
        table = Table(str(name), schema=tagged(target_schema("agents"), policy_tags))
        table.description = "The agents of TalkPilot's calls, as they are now: one row an agent."
        table.labels = LABELS
        return client.create_table(table, exists_ok=True)


def _changed(
    client: Client, table: Table, rows: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The rows that the table lacks, or has otherwise."""
    found = {row["id"]: dict(row) for row in client.list_rows(table)}
    for row in rows:
        before = found.get(row["id"], {})
        if isinstance(settings := before.get("settings"), str):
            before["settings"] = json.loads(settings)
        if any(row[column] != before.get(column) for column in _COMPARED):
            yield row
