"""The API's records as pydantic models. Unknown fields are kept in ``model_extra``.

A value of a known field that does not fit is kept there too, and the field itself is None: see
:meth:`TalkPilotModel.read`. The JSON type decides what fits. A text ``"true"`` is no boolean, and a
text ``"12"`` is no number. Only a whole number written as ``12.0`` is converted.

Source of the fields: docs.talkpilot.io, pages api/agents, api/calls and api/performance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
)

from airflow_provider_talkpilot.api.interval import read_moment

INT64 = range(-(2**63), 2**63)
# Fields of the API and of webhooks with addresses. They are credentials: they open the recording or
# the call's log.
ADDRESSES = frozenset(
    {"audio_file_url", "recording_url", "recording_multi_channel_url", "public_log_url"}
)

_uuid = TypeAdapter(UUID)


def read_uuid(value: object) -> str:
    """Return a UUID as the API writes it, in small letters with dashes.

    Accepts capitals, blanks around it, braces, a ``urn:uuid:`` before it, and missing dashes.

    :raises ValueError: when it is no UUID.
    """
    if not isinstance(value, str):
        raise ValueError("it should be a UUID")
    try:
        return str(_uuid.validate_python(value.strip().lower()))
    except ValidationError:  # its message quotes the text, which can be a caller's
        raise ValueError("it should be a UUID") from None


def _integer(value: object) -> int:
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(number, int) or isinstance(number, bool) or number not in INT64:
        raise ValueError("it should be a whole number of 64 bits")
    return number


UtcDatetime = Annotated[datetime, BeforeValidator(read_moment)]
# Ids become parts of URLs, so only a UUID is accepted.
Identifier = Annotated[str, BeforeValidator(read_uuid)]
Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
# A purge is a legal duty. So "true" and 1 count as yes, too.
LenientFlag = bool
# The numbers that BigQuery's INT64 and FLOAT64 can hold.
Integer = Annotated[int, BeforeValidator(_integer)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("it should be a number")
    return value


# A purge depends on it: a text such as "30" counts, too.
Days = Annotated[int, BeforeValidator(_no_flag), Field(ge=INT64.start, lt=INT64.stop)]


class TalkPilotModel(BaseModel):
    """Base: unknown fields are kept, and no validation error repeats a caller's data."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # A repr can end up in logs and tracebacks; calls are personal data.
        if hasattr(self, "id"):
            yield "id", self.id

    @classmethod
    def read(cls, record: Any) -> Self:
        """Create the record from a JSON value, even if some of its fields do not fit.

        A field that does not fit is None, and ``model_extra`` has its value under its name.

        :raises ValidationError: when it is no object, or a required field does not fit.
        """
        try:
            return cls.model_validate(record)
        except ValidationError as error:
            unfit = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
            if not unfit or any(cls.model_fields[name].is_required() for name in unfit):
                raise
        fitting = cls.model_validate({k: v for k, v in record.items() if k not in unfit})
        extra = fitting.__pydantic_extra__ or {}
        fitting.__pydantic_extra__ = extra | {name: record[name] for name in unfit}
        return fitting

    @property
    def extra(self) -> dict[str, Any]:
        """The fields that this version does not know, without addresses of recordings.

        Numbers that a BigQuery JSON column cannot hold are texts in it.
        """
        return {k: v for k, v in self._kept().items() if k not in type(self).model_fields}

    @property
    def drift(self) -> dict[str, Any]:
        """As :attr:`extra`, but the known fields whose values do not fit."""
        return {k: v for k, v in self._kept().items() if k in type(self).model_fields}

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = storable(self.__pydantic_extra__ or {})
        return kept


class Health(TalkPilotModel):
    """Response of ``GET /health``."""

    status: Text
    version: Text | None = None


class Agent(TalkPilotModel):
    """An AI agent that takes telephone calls.

    ``retention_days`` is the age at which TalkPilot purges its calls. Older versions of the API do
    not send it, nor ``organization_id``.
    """

    id: Identifier
    organization_id: Text | None = None
    retention_days: Days | None = None
    name: Text | None = None
    phone_number: Text | None = None
    is_active: Flag | None = None
    language: Text | None = None
    created_at: UtcDatetime | None = None


class Call(TalkPilotModel):
    """A call as a list has it.

    ``created_at`` is the call's start. ``updated_at`` may be missing. ``done`` and ``note``
    change later. ``phone_number`` is null once the call is purged. If the record has no
    ``agent_id``, the client sets it to the agent whose list the record came from.
    """

    id: Identifier
    agent_id: Identifier | None = None
    created_at: UtcDatetime
    updated_at: UtcDatetime | None = None
    deleted_at: UtcDatetime | None = None
    call_id: Text | None = None
    customer_name: Text | None = None
    customer_request: Text | None = None
    phone_number: Text | None = None
    call_summary: Text | None = None
    employee: Text | None = None
    note: Text | None = None
    duration: Integer | None = None
    done: Flag | None = None
    general_success: Flag | None = None
    disconnection_reason: Text | None = None
    is_purged: LenientFlag | None = None


class CallDetail(Call):
    """One call with its detail fields.

    ``transcript`` is a JSON *string* with a list of messages in it, by the documentation; any other
    JSON value is accepted too. ``final_score`` (1-10) is set some time after the call.
    ``audio_file_url`` is a credential: read it, but never store it.
    """

    transcript: Any = None
    final_score: Number | None = None
    audio_file_url: Text | None = None


class RedFlag(TalkPilotModel):
    """Whether a call shows a pattern of failure; the name of the field says which."""

    detected: Flag | None = None
    reasoning: Text | None = None
    score_impact: Number | None = None


class FinalResult(TalkPilotModel):
    """How TalkPilot's quality check judged a call."""

    outcome: Flag | None = None
    outcome_label: Text | None = None
    final_score: Number | None = None
    summary_reasoning: Text | None = None


_Result = Annotated[FinalResult | None, BeforeValidator(lambda v: v and FinalResult.read(v))]


class PerformanceRecord(TalkPilotModel):
    """What the quality check wrote about a call (``performance:read``).

    ``call_id`` is that of the call. ``created_at`` is the call's start, or the time when the record
    was written: TalkPilot's page says both. Red flags are among the unknown fields, because
    TalkPilot may add some; each is an object with ``detected``.
    """

    id: Identifier
    agent_id: Identifier | None = None
    created_at: UtcDatetime
    call_id: Text | None = None
    caller_phone: Text | None = None
    agent_phone_number: Text | None = None
    duration_seconds: Integer | None = None
    disconnect_reason: Text | None = None
    session_status: Text | None = None
    e2e_latency_p90: Number | None = None
    e2e_latency_median: Number | None = None
    e2e_latency_min: Number | None = None
    transcription_latency_p90: Number | None = None
    transcription_latency_median: Number | None = None
    transcription_latency_min: Number | None = None
    llm_latency_p90: Number | None = None
    llm_latency_median: Number | None = None
    llm_latency_min: Number | None = None
    tts_latency_p90: Number | None = None
    tts_latency_median: Number | None = None
    tts_latency_min: Number | None = None
    llm_total_tokens: Integer | None = None
    llm_prompt_tokens: Integer | None = None
    llm_completion_tokens: Integer | None = None
    pre_call_variables: dict[str, Any] | None = None
    extracted_variables: dict[str, Any] | None = None
    llm_provider: Text | None = None
    llm_model: Text | None = None
    tts_provider: Text | None = None
    stt: Text | None = None
    pipeline_mode: Text | None = None
    prompt_fingerprint: Text | None = None
    final_result: _Result = None


class Pagination(TalkPilotModel):
    """``pagination`` of a list; a walk needs nothing but its ``total``."""

    total: int = Field(ge=0)


class Page(TalkPilotModel):
    """Response of a list."""

    data: list[Any]
    pagination: Pagination


def storable(value: Any) -> Any:
    """Return a JSON value as a BigQuery JSON column can hold it, without :data:`ADDRESSES`."""
    if isinstance(value, dict):
        return {name: storable(item) for name, item in value.items() if name not in ADDRESSES}
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, int) and value not in INT64:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)  # NaN, Infinity or -Infinity, as they came
    return value


def describe_invalid(error: ValidationError) -> str:
    """Describe which fields are wrong and how, without their values."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'record'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )
