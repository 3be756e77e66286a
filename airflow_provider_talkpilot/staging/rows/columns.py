"""The schema: every column of every table, defined once.

From it follow the choices for columns, what a purge and an erasure leave, BigQuery's schemas, the
columns in the SQL, and the tables of columns in the docs (``make reference``). The API's records
are in ``api/models.py``; a test checks that both agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag

from airflow_provider_talkpilot.api import CallDetail


class Source(Enum):
    """Where a column's values come from."""

    KEY = "key"
    LIST = "list"
    DETAIL = "detail"
    LOAD = "load"
    """A load sets it; no staged row has it."""
    STAGING = "staging"
    """Only the staging table has the column."""


class Trait(Flag):
    """Traits of a column."""

    PERSONAL = 1
    """It has personal data: an erasure empties it, and a purge empties it in staged list rows."""
    DROPPABLE = 2
    """Users may drop it. The provider needs the other columns to find, compare and empty calls; or
    they are measures of the machine, without personal data."""
    PURGED = 4
    """TalkPilot's purge empties it."""


@dataclass(frozen=True)
class Column:
    """A column of one of our tables, or of the staging table alone.

    :param type: its type in GoogleSQL; of a repeated column, the type of its elements.
    :param traits: see :class:`Trait`.
    :param fields: the fields of a STRUCT.
    :param is_repeated: whether it is an array.
    """

    name: str
    type: str
    source: Source
    description: str
    traits: Trait = Trait(0)
    fields: tuple[Column, ...] = ()
    is_repeated: bool = False

    @property
    def mode(self) -> str:
        """``NULLABLE``, ``REQUIRED`` or ``REPEATED``."""
        if self.is_repeated:
            return "REPEATED"
        return "REQUIRED" if self.source is Source.KEY else "NULLABLE"

    @property
    def is_personal(self) -> bool:
        """Whether it has personal data."""
        return Trait.PERSONAL in self.traits

    @property
    def is_droppable(self) -> bool:
        """Whether a user may drop it."""
        return Trait.DROPPABLE in self.traits

    @property
    def is_hashable(self) -> bool:
        """Whether a user may hash it: only texts of list rows can be."""
        return self.is_droppable and self.type == "STRING" and self.source is Source.LIST

    @property
    def sql_type(self) -> str:
        """Its type in GoogleSQL, such as ``ARRAY<STRUCT<role STRING>>``."""
        inner = ", ".join(f"{field.name} {field.sql_type}" for field in self.fields)
        name = f"STRUCT<{inner}>" if inner else self.type
        return f"ARRAY<{name}>" if self.is_repeated else name


_K, _L, _D = Source.KEY, Source.LIST, Source.DETAIL
_DROP = Trait.DROPPABLE
_PERSONAL = Trait.PERSONAL | Trait.DROPPABLE
_PURGED = Trait.PURGED | _PERSONAL
# Without these columns a recording could not be deleted, so users cannot drop them.
_RECORDING = Trait.PURGED | Trait.PERSONAL
_MESSAGE = (
    Column("role", "STRING", _D, "Who spoke: agent, assistant or user."),
    Column("text", "STRING", _D, "What was said."),
)
_TURN = (
    Column("position", "INT64", _D, "Its place, from 0."),
    Column("role", "STRING", _D, "agent or user; tool_call and tool_result."),
    Column("text", "STRING", _D, "What was said, or the tool's result as JSON."),
    Column("time_sec", "FLOAT64", _D, "Seconds since the call's start."),
    Column("tool", "STRING", _D, "The tool's name."),
    Column("arguments", "STRING", _D, "What the tool was called with, as JSON."),
    Column("successful", "BOOL", _D, "Whether the tool did its work."),
)
_RAW = "The whole transcript as JSON, where transcript lacks some of it."
_SOURCE = "Where the transcript came from: webhook or api."
_RECORDING_STATUS = (
    "archived, none, expired, too_large, refused, failed or deleted; null if it was not tried."
)
_HOW_IT_ENDED = "How it ended: user_hangup, agent_hangup, call_transfer, …"

