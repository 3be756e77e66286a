"""Views beside the target table: live calls, their messages, figures a day, and quality."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client, SchemaField, Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.jobs import LABELS
from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.statements import QUALITY, render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import find_table, require_location
from airflow_provider_talkpilot.staging.rows.performance import RED_FLAGS

log = logging.getLogger(__name__)

_TABLE_LABEL = "talkpilot_table"
_TARGET = {field.name: field for field in target_schema()}
_RECORD = {field.name: field for field in target_schema("performance")}
_RESULT = {field.name: field for field in _RECORD["final_result"].fields}
_OF_CALL = "created_at", "duration", "general_success", "disconnection_reason", "final_score"
_AGENT_NAME = SchemaField("agent_name", "STRING", description="What the agent is called now.")


@dataclass(frozen=True)
class View:
    """A view; its SQL is ``sql/view_<name>.sql``.

    :param columns: its columns with their descriptions; empty for all columns of the target table,
        and the agent's name.
    """

    name: str
    description: str
    columns: tuple[SchemaField, ...] = ()


_VIEWS = (
    View("calls_live", "TalkPilot's calls that are neither soft-deleted nor erased."),
    View(
        "call_messages",
        "What was said in TalkPilot's calls: one row a message, of live calls.",
        (
            _TARGET["id"],
            _TARGET["agent_id"],
            _TARGET["created_at"],
            SchemaField("position", "INTEGER", description="Place in the call, from 0."),
            *_TARGET["transcript"].fields,
        ),
    ),
    View(
        "calls_daily",
        "TalkPilot's calls in figures: one row a day and agent, of live calls.",
        (
            SchemaField("day", "DATE", description="Day of created_at, in UTC."),
            _TARGET["agent_id"],
            _AGENT_NAME,
            SchemaField("calls", "INTEGER", description="Number of calls."),
            SchemaField(
                "success_rate",
                "FLOAT",
                description="Share of calls that reached their goal, of those where it is known.",
            ),
            SchemaField("average_duration", "FLOAT", description="Average length in seconds."),
            SchemaField(
                "p90_duration",
                "INTEGER",
                description="Nine of ten calls were not longer, in seconds; approximate.",
            ),
            SchemaField("transfers", "INTEGER", description="Calls that ended as call_transfer."),
            SchemaField(
                "average_score",
                "FLOAT",
                description="Average of final_score, of the calls that have one.",
            ),
            SchemaField(
                "transcript_share",
                "FLOAT",
                description="Share of calls that have a transcript, parsed or raw.",
            ),
        ),
    ),
    View(
        "calls_quality",
        "TalkPilot's calls with what its quality check found: one row a live call.",
        (
            *(_TARGET["id"], _TARGET["agent_id"], _AGENT_NAME),
            *(_TARGET[name] for name in _OF_CALL),
            _RESULT["outcome_label"],
            _RESULT["summary_reasoning"],
            *(_RECORD[column.name] for column in QUALITY),
            *(
                SchemaField(flag, "BOOLEAN", description=f"Red flag: {flag.replace('_', ' ')}.")
                for flag in RED_FLAGS
            ),
        ),
    ),
)

VIEWS: dict[str, View] = {view.name: view for view in _VIEWS}


def create_views(
    client: Client,
    target: TableId,
    names: Iterable[str] = tuple(VIEWS),
    *,
    prefix: str = "",
    location: str | None = None,
) -> dict[str, str]:
    """Create views beside the target table, or bring them up to date.

    If something else has one of the names, no view is created or changed.

    :param client: BigQuery.
    :param target: the table; a load must have created it.
    :param names: which of :data:`VIEWS`.
    :param prefix: goes before the names; needed if one dataset has two target tables.
    :param location: where the dataset must be; None for wherever it is.
    :return: the view's whole name, by its name without prefix.
    :raises BigQueryError: when there is no such view or table, or a name is taken.
    """
    names = list(names)
    for name in names:
        if name not in VIEWS:
            raise BigQueryError(f"There is no view {name!r}: choose from {', '.join(VIEWS)}.")
    if not re.fullmatch(r"[\w-]*", prefix, re.ASCII):
        raise BigQueryError(
            f"The prefix {prefix!r} cannot begin a name: use letters, digits and underscores."
        )
    table = _target_table(client, target, location)
    # The SQL names each column: a view of SELECT * would not show columns that are added later.
    own = [_TARGET.get(f.name, f) for f in table.schema if f.name != _AGENT_NAME.name]
    has_performance = find_table(client, target.performance) is not None
    has_agents = find_table(client, target.agents) is not None
    ids = {name: target.sibling(prefix + name) for name in names}
    existing = {name: _find_own_view(client, view_id, target) for name, view_id in ids.items()}
    for name, view_id in ids.items():
        sql = render(
            f"view_{name}",
            target=target,
            columns=[field.name for field in own],
            has_performance=has_performance,
            has_agents=has_agents,
        )
        columns = VIEWS[name].columns or (*own, _AGENT_NAME)
        view = existing[name] or Table(str(view_id))
        view.view_query, view.description = sql, VIEWS[name].description
        view.labels = {**view.labels, **LABELS, _TABLE_LABEL: _label(target)}
        if existing[name]:
            client.update_table(view, ["view_query", "description", "labels"])
        else:
            client.create_table(view)
        # BigQuery accepts descriptions of columns only now, and drops them with a new query. The
        # types must be those that it derived from the query; an emulator may not have derived any.
        view = client.get_table(str(view_id))
        is_derived = [field.name for field in view.schema] == [field.name for field in columns]
        view.schema = _described(view.schema if is_derived else columns, columns)
        client.update_table(view, ["schema"])
        log.info("%s the view %s.", "Updated" if existing[name] else "Created", view_id)
    return {name: str(view_id) for name, view_id in ids.items()}


def _target_table(client: Client, target: TableId, location: str | None) -> Table:
    """Read the target table's metadata, and check that views can be made of it."""
    cure = "load calls into it first, or correct its name."
    try:
        dataset = client.get_dataset(f"{target.project}.{target.dataset}")
        table = client.get_table(str(target))
    except NotFound:
        raise BigQueryError(f"There is no table {target} to make views of: {cure}") from None
    require_location(dataset, location)
    missing = _TARGET.keys() - {field.name for field in table.schema}
    if missing:
        columns = ", ".join(sorted(missing))
        raise BigQueryError(f"The table {target} lacks what views need ({columns}): {cure}")
    return table


