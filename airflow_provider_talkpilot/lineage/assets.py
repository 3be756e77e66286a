"""Assets: other DAGs can be scheduled on calls, or details, that are in the table.

The table's name is known when a task runs, not when a DAG file is read. So a load task declares an
alias as its outlet, and names the asset behind it at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import Asset, AssetAlias, is_known
from airflow_provider_talkpilot.staging.manifests import AnyManifest
from airflow_provider_talkpilot.staging.names import Kind, connection_of

if TYPE_CHECKING:
    from airflow_provider_talkpilot.bigquery.load import LoadResult
    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath

# Beside the Google provider's URI of the table. A URI has one asset, and Airflow drops fragments.
_MARKS: dict[Kind, str] = {
    "calls": "",
    "details": "?with=details",
    "performance": "?with=performance",
}


def table_asset(target: TableId, kind: Kind) -> Asset:
    """Name the asset that changes when calls, their details or records, are in a table."""
    return Asset(uri=f"bigquery://{target.project}/{target.dataset}/{target.table}{_MARKS[kind]}")


def announce(
    context: Context,
    outlets: Iterable[Any],
    path: ObjectStoragePath,
    manifest: AnyManifest,
    target: TableId,
    result: LoadResult,
) -> None:
    """Announce through a task's outlets what was loaded.

    An alias becomes the table's asset; an asset gets the same extra. A selection adds no
    event to an alias, for the interval's calls are not all there.
    """
    extra = event_extra(path, manifest, target, result)
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra = extra
        elif isinstance(outlet, AssetAlias) and not manifest.selection and is_known(outlet):
            asset = table_asset(target, manifest.kind)
            context["outlet_events"][outlet].add(asset, extra=extra)


def event_extra(
    path: ObjectStoragePath,
    manifest: AnyManifest,
    target: TableId,
    result: LoadResult,
) -> dict[str, Any]:
    """Describe a load for DAGs that are scheduled on it: texts and numbers, no personal data.

    Flat, because Airflow 2 makes a set of the values.
    """
    return {
        "kind": manifest.kind,
        "table": str(target),
        "start": format_utc(manifest.start),
        "end": format_utc(manifest.end),
        "connection_id": connection_of(path.parent),
        "agents": manifest.agent_count,
        "rows": result.rows,
        "changed": result.changed,
        "erased": result.erased,
        "requests": sum(manifest.requests.values()),
    }
