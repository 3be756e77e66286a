"""Assets, so that other DAGs can run when calls, or their details, are in the table.

The table's name is known when a task runs, but not when Airflow reads the DAG file. So a load task
declares an alias as its outlet, and names the asset behind it at the end.
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

# What follows the Google provider's URI of the table. Airflow would drop a fragment.
_MARKS: dict[Kind, str] = {
    "calls": "",
    "details": "?with=details",
    "performance": "?with=performance",
}


def announce(
    context: Context,
    outlets: Iterable[Any],
    path: ObjectStoragePath,
    manifest: AnyManifest,
    target: TableId,
    result: LoadResult,
) -> None:
    """Announce a load through the outlets of its task.

    An alias becomes the table's asset; an asset gets the same extra. A selection adds no event to
    an alias, because it does not have all calls of the interval.
    """
    # Texts and numbers, no personal data. Flat, because Airflow 2 makes a set of the values.
    extra: dict[str, Any] = {
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
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra = extra
        elif isinstance(outlet, AssetAlias) and not manifest.selection and is_known(outlet):
            uri = f"bigquery://{target.project}/{target.dataset}/{target.table}"
            asset = Asset(uri=uri + _MARKS[manifest.kind])
            context["outlet_events"][outlet].add(asset, extra=extra)