def _find_own_view(client: Client, view_id: TableId, target: TableId) -> Table | None:
    """Find a view of that name, and check that this provider made it for the target."""
    view = find_table(client, view_id)
    if view is None:
        return None
    cure = "rename or drop it, or give the views another prefix."
    if view.table_type != "VIEW":
        raise BigQueryError(f"{view_id} exists and is no view ({view.table_type}): {cure}")
    if not LABELS.items() <= view.labels.items():
        raise BigQueryError(
            f"The view {view_id} is not of this provider (no label source=talkpilot): {cure}"
        )
    if view.labels.get(_TABLE_LABEL, _label(target)) != _label(target):
        raise BigQueryError(
            f"The view {view_id} belongs to the table {view.labels[_TABLE_LABEL]}: {cure}"
        )
    return view


def _described(
    fields: Iterable[SchemaField], described: Iterable[SchemaField]
) -> list[SchemaField]:
    """Return the fields as a view has them, with the descriptions of fields of the same names."""
    by_name = {field.name: field for field in described}
    result = []
    for field in fields:
        like, resource = by_name.get(field.name, field), field.to_api_repr()
        resource["description"] = like.description
        if field.mode == "REQUIRED":  # a view requires no column
            resource["mode"] = "NULLABLE"
        if field.fields:
            resource["fields"] = [f.to_api_repr() for f in _described(field.fields, like.fields)]
        result.append(SchemaField.from_api_repr(resource))
    return result


def _label(target: TableId) -> str:
    """Return the table's name in the form of a label's value."""
    return target.table.lower()[:63]