CALLS: tuple[Column, ...] = (
    Column("id", "STRING", _K, "The call's key (UUID)."),
    Column("agent_id", "STRING", _K, "The agent that took the call (UUID)."),
    Column("created_at", "TIMESTAMP", _K, "Start of the call; the table's partition."),
    Column("updated_at", "TIMESTAMP", _L, "Last change, from TalkPilot."),
    Column("deleted_at", "TIMESTAMP", _L, "When the call was soft-deleted, if it was."),
    Column("call_id", "STRING", _L, "LiveKit's id of the call.", _PERSONAL),
    Column("customer_name", "STRING", _L, "The caller's name.", _PERSONAL),
    Column("customer_request", "STRING", _L, "What the caller wanted.", _PERSONAL),
    Column("phone_number", "STRING", _L, "The caller's number.", _PURGED),
    Column("call_summary", "STRING", _L, "Summary of the call.", _PERSONAL),
    Column("employee", "STRING", _L, "The employee whom the caller wanted.", _PERSONAL),
    Column("note", "STRING", _L, "Staff's note, edited after the call.", _PERSONAL),
    Column("duration", "INT64", _L, "Length of the call in seconds.", _DROP),
    Column("done", "BOOL", _L, "Whether staff have dealt with the call."),
    Column(
        "general_success", "BOOL", _L, "Whether the call reached its goal; null if unknown.", _DROP
    ),
    Column("disconnection_reason", "STRING", _L, _HOW_IT_ENDED, _DROP),
    Column("is_purged", "BOOL", _L, "Whether TalkPilot purged its personal data."),
    Column("extra", "JSON", _L, "Unknown fields, and values that do not fit.", _PERSONAL),
    Column(
        "transcript",
        "STRUCT",
        _D,
        "The messages, in order: all that came with a role and a text.",
        _PURGED,
        fields=_MESSAGE,
        is_repeated=True,
    ),
    Column("transcript_raw", "STRING", _D, _RAW, _PURGED),
    Column("transcript_source", "STRING", _D, _SOURCE, _PURGED),
    Column(
        "turns",
        "STRUCT",
        _D,
        "The messages and calls of tools with their times, from a webhook.",
        _PURGED,
        fields=_TURN,
        is_repeated=True,
    ),
    Column(
        "final_score", "FLOAT64", _D, "Score from 1 to 10, given after the call by an AI.", _DROP
    ),
    Column("detail_updated_at", "TIMESTAMP", _D, "The updated_at that the detail has."),
    Column("detail_synced_at", "TIMESTAMP", _D, "When the detail was last requested."),
    Column("recording_uri", "STRING", _D, "Where the recording is archived.", _RECORDING),
    Column("recording_bytes", "INT64", _D, "Its size.", _RECORDING),
    Column("recording_sha256", "STRING", _D, "Its SHA-256, in hex.", _RECORDING),
    Column("recording_type", "STRING", _D, "Its media type, such as audio/ogg.", _RECORDING),
    Column("recording_status", "STRING", _D, _RECORDING_STATUS, _RECORDING),
    Column("recording_archived_at", "TIMESTAMP", _D, "When it was archived.", _RECORDING),
    Column("erased_at", "TIMESTAMP", Source.LOAD, "When a load found that the call is gone."),
    Column("synced_at", "TIMESTAMP", _L, "When a run first read these values."),
)

_LATENCY = {
    "e2e": "From the caller's last word to the reply",
    "transcription": "Speech to text",
    "llm": "The language model's reply",
    "tts": "Text to speech",
}
_QUANTILE = {"p90": "nine of ten turns were not slower", "median": "median", "min": "fastest turn"}
_FLAG = (
    Column("name", "STRING", _L, "The pattern, as TalkPilot's field is called."),
    Column("detected", "BOOL", _L, "Whether the call shows it."),
    Column("reasoning", "STRING", _L, "Why.", Trait.PERSONAL),
    Column("score_impact", "FLOAT64", _L, "How much it lowered the score."),
)
_RESULT = (
    Column("outcome", "BOOL", _L, "Whether the call reached its goal."),
    Column("outcome_label", "STRING", _L, "success, failed or neutral."),
    Column("final_score", "FLOAT64", _L, "Score from 1 to 10."),
    Column("summary_reasoning", "STRING", _L, "Why.", Trait.PERSONAL),
)

