"""Checks of ids and options, before they are used."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.models import read_uuid
from airflow_provider_talkpilot.api.redaction import plain


def require_uuid(name: str, value: object) -> str:
    """Return a UUID as the API writes it; see :func:`read_uuid`.

    :raises ConfigurationError: when it is no UUID: it must not become part of a URL.
    """
    try:
        return read_uuid(str(value))
    except ValueError:
        raise ConfigurationError(
            f"The {name} {plain(value)!r} is no UUID: copy it from TalkPilot's dashboard or from "
            "the list of agents."
        ) from None


def check_value(name: str, value: object, annotation: Any, **bounds: Any) -> None:
    """Check a value's type, strictly, and its bounds, which are those of :func:`pydantic.Field`.

    :raises ConfigurationError: when it does not fit; the message does not show the value.
    """
    try:
        TypeAdapter(Annotated[annotation, Field(strict=True, **bounds)]).validate_python(value)
    except ValidationError as error:
        reasons = "; or ".join(detail["msg"] for detail in error.errors(include_url=False))
        raise ConfigurationError(f"{name} cannot be used: {reasons}.") from None
