"""Describe for OpenLineage what tasks read and wrote: the data, the rows, the table's columns.

OpenLineage's provider is optional, so its names are imported when it calls these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from airflow_provider_talkpilot.staging.names import public_name

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset, OutputDataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_talkpilot.bigquery.load import LoadResult
    from airflow_provider_talkpilot.bigquery.table_id import TableId
    from airflow_provider_talkpilot.compat import Asset, ObjectStoragePath
    from airflow_provider_talkpilot.staging.manifests import Manifest
    from airflow_provider_talkpilot.staging.names import Kind

BIGQUERY = "bigquery"
# As TalkPilot's documents write them.
_RESOURCES: dict[Kind, str] = {
    "calls": "agents/{agentId}/calls",
    "details": "agents/{agentId}/calls/{callId}",
    "performance": "agents/{agentId}/performance",
}


class Place(NamedTuple):
    """The name of data, the same in every run: the system that stores it, and its name there."""

    namespace: str
    name: str


def staged_lineage(
    base_url: str, path: ObjectStoragePath, manifest: Manifest
) -> OperatorLineage[Any, Any]:
    """Describe a task that staged: it read the API, and mostly staged list rows."""
    sources = [api_place(base_url, _RESOURCES[manifest.kind])]
    if manifest.kind != "calls":
        sources.append(staging_place(path.parent, "calls"))
    output = _output(
        staging_place(path.parent, manifest.kind),
        manifest.rows,
        sum(part.bytes for part in manifest.parts),
        len(manifest.parts),
    )
    return _lineage(sources, output)


def loaded_lineage(
    path: ObjectStoragePath, manifest: Manifest, target: TableId, result: LoadResult
) -> OperatorLineage[Any, Any]:
    """Describe a load: it read staged rows, and wrote a table by a BigQuery job."""
    from airflow.providers.common.compat.openlineage import facet

    is_performance = manifest.kind == "performance"
    table = target.performance if is_performance else target
    output = _output(Place(BIGQUERY, str(table)), result.changed)
    output.facets = {"schema": _schema("performance" if is_performance else "calls")}
    lineage = _lineage([staging_place(path.parent, manifest.kind)], output)
    if result.merge_job_id:
        lineage.run_facets["externalQuery"] = facet.ExternalQueryRunFacet(
            externalQueryId=result.merge_job_id, source=BIGQUERY
        )
    return lineage


def api_place(base_url: str, resource: str = "") -> Place:
    """Name a resource of the API as TalkPilot's documents do; by default the whole API."""
    url = urlsplit(base_url)
    path = url.path.strip("/")
    return Place(f"talkpilot://{url.netloc}", "/".join(filter(None, (path, resource))) or "/")


def staging_place(folder: ObjectStoragePath, kind: Kind) -> Place:
    """Name what is staged of a kind, for all intervals of a DAG, connection and agents."""
    url = urlsplit(public_name(folder))
    path = f"{url.path}/{kind}"
    if url.scheme in ("", "file"):
        return Place("file", path)
    # The name before the @ is the connection's.
    scheme, bucket = url.scheme.replace("gcs", "gs"), url.netloc.rpartition("@")[2]
    return Place(f"{scheme}://{bucket}", path.lstrip("/"))


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Name the API of a ``talkpilot://`` asset, which the hook reports, as operators name it."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    return Dataset(*api_place(asset.uri))


def _lineage(sources: list[Place], output: OutputDataset) -> OperatorLineage[Any, Any]:
    from airflow.providers.common.compat.openlineage.facet import InputDataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(inputs=[InputDataset(*source) for source in sources], outputs=[output])


def _output(
    place: Place, rows: int, size: int | None = None, files: int | None = None
) -> OutputDataset:
    from airflow.providers.common.compat.openlineage import facet

    counts = facet.OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size, fileCount=files)
    return facet.OutputDataset(*place, outputFacets={"outputStatistics": counts})


def _schema(table: str) -> Any:
    """Describe a table's columns; see TABLES in staging/rows/columns.py for its name."""
    from airflow.providers.common.compat.openlineage import facet

    from airflow_provider_talkpilot.bigquery.schema import target_schema

    def described(column: Any) -> Any:
        return facet.SchemaDatasetFacetFields(
            name=column.name,
            type=column.field_type,
            description=column.description,
            fields=[described(field) for field in column.fields],
        )

    return facet.SchemaDatasetFacet(fields=[described(column) for column in target_schema(table)])