PERFORMANCE: tuple[Column, ...] = (
    Column("id", "STRING", _K, "The record's key (UUID), another than its call's."),
    Column("agent_id", "STRING", _K, "The agent that took the call (UUID)."),
    Column("created_at", "TIMESTAMP", _K, "Start of the call; the table's partition."),
    Column("call_id", "STRING", _L, "LiveKit's id of the call, as in calls.", _PERSONAL),
    Column("caller_phone", "STRING", _L, "The caller's number.", _PERSONAL),
    Column("agent_phone_number", "STRING", _L, "The number that was dialled.", _PERSONAL),
    Column("duration_seconds", "INT64", _L, "Length of the call in seconds."),
    Column("disconnect_reason", "STRING", _L, "How the session ended."),
    Column("session_status", "STRING", _L, "Last status of the agent's session."),
    *(
        Column(f"{of}_latency_{quantile}", "FLOAT64", _L, f"{what}, in seconds: {how}.")
        for of, what in _LATENCY.items()
        for quantile, how in _QUANTILE.items()
    ),
    Column("llm_total_tokens", "INT64", _L, "Tokens that the call used."),
    Column("llm_prompt_tokens", "INT64", _L, "Of these, in prompts."),
    Column("llm_completion_tokens", "INT64", _L, "Of these, in replies."),
    Column("pre_call_variables", "JSON", _L, "What the agent knew before the call.", _PERSONAL),
    Column("extracted_variables", "JSON", _L, "What the agent learnt.", _PERSONAL),
    Column("llm_provider", "STRING", _L, "Provider of the language model."),
    Column("llm_model", "STRING", _L, "The language model."),
    Column("tts_provider", "STRING", _L, "Provider of the voice."),
    Column("stt", "STRING", _L, "Provider of speech to text."),
    Column("pipeline_mode", "STRING", _L, "How the voice pipeline ran."),
    Column("prompt_fingerprint", "STRING", _L, "SHA-256 of the prompt: equal for equal prompts."),
    Column(
        "final_result", "STRUCT", _L, "TalkPilot's judgement of the call.", _DROP, fields=_RESULT
    ),
    Column(
        "red_flags",
        "STRUCT",
        _L,
        "Patterns of failure that were looked for; unknown ones too.",
        _DROP,
        fields=_FLAG,
        is_repeated=True,
    ),
    Column("extra", "JSON", _L, "Unknown fields, and values that do not fit.", _PERSONAL),
    Column(
        "purged_at",
        "TIMESTAMP",
        Source.LOAD,
        "When a load found that calls lacks the call, or that it is purged or gone.",
    ),
    Column("synced_at", "TIMESTAMP", _L, "When a run first read these values."),
)
"""The columns of the table of performance records, whose name ends in ``_performance``."""

AGENTS: tuple[Column, ...] = (
    Column("id", "STRING", _K, "The agent's key (UUID)."),
    Column("organization_id", "STRING", _L, "The organization that has the agent."),
    Column("name", "STRING", _L, "What the agent is called."),
    Column(
        "valid_from",
        "TIMESTAMP",
        _L,
        "Since when the row is true: since TalkPilot changed the agent, or a run first saw that.",
    ),
    Column("settings", "JSON", _L, "All else that TalkPilot's list tells of it."),
    Column("prompt", "STRING", _L, "The prompt, if you chose to keep it."),
    Column("greeting", "STRING", _L, "The greeting, if you chose to keep it."),
    Column("synced_at", "TIMESTAMP", _L, "When a run first read these values."),
)
"""The columns of the table of agents, whose name ends in ``_agents``."""

TABLES: dict[str, tuple[Column, ...]] = {
    "calls": CALLS,
    "performance": PERFORMANCE,
    "agents": AGENTS,
}
"""The columns of each table: of the target (``calls``), and of the tables beside it."""

# Values that do not fit their column, by column; a load puts them into extra.
DRIFT = Column("drift", "JSON", Source.STAGING, "Values that do not fit, of the list's columns.")
DETAIL_DRIFT = Column("detail_drift", "JSON", Source.STAGING, "Likewise, of the detail's columns.")
DETAIL_FOUND = Column("detail_found", "BOOL", Source.STAGING, "False: TalkPilot has no detail.")


KEPT_BY_PURGE = tuple(
    column.name for column in CALLS if column.source in (_K, _L) and not column.is_personal
)
"""The columns that a purge leaves in a staged list row."""
RECORDING_COLUMNS = tuple(column.name for column in CALLS if column.name.startswith("recording_"))
"""The columns about a recording; null if recordings are not archived."""


def call_columns(*sources: Source) -> list[str]:
    """Return the names of the calls' columns from ``sources``, in the table's order."""
    return [column.name for column in CALLS if column.source in sources]


def drift_columns(*sources: Source) -> list[str]:
    """Return the names of columns of ``sources`` whose values go to ``extra`` if they do not fit.

    Keys always fit: a record without them is a reject. A transcript always fits too: one that is no
    list of messages goes to ``transcript_raw``.
    """
    fields = {name for name, field in CallDetail.model_fields.items() if not field.is_required()}
    return [name for name in call_columns(*sources) if name in fields - {"transcript"}]


def staging_columns(kind: str) -> list[Column]:
    """Return the columns of the staging table for parts of a kind."""
    if kind == "performance":
        return [column for column in PERFORMANCE if column.source in {_K, _L}]
    is_details = kind == "details"
    sources = {_K, _L, _D} if is_details else {_K, _L}
    columns = [column for column in CALLS if column.source in sources]
    return columns + ([DRIFT, DETAIL_DRIFT, DETAIL_FOUND] if is_details else [DRIFT])
