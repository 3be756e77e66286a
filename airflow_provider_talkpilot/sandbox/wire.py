"""The form in which calls go out: what drifts between the API's versions, not what is true."""

from __future__ import annotations

import json
from typing import Literal

from airflow_provider_talkpilot.sandbox.data import Row
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings
from airflow_provider_talkpilot.sandbox.times import MomentForm, to_micros, to_text

_MOMENTS = ("created_at", "updated_at", "deleted_at")


def is_plain(settings: SandboxSettings) -> bool:
    """Whether list rows go out as the store has them."""
    return (
        settings.list_has_updated_at
        and settings.moment_form == "iso"
        and not settings.extra_list_fields
    )


def shape_list_row(row: Row, settings: SandboxSettings) -> Row:
    """A list row as it goes out."""
    return _shape(row, settings, "list")


def shape_detail(row: Row, settings: SandboxSettings) -> Row:
    """A detail as it goes out."""
    return _shape(row, settings, "detail")


def _shape(row: Row, settings: SandboxSettings, place: Literal["list", "detail"]) -> Row:
    if place == "list":
        has_version, extra = settings.list_has_updated_at, settings.extra_list_fields
    else:
        has_version, extra = settings.detail_has_updated_at, settings.extra_detail_fields
        row = {**row, "transcript": _form_transcript(row["transcript"], settings)}
    row = with_moments(row, settings.moment_form)
    if not has_version:
        del row["updated_at"]
    return {**row, **extra}


def with_moments(row: Row, form: MomentForm) -> Row:
    """A copy of a row with its moments in another form."""
    if form == "iso":
        return dict(row)
    return {
        name: to_text(to_micros(value), form) if name in _MOMENTS and value is not None else value
        for name, value in row.items()
    }


def _form_transcript(text: object, settings: SandboxSettings) -> object:
    if settings.transcript_form == "text" or not isinstance(text, str):
        return text
    try:
        messages = json.loads(text)
    except ValueError:
        return text
    return messages if settings.transcript_form == "array" else {"messages": messages}
