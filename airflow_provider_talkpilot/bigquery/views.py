"""Views beside the target table: live calls, their messages, and figures a day."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client, SchemaField, Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.schema import target_schema
from airflow_provider_talkpilot.bigquery.statements import QUALITY, render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.target import exists, has_performance, require_location
from airflow_provider_talkpilot.staging.rows import RED_FLAGS

log = logging.getLogger(__name__)

_LABELS = {"source": "talkpilot"}
_TABLE_LABEL = "talkpilot_table"
_TARGET = {field.name: field for field in target_schema()}
_RECORD = {field.name: field for field in target_schema("performance")}
_RESULT = {field.name: field for field in _RECORD["final_result"].fields}
_OF_CALL = "created_at", "duration", "general_success", "disconnection_reason", "final_score"
_AGENT_NAME = SchemaField("agent_name", "STRING", description="What the agent is called now.")


@dataclass(frozen=True)
class View:
    """A view; its SQL is ``sql/view_<name>.sql``.

    :param columns: with their descriptions; none for all columns of the target table, and the
        agent's name.
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

    Nothing is made where one of the names is taken.

    :param client: BigQuery.
    :param target: the table; a load must have made it.
    :param names: which of :data:`VIEWS`.
    :param prefix: goes before their names; needed where one dataset has two target tables.
    :param location: where the dataset is to be; None for wherever it is.
    :return: the view's whole name, by its name without prefix.
    :raises BigQueryLoadError: when there is no such view or table, or a name is taken.
    """
    views = {name: _view(name) for name in names}
    if not re.fullmatch(r"[\w-]*", prefix, re.ASCII):
        raise BigQueryLoadError(
            f"The prefix {prefix!r} cannot begin a name: use letters, digits and underscores."
        )
    table = _target_table(client, target, location)
    ids = {name: target.sibling(prefix + name) for name in views}
    found = {name: _ours(client, view_id, target) for name, view_id in ids.items()}
    beside = {
        "performance": has_performance(client, target),
        "agents": exists(client, target.agents),
    }
    for name, view in views.items():
        _write(client, ids[name], found[name], view, target, table.schema, beside)
    return {name: str(view_id) for name, view_id in ids.items()}


def _view(name: str) -> View:
    if name not in VIEWS:
        raise BigQueryLoadError(f"There is no view {name!r}: choose from {', '.join(VIEWS)}.")
    return VIEWS[name]


def _target_table(client: Client, target: TableId, location: str | None) -> Table:
    cure = "load calls into it first, or correct its name."
    try:
        dataset = client.get_dataset(f"{target.project}.{target.dataset}")
        table = client.get_table(str(target))
    except NotFound:
        raise BigQueryLoadError(f"There is no table {target} to make views of: {cure}") from None
    require_location(dataset, location)
    missing = _TARGET.keys() - {field.name for field in table.schema}
    if missing:
        columns = ", ".join(sorted(missing))
        raise BigQueryLoadError(f"The table {target} lacks what views need ({columns}): {cure}")
    return table


def _ours(client: Client, view_id: TableId, target: TableId) -> Table | None:
    """Find a view of that name that may be updated."""
    try:
        found = client.get_table(str(view_id))
    except NotFound:
        return None
    cure = "rename or drop it, or give the views another prefix."
    if found.table_type != "VIEW":
        raise BigQueryLoadError(f"{view_id} exists and is no view ({found.table_type}): {cure}")
    if not _LABELS.items() <= found.labels.items():
        raise BigQueryLoadError(
            f"The view {view_id} is not of this provider (no label source=talkpilot): {cure}"
        )
    if found.labels.get(_TABLE_LABEL, _label(target)) != _label(target):
        raise BigQueryLoadError(
            f"The view {view_id} belongs to the table {found.labels[_TABLE_LABEL]}: {cure}"
        )
    return found


def _write(
    client: Client,
    view_id: TableId,
    found: Table | None,
    view: View,
    target: TableId,
    target_fields: Sequence[SchemaField],
    beside: Mapping[str, bool],
) -> None:
    # Named one by one: a view of SELECT * would not show columns that are added later.
    own = [_TARGET.get(f.name, f) for f in target_fields if f.name != _AGENT_NAME.name]
    columns = view.columns or (*own, _AGENT_NAME)
    table = found or Table(str(view_id))
    table.view_query = render(
        f"view_{view.name}",
        target=target,
        columns=[column.name for column in own],
        has_performance=beside["performance"],
        has_agents=beside["agents"],
    )
    table.description = view.description
    table.labels = {**table.labels, **_LABELS, _TABLE_LABEL: _label(target)}
    if found:
        client.update_table(table, ["view_query", "description", "labels"])
    else:
        client.create_table(table)
    # BigQuery takes descriptions of columns only after the view exists; a new query drops them.
    table = client.get_table(str(view_id))
    # It works out the columns itself; emulators may not.
    known = [field.name for field in table.schema] == [column.name for column in columns]
    table.schema = _described(table.schema if known else columns, columns)
    client.update_table(table, ["schema"])
    log.info("%s the view %s.", "Updated" if found else "Created", view_id)


def _described(fields: Iterable[SchemaField], like: Iterable[SchemaField]) -> list[SchemaField]:
    """The fields as they are, with the descriptions of those in ``like``."""
    named = {field.name: field for field in like}
    described = []
    for field in fields:
        same = named.get(field.name, field)
        resource = field.to_api_repr()
        if same.description:
            resource["description"] = same.description
        if field.mode == "REQUIRED":  # a view requires nothing
            resource["mode"] = "NULLABLE"
        if field.fields:
            resource["fields"] = [f.to_api_repr() for f in _described(field.fields, same.fields)]
        described.append(SchemaField.from_api_repr(resource))
    return described


def _label(target: TableId) -> str:
    """The table's name as a label can have it."""
    return target.table.lower()[:63]
