"""The columns of the target table, in one place: name, type, meaning, and who fills them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from google.cloud.bigquery import SchemaField

from airflow_provider_talkpilot.api import CallDetail


class Source(Enum):
    """Which staged rows fill a column."""

    KEY = "key"
    LIST = "list"
    DETAIL = "detail"
    PROVIDER = "provider"
    STAGING = "staging"


@dataclass(frozen=True)
class Column:
    """A column of the target or of the staging table.

    :param personal: whether it tells of a person: emptied in the row of an erased call.
    """

    name: str
    type: str
    source: Source
    description: str
    mode: str = "NULLABLE"
    fields: tuple[SchemaField, ...] = ()
    personal: bool = False

    def schema_field(self) -> SchemaField:
        """The column as the client library wants it."""
        return SchemaField(
            self.name, self.type, self.mode, description=self.description, fields=self.fields
        )


MESSAGE_FIELDS = (
    SchemaField("role", "STRING", description="Who spoke: agent, assistant or user."),
    SchemaField("text", "STRING", description="What was said."),
)

_K, _L, _D, _P = Source.KEY, Source.LIST, Source.DETAIL, Source.PROVIDER

COLUMNS: tuple[Column, ...] = (
    Column("id", "STRING", _K, "The call's key (UUID).", "REQUIRED"),
    Column("agent_id", "STRING", _K, "The agent that answered (UUID).", "REQUIRED"),
    Column("created_at", "TIMESTAMP", _K, "Start of the call; the table's partition.", "REQUIRED"),
    Column("updated_at", "TIMESTAMP", _L, "Last change, as TalkPilot tells it."),
    Column("deleted_at", "TIMESTAMP", _L, "When the call was soft-deleted; null where it was not."),
    Column("call_id", "STRING", _L, "LiveKit's id of the call.", personal=True),
    Column("customer_name", "STRING", _L, "The caller's name.", personal=True),
    Column("customer_request", "STRING", _L, "What the caller wanted.", personal=True),
    Column("phone_number", "STRING", _L, "The caller's number; null once purged.", personal=True),
    Column("call_summary", "STRING", _L, "Summary of the call.", personal=True),
    Column("employee", "STRING", _L, "The employee asked for.", personal=True),
    Column("note", "STRING", _L, "Staff's note, edited after the call.", personal=True),
    Column("duration", "INTEGER", _L, "Length of the call in seconds."),
    Column("done", "BOOLEAN", _L, "Whether staff have dealt with the call."),
    Column("general_success", "BOOLEAN", _L, "Whether the call reached its goal; null if unknown."),
    Column(
        "disconnection_reason",
        "STRING",
        _L,
        "How it ended: user_hangup, agent_hangup, call_transfer, …",
    ),
    Column("is_purged", "BOOLEAN", _L, "Whether TalkPilot purged the call's personal data."),
    Column(
        "extra",
        "JSON",
        _L,
        "Unknown fields, and values that do not fit their column.",
        personal=True,
    ),
    Column(
        "transcript",
        "RECORD",
        _D,
        "The messages, in order: all that came with a role and a text.",
        "REPEATED",
        fields=MESSAGE_FIELDS,
        personal=True,
    ),
    Column(
        "transcript_raw",
        "STRING",
        _D,
        "The whole transcript as JSON, where transcript lacks some of it.",
        personal=True,
    ),
    Column("final_score", "FLOAT", _D, "Score from 1 to 10, given after the call by an AI."),
    Column("detail_updated_at", "TIMESTAMP", _D, "The updated_at that the detail belongs to."),
    Column("detail_synced_at", "TIMESTAMP", _D, "When the detail was last asked for, if ever."),
    Column("erased_at", "TIMESTAMP", _P, "When the call was found to be gone from TalkPilot."),
    Column("synced_at", "TIMESTAMP", _L, "When the row was last read from TalkPilot."),
)

DRIFT = Column("drift", "JSON", Source.STAGING, "Values that do not fit, of the list's columns.")
DETAIL_DRIFT = Column("detail_drift", "JSON", Source.STAGING, "Likewise, of the detail's columns.")
DETAIL_FOUND = Column("detail_found", "BOOLEAN", Source.STAGING, "False: TalkPilot has no detail.")

# Fields whose values stand in extra where they do not fit. A record is none without the others, and
# a transcript always fits: transcript_raw takes it, whatever it is.
_CAN_DRIFT = {name for name, field in CallDetail.model_fields.items() if not field.is_required()}
_CAN_DRIFT -= {"transcript"}


def names(*sources: Source) -> list[str]:
    """Names of the columns that come from ``sources``, in the table's order."""
    return [column.name for column in COLUMNS if column.source in sources]


def drift_columns(*sources: Source) -> list[str]:
    """Names of the columns of ``sources`` whose values stand in ``extra`` where they do not fit."""
    return [name for name in names(*sources) if name in _CAN_DRIFT]


def personal_columns() -> list[Column]:
    """The columns that tell of a person, in the table's order."""
    return [column for column in COLUMNS if column.personal]


def target_schema() -> list[SchemaField]:
    """Schema of the target table."""
    return [column.schema_field() for column in COLUMNS]


def staging_schema(kind: str) -> list[SchemaField]:
    """Schema of the staging table for parts of a kind (``calls`` or ``details``)."""
    sources = {Source.KEY, Source.LIST} | ({Source.DETAIL} if kind == "details" else set())
    columns = [column for column in COLUMNS if column.source in sources]
    columns += [DRIFT, DETAIL_DRIFT, DETAIL_FOUND] if kind == "details" else [DRIFT]
    return [column.schema_field() for column in columns]
