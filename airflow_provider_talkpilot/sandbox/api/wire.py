"""The form of calls in responses, which differs between the API's versions."""

from __future__ import annotations

import json

from airflow_provider_talkpilot.sandbox.calls.data import Row
from airflow_provider_talkpilot.sandbox.calls.times import MomentForm, to_micros, to_text
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

_MOMENTS = ("created_at", "updated_at", "deleted_at")


def is_plain(settings: SandboxSettings) -> bool:
    """Whether responses have list rows as the store has them."""
    return (
        settings.list_has_updated_at
        and settings.moment_form == "iso"
        and not settings.extra_list_fields
    )


def shape_list_row(row: Row, settings: SandboxSettings) -> Row:
    """Return a list row as the API sends it."""
    return _shape(row, settings, settings.list_has_updated_at, settings.extra_list_fields)


def shape_detail(row: Row, settings: SandboxSettings) -> Row:
    """Return a detail as the API sends it."""
    row = {**row, "transcript": _form_transcript(row["transcript"], settings)}
    return _shape(row, settings, settings.detail_has_updated_at, settings.extra_detail_fields)


def _shape(row: Row, settings: SandboxSettings, has_updated_at: bool, extra: Row) -> Row:
    row = with_moments(row, settings.moment_form)
    if not has_updated_at:
        del row["updated_at"]
    return {**row, **extra}


def with_moments(row: Row, form: MomentForm) -> Row:
    """Return a copy of a row with its moments in a form."""
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
