"""What a task read and wrote, as facts: no records, and no library of lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_talkpilot.staging.names import public_name

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_talkpilot.bigquery.load import LoadResult
    from airflow_provider_talkpilot.bigquery.table_id import TableId
    from airflow_provider_talkpilot.staging.manifests import Manifest
    from airflow_provider_talkpilot.staging.names import Kind

BIGQUERY = "bigquery"
# As TalkPilot's documents write them.
_RESOURCES: dict[Kind, str] = {
    "calls": "agents/{agentId}/calls",
    "details": "agents/{agentId}/calls/{callId}",
}


@dataclass(frozen=True)
class Place:
    """Data at rest, named as OpenLineage names data: the same in every run.

    :param namespace: the system that has it.
    :param name: its name there.
    """

    namespace: str
    name: str


@dataclass(frozen=True)
class Movement:
    """What a task read and wrote.

    :param sources: what it read.
    :param target: what it wrote.
    :param rows: how many rows it wrote.
    :param bytes: how large they are, of files.
    :param files: how many files they are in.
    :param job_id: the BigQuery job that wrote them.
    """

    sources: tuple[Place, ...]
    target: Place
    rows: int
    bytes: int | None = None
    files: int | None = None
    job_id: str | None = None


def extracted(base_url: str, path: ObjectStoragePath, manifest: Manifest) -> Movement:
    """List rows, from the API to staging.

    :param base_url: the API's.
    :param path: of the manifest.
    :param manifest: what was staged.
    """
    return _staged((api_place(base_url, _RESOURCES["calls"]),), path, manifest)


def enriched(base_url: str, path: ObjectStoragePath, manifest: Manifest) -> Movement:
    """Details of staged list rows, likewise."""
    details = api_place(base_url, _RESOURCES["details"])
    return _staged((details, staging_place(path.parent, "calls")), path, manifest)


def loaded(
    path: ObjectStoragePath, manifest: Manifest, target: TableId, result: LoadResult
) -> Movement:
    """Rows, from staging to the table.

    :param path: of the manifest.
    :param manifest: what was staged.
    :param target: the table.
    :param result: what the load did.
    """
    return Movement(
        sources=(staging_place(path.parent, manifest.kind),),
        target=Place(BIGQUERY, str(target)),
        rows=result.changed,
        job_id=result.merge_job_id,
    )


def api_place(base_url: str, resource: str = "") -> Place:
    """Name a resource of the API.

    :param base_url: the API's.
    :param resource: below it, as TalkPilot's documents write it; none for the whole API.
    """
    url = urlsplit(base_url)
    path = url.path.strip("/")
    return Place(f"talkpilot://{url.netloc}", "/".join(filter(None, (path, resource))) or "/")


def api_uri(base_url: str) -> str:
    """Name the API as a URI of an asset, which :func:`api_place` reads too.

    :param base_url: the API's.
    """
    place = api_place(base_url)
    return f"{place.namespace}/{place.name.lstrip('/')}"


def staging_place(folder: ObjectStoragePath, kind: Kind) -> Place:
    """Name what is staged of a kind, for all intervals of a DAG, connection and agents.

    :param folder: of one interval.
    :param kind: ``calls`` or ``details``.
    """
    url = urlsplit(public_name(folder))
    path = f"{url.path}/{kind}"
    if url.scheme in ("", "file"):
        return Place("file", path)
    # The name before the @ is the connection's.
    scheme, bucket = url.scheme.replace("gcs", "gs"), url.netloc.rpartition("@")[2]
    return Place(f"{scheme}://{bucket}", path.lstrip("/"))


def _staged(sources: tuple[Place, ...], path: ObjectStoragePath, manifest: Manifest) -> Movement:
    return Movement(
        sources=sources,
        target=staging_place(path.parent, manifest.kind),
        rows=manifest.rows,
        bytes=sum(part.bytes for part in manifest.parts),
        files=len(manifest.parts),
    )
