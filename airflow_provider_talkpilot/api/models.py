"""The API's records as pydantic models. Fields we do not know are kept in ``model_extra``.

Source of the fields: docs.talkpilot.io, pages api/agents and api/calls.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import core_schema

UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
INT64 = range(-(2**63), 2**63)


def _as_utc(moment: datetime) -> datetime:
    if not moment.tzinfo:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment is outside the years 1 to 9999 in UTC") from None


def _utc_datetime(_source: object, _handler: object) -> core_schema.CoreSchema:
    """A moment in UTC needs no Python of ours: most have it, and lists have many."""
    any_zone = core_schema.datetime_schema()
    return core_schema.union_schema(
        [
            core_schema.datetime_schema(tz_constraint=0),
            core_schema.no_info_after_validator_function(_as_utc, any_zone),
        ],
        mode="left_to_right",
        custom_error_type="datetime",
        custom_error_message="Input should be a moment in the years 1 to 9999 in UTC",
    )


UtcDatetime = Annotated[datetime, GetPydanticSchema(_utc_datetime)]
# Ids become parts of addresses, so nothing but a UUID may pass for one.
Identifier = Annotated[str, Field(pattern=UUID_PATTERN)]
# What BigQuery's INTEGER holds.
Integer = Annotated[int, Field(ge=INT64.start, lt=INT64.stop)]


def _or_none(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """None in place of a value that does not fit: it must not make the whole record unreadable."""
    try:
        return None if isinstance(value, bool) else handler(value)
    except ValidationError:
        return None


class TalkPilotModel(BaseModel):
    """Base: unknown fields are kept, and no validation error repeats a caller's data."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # A repr ends up in logs and tracebacks; calls are personal data.
        if hasattr(self, "id"):
            yield "id", self.id


class Health(TalkPilotModel):
    """Answer of ``GET /health``."""

    status: str
    version: str | None = None


class Agent(TalkPilotModel):
    """An AI agent that answers telephones.

    ``retention_days`` is the age at which TalkPilot purges its calls. Older versions of the API do
    not send it, nor ``organization_id``. A value of another type counts as none.
    """

    id: Identifier
    organization_id: Annotated[str | None, WrapValidator(_or_none)] = None
    retention_days: Annotated[int | None, WrapValidator(_or_none)] = None
    name: str | None = None
    phone_number: str | None = None
    is_active: bool | None = None
    language: str | None = None
    created_at: UtcDatetime | None = None


class Call(TalkPilotModel):
    """A call as lists give it.

    ``created_at`` is the call's start. ``updated_at`` may be missing. ``done`` and ``note``
    change later. ``phone_number`` is null once the call is purged.
    """

    id: Identifier
    agent_id: Identifier
    created_at: UtcDatetime
    updated_at: UtcDatetime | None = None
    deleted_at: UtcDatetime | None = None
    call_id: str | None = None
    customer_name: str | None = None
    customer_request: str | None = None
    phone_number: str | None = None
    call_summary: str | None = None
    employee: str | None = None
    note: str | None = None
    duration: Integer | None = None
    done: bool | None = None
    general_success: bool | None = None
    disconnection_reason: str | None = None
    is_purged: bool | None = None

    @property
    def extra(self) -> dict[str, Any]:
        """Fields that this version does not know, without the recording's signed address.

        Numbers that a BigQuery JSON column cannot hold are texts in it.
        """
        fields = self.__pydantic_extra__ or {}
        return fields and {k: _storable(v) for k, v in fields.items() if k != "audio_file_url"}


class CallDetail(Call):
    """One call with its detail fields.

    ``transcript`` is, by the documentation, a JSON *string* holding a list of messages; a plain
    list is accepted too. ``final_score`` (1-10) is set some time after the call.
    ``audio_file_url`` is a credential that dies after an hour: readable, never stored.
    """

    transcript: str | list[Any] | None = None
    final_score: Integer | None = None
    audio_file_url: str | None = None


class Pagination(TalkPilotModel):
    """``pagination`` of a list. ``pages`` of an empty list is 0 or 1 (the API does not say)."""

    total: int = Field(ge=0)
    page: int | None = None
    limit: int | None = None
    pages: int | None = None


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, int) and value not in INT64:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)  # NaN, Infinity or -Infinity, as they came
    return value


def describe_invalid(error: ValidationError) -> str:
    """Say which fields are wrong and how, without their values.

    :param error: what a model raised.
    :return: such as ``duration: Input should be a valid integer``.
    """
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'record'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )
