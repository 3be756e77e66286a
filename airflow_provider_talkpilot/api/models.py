"""The API's records as pydantic models. Fields we do not know are kept in ``model_extra``.

So are values of known fields that do not fit: :meth:`TalkPilotModel.read` makes a record of the
other fields. The JSON type decides what fits. Nothing is converted but a whole number that comes as
``12.0``: a text ``"true"`` is no boolean, and a text ``"12"`` is no number.

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
# A credential that dies after an hour, and opens the recording until then.
RECORDING = "audio_file_url"


_uuid = TypeAdapter(UUID)


def read_uuid(value: object) -> str:
    """Write a UUID as the API does, in small letters with dashes.

    Capitals, blanks around it, braces, ``urn:uuid:`` before it and left out dashes say nothing.

    :raises ValueError: when it is none.
    """
    if not isinstance(value, str):
        raise ValueError("it should be a UUID")
    try:
        return str(_uuid.validate_python(value.strip().lower()))
    except ValidationError:  # it quotes the text, which can be a caller's
        raise ValueError("it should be a UUID") from None


def _integer(value: object) -> int:
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(number, int) or isinstance(number, bool) or number not in INT64:
        raise ValueError("it should be a whole number of 64 bits")
    return number


UtcDatetime = Annotated[datetime, BeforeValidator(read_moment)]
# Ids become parts of addresses: nothing but a UUID may pass for one.
Identifier = Annotated[str, BeforeValidator(read_uuid)]
Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
# A purge is a legal duty: what can be read as yes is yes, such as "true" and 1.
LenientFlag = bool
# What BigQuery's INT64 and FLOAT64 hold.
Integer = Annotated[int, BeforeValidator(_integer)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("it should be a number")
    return value


class TalkPilotModel(BaseModel):
    """Base: unknown fields are kept, and no validation error repeats a caller's data."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # A repr ends up in logs and tracebacks; calls are personal data.
        if hasattr(self, "id"):
            yield "id", self.id

    @classmethod
    def read(cls, record: Any) -> Self:
        """Make the record of a JSON value, also where some of its fields do not fit.

        A field that does not fit is None; its value is in ``model_extra`` under its name.

        :raises ValidationError: when it is no object, or a field does not fit that must be there.
        """
        try:
            return cls.model_validate(record)
        except ValidationError as error:
            unfit = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
            if not unfit or any(cls.model_fields[name].is_required() for name in unfit):
                raise
        found = cls.model_validate({k: v for k, v in record.items() if k not in unfit})
        found.__pydantic_extra__ = (found.__pydantic_extra__ or {}) | {k: record[k] for k in unfit}
        return found

    @property
    def extra(self) -> dict[str, Any]:
        """Fields that this version does not know, without the recording's signed address.

        Numbers that a BigQuery JSON column cannot hold are texts in it.
        """
        return {name: value for name, value in self._kept() if name not in type(self).model_fields}

    @property
    def drift(self) -> dict[str, Any]:
        """As :attr:`extra`, of known fields whose values do not fit; the field itself is None."""
        return {name: value for name, value in self._kept() if name in type(self).model_fields}

    def _kept(self) -> Iterator[tuple[str, Any]]:
        for name, value in (self.__pydantic_extra__ or {}).items():
            if name != RECORDING:
                yield name, storable(value)


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
    retention_days: Annotated[int | None, BeforeValidator(_no_flag)] = None
    name: Text | None = None
    phone_number: Text | None = None
    is_active: Flag | None = None
    language: Text | None = None
    created_at: UtcDatetime | None = None


class Call(TalkPilotModel):
    """A call as lists give it.

    ``created_at`` is the call's start. ``updated_at`` may be missing. ``done`` and ``note``
    change later. ``phone_number`` is null once the call is purged. ``agent_id`` is the agent whose
    list has the call, where the record itself does not say.
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

    ``transcript`` is, by the documentation, a JSON *string* holding a list of messages; any other
    JSON value is taken too. ``final_score`` (1-10) is set some time after the call.
    ``audio_file_url`` is a credential that dies after an hour: readable, never stored.
    """

    transcript: Any = None
    final_score: Number | None = None
    audio_file_url: Text | None = None


class RedFlag(TalkPilotModel):
    """Whether a call shows a pattern of failure. What it is called is the record's field."""

    detected: Flag | None = None
    reasoning: Text | None = None
    score_impact: Number | None = None


class FinalResult(TalkPilotModel):
    """How TalkPilot's quality check judged a call."""

    outcome: Flag | None = None
    outcome_label: Text | None = None
    final_score: Number | None = None
    summary_reasoning: Text | None = None


def _read_object(value: Any) -> Any:
    if isinstance(value, dict):
        return value
    raise ValueError("it should be an object")


Variables = Annotated[dict[str, Any] | None, BeforeValidator(lambda v: v and _read_object(v))]
_Result = Annotated[FinalResult | None, BeforeValidator(lambda v: v and FinalResult.read(v))]


class PerformanceRecord(TalkPilotModel):
    """What the quality check wrote about a call (``performance:read``).

    ``call_id`` leads to the call. ``created_at`` is the call's start or when the record was
    written: TalkPilot's page says both. Red flags are among the unknown fields: each is an object
    with ``detected``, and TalkPilot may add some.
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
    pre_call_variables: Variables = None
    extracted_variables: Variables = None
    llm_provider: Text | None = None
    llm_model: Text | None = None
    tts_provider: Text | None = None
    stt: Text | None = None
    pipeline_mode: Text | None = None
    prompt_fingerprint: Text | None = None
    final_result: _Result = None


class Pagination(TalkPilotModel):
    """``pagination`` of a list; its ``page``, ``limit`` and ``pages`` say nothing more."""

    total: int = Field(ge=0)


class Page(TalkPilotModel):
    """Response of a list."""

    data: list[Any]
    pagination: Pagination


def storable(value: Any) -> Any:
    """Give a JSON value as a BigQuery JSON column can hold it."""
    if isinstance(value, dict):
        return {name: storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, int) and value not in INT64:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)  # NaN, Infinity or -Infinity, as they came
    return value


def describe_invalid(error: ValidationError) -> str:
    """Say which fields are wrong and how, without their values."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'record'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )
