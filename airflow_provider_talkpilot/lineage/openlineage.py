"""What tasks report to OpenLineage: what was read and written, how many rows, which columns.

OpenLineage's provider is optional, so its names are imported when it calls these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from airflow_provider_talkpilot.staging.names import public_name

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset, SchemaDatasetFacet
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
    """Data at rest: the system that has it, and its name there, the same in every run."""

    namespace: str
    name: str


class Movement(NamedTuple):
    """What a task read and wrote: rows, and of files the bytes and how many there are."""

    sources: list[Place]
    target: Place
    rows: int
    bytes: int | None = None
    files: int | None = None
    job_id: str | None = None  # the BigQuery job that wrote them
    table: str = ""  # of a table, which one, see TABLES in staging/columns.py


def lineage_of(moved: Movement | None) -> OperatorLineage[Any, Any]:
    """Say for OpenLineage what was read and written; nothing where a task did not get that far."""
    from airflow.providers.common.compat.openlineage import facet
    from airflow.providers.openlineage.extractors import OperatorLineage

    if moved is None:
        return OperatorLineage()
    statistics = facet.OutputStatisticsOutputDatasetFacet(
        rowCount=moved.rows, size=moved.bytes, fileCount=moved.files
    )
    output = facet.OutputDataset(
        namespace=moved.target.namespace,
        name=moved.target.name,
        facets={"schema": _table_schema(moved.table)} if moved.target.namespace == BIGQUERY else {},
        outputFacets={"outputStatistics": statistics},
    )
    job = moved.job_id and facet.ExternalQueryRunFacet(
        externalQueryId=moved.job_id, source=BIGQUERY
    )
    return OperatorLineage(
        inputs=[
            facet.InputDataset(namespace=place.namespace, name=place.name)
            for place in moved.sources
        ],
        outputs=[output],
        run_facets={"externalQuery": job} if job else {},
    )


def staged(base_url: str, path: ObjectStoragePath, manifest: Manifest) -> Movement:
    """Describe an extraction, or an enrichment, which reads the staged list rows too."""
    sources = [api_place(base_url, _RESOURCES[manifest.kind])]
    if manifest.kind != "calls":
        sources.append(staging_place(path.parent, "calls"))
    return Movement(
        sources=sources,
        target=staging_place(path.parent, manifest.kind),
        rows=manifest.rows,
        bytes=sum(part.bytes for part in manifest.parts),
        files=len(manifest.parts),
    )


def loaded(
    path: ObjectStoragePath, manifest: Manifest, target: TableId, result: LoadResult
) -> Movement:
    """Describe a load."""
    return Movement(
        sources=[staging_place(path.parent, manifest.kind)],
        target=Place(BIGQUERY, str(target)),
        rows=result.changed,
        job_id=result.merge_job_id,
        table="performance" if manifest.kind == "performance" else "",
    )


def api_place(base_url: str, resource: str = "") -> Place:
    """Name a resource of the API, as TalkPilot's documents write it; none for the whole API."""
    url = urlsplit(base_url)
    path = url.path.strip("/")
    return Place(f"talkpilot://{url.netloc}", "/".join(filter(None, (path, resource))) or "/")


def api_uri(base_url: str) -> str:
    """Name the API as a URI of an asset, which :func:`api_place` reads too."""
    place = api_place(base_url)
    return f"{place.namespace}/{place.name.lstrip('/')}"


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
    """Name the API of a ``talkpilot://`` asset, which the hook notes, as operators name it."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    place = api_place(asset.uri)
    return Dataset(namespace=place.namespace, name=place.name)


def _table_schema(table: str) -> SchemaDatasetFacet:
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
