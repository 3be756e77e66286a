"""Choices for columns as users give them, and the secret that texts are hashed with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.staging.choices import HASH, ColumnChoices, Hasher, checked_choices
from airflow_provider_talkpilot.staging.errors import ColumnChoiceError


def resolve_columns(columns: Mapping[str, str] | str | None, hash_conn_id: str) -> ColumnChoices:
    """Read the choices, and the secret where a column is hashed.

    :param columns: ``keep``, ``drop`` or ``hash`` by column, or a JSON object of the same; nothing
        keeps every column.
    :param hash_conn_id: the connection whose password is the secret.
    :return: the choices, ready to be applied.
    :raises ConfigurationError: when ``columns`` is no object.
    :raises ColumnChoiceError: when a column or its choice cannot be, or the secret is missing.
    """
    choices = checked_choices(resolve_object("columns", columns, '{"phone_number": "hash"}'))
    hashes = HASH in choices.values()
    return ColumnChoices(choices, _hasher(hash_conn_id) if hashes else None)


def resolve_object(name: str, given: Mapping[str, Any] | str | None, example: str) -> Any:
    """Read an object as users give it.

    :param name: the argument, for messages.
    :param given: a dict, or the text of a JSON object; nothing is an empty one.
    :param example: for messages.
    :return: the dict.
    :raises ConfigurationError: when it is anything else, or names something twice.
    """
    if not is_given(given):
        return {}
    found: Any = given
    if isinstance(given, str):
        with suppress(ValueError, RecursionError):
            found = json.loads(given, object_pairs_hook=_once_each)
    if found is None:  # JSON's null
        return {}
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"{name} is no JSON object that names each column once: write such as {example}."
        )
    return dict(found)


def is_given(given: object) -> bool:
    """Whether there is anything; a template without a value renders to an empty text."""
    return bool(given.strip()) if isinstance(given, str) else given is not None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def _hasher(connection_id: str) -> Hasher:
    try:
        # The connection's password, for Airflow keeps passwords out of its logs.
        secret = BaseHook.get_connection(connection_id).password
    except AirflowNotFoundException:
        raise ColumnChoiceError(
            f"columns hashes, and there is no connection {connection_id!r} with the secret: make "
            "one, of any type, whose password is what openssl rand -hex 32 prints."
        ) from None
    return Hasher(secret or "")
