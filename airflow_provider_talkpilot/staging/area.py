"""Where a run stages: a function of DAG, connection, agents and interval, never of the run.

So whoever comes next for the same work (a retry, a cleared task, another worker) finds what is
already there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import CallFilters, Interval
from airflow_provider_talkpilot.staging.storage import parse_uri


def interval_folder(
    staging_uri: str,
    *,
    dag_id: str,
    connection_id: str,
    agent_ids: Sequence[str] | None,
    filters: CallFilters,
    interval: Interval,
    columns: Mapping[str, str] | None = None,
) -> ObjectStoragePath:
    """Name the folder of one piece of work; nothing is created.

    :param staging_uri: root of all staging.
    :param dag_id: the DAG.
    :param connection_id: the TalkPilot connection.
    :param agent_ids: the agents asked for; None for all of the key.
    :param filters: filters in use; a selection never shares a folder with the whole.
    :param interval: the interval.
    :param columns: what is dropped or hashed, as recorded; nobody takes over what was staged under
        other choices.
    :return: ``<root>/<dag>/<connection>/<agents>/<start>_<end>``.
    :raises StagingError: when the URI cannot be used.
    """
    name = scope_name(connection_id, agent_ids, filters, columns)
    bounds = f"{_compact(interval.start)}_{_compact(interval.end)}"
    return parse_uri(staging_uri) / _safe(dag_id) / name / bounds


def scope_name(
    connection_id: str,
    agent_ids: Sequence[str] | None,
    filters: CallFilters | None = None,
    columns: Mapping[str, str] | None = None,
) -> str:
    """Name what makes two runs over one interval the same work.

    :param connection_id: the TalkPilot connection.
    :param agent_ids: the agents; None for all of the key.
    :param filters: filters in use.
    :param columns: what is dropped or hashed, as recorded.
    :return: ``<connection>/<agents>``, of which the second is ``all`` or has digests.
    """
    agents = "all" if agent_ids is None else f"agents-{_digest(*sorted(agent_ids))}"
    if filters and (active := filters.active()):
        # A digest: a caller's number has no place in a path.
        agents += f"-selection-{_digest(*(f'{k}={v}' for k, v in sorted(active.items())))}"
    if columns:
        agents += f"-columns-{_digest(*(f'{k}={v}' for k, v in sorted(columns.items())))}"
    return f"{_safe(connection_id)}/{agents}"


def scope_of(folder: ObjectStoragePath) -> str:
    """The :func:`scope_name` of a folder of :func:`interval_folder`."""
    agents = folder.parent
    return f"{agents.parent.name}/{agents.name}"


def ledger_folder(root: ObjectStoragePath, connection_id: str) -> ObjectStoragePath:
    """Name the folder of a connection's ledger; nothing is created.

    :param root: root of all staging.
    :param connection_id: the TalkPilot connection.
    :return: ``<root>/_quota/<connection>``.
    """
    return root / "_quota" / _safe(connection_id)


def root_of(folder: ObjectStoragePath) -> ObjectStoragePath:
    """The root of all staging that a folder of :func:`interval_folder` lies in."""
    return folder.parent.parent.parent.parent


def connection_of(folder: ObjectStoragePath) -> str:
    """The connection that a folder of :func:`interval_folder` was staged with."""
    return str(folder.parent.parent.name)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def _compact(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%S") + (f".{moment:%f}" if moment.microsecond else "") + "Z"
