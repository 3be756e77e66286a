"""Which columns a user may drop or hash before anything is staged."""

from __future__ import annotations

HASHABLE = (
    "call_id",
    "customer_name",
    "customer_request",
    "phone_number",
    "call_summary",
    "employee",
    "note",
    "disconnection_reason",
)
"""The texts: they can be hashed, or dropped."""

DROPPABLE = (
    *HASHABLE,
    "duration",
    "general_success",
    "extra",
    "transcript",
    "transcript_raw",
    "final_score",
)

NEEDED = (
    "id",
    "agent_id",
    "created_at",
    "updated_at",
    "deleted_at",
    "done",
    "is_purged",
    "detail_updated_at",
    "detail_synced_at",
    "erased_at",
    "synced_at",
)
"""Without these no call can be found again, compared, or forgotten."""
