"""What webhooks told of calls, as details that cost no request."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

from pydantic import TypeAdapter

from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging.choices import ColumnChoices
from airflow_provider_talkpilot.staging.enrich.plan import DetailPlan, Known
from airflow_provider_talkpilot.staging.inbox import find_events
from airflow_provider_talkpilot.staging.inventory import left_alone
from airflow_provider_talkpilot.staging.manifests import WalksManifest
from airflow_provider_talkpilot.staging.names import root_of
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_records
from airflow_provider_talkpilot.staging.rows import event_row

# A kill before a part is staged costs nothing: its events are still in the inbox.
_PART_ROWS = 1000

_moment = TypeAdapter(datetime).validate_python


def stage_events(
    folder: ObjectStoragePath,
    lists: WalksManifest,
    plan: DetailPlan,
    writer: PartWriter,
    choices: ColumnChoices,
) -> list[Part]:
    """Stage the transcripts that the inbox has of calls of which no detail is known.

    The plan gets them too. An inbox that cannot be read costs requests, and stops nothing.

    :param folder: where the lists' parts are, and where the writer stages.
    :return: the parts with them.
    """
    now, parts = datetime.now(UTC), list[Part]()
    unknown = (
        row
        for part in lists.parts
        for row in read_records(folder / part.name)
        if not row.get("is_purged") and not plan.is_known(row["id"])
    )
    details = (
        row | choices.row(detail)
        for row, event in find_events(root_of(folder), unknown)
        if (detail := event_row(row, event.call.get("transcript"), now))
    )
    with left_alone(strict=False):
        while rows := list(islice(details, _PART_ROWS)):
            writer.write(rows)
            parts += [part] if (part := writer.flush()) else []
            plan.know(map(known_detail, rows))
    return parts


def known_detail(row: dict[str, Any]) -> Known:
    """What the plan has to know of a staged detail."""
    return Known(
        row["id"],
        _moment(row["detail_updated_at"]) if row["detail_updated_at"] else None,
        _moment(row["detail_synced_at"]),
        row["final_score"] is not None,
        bool(row["transcript"] or row.get("transcript_raw") or row.get("is_purged")),
        row.get("recording_status") not in (None, "failed"),
    )
