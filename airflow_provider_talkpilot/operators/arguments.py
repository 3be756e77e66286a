"""Arguments, as users, templates and XComs give them.

A template field is checked twice: when the operator is made, where it holds no template, and when
the task runs. A rendered template is text, or a Python object in a DAG with
``render_template_as_native_obj``: the ``read_`` functions give the same for both, and raise a
:class:`ConfigurationError` that names the argument. All others are checked by
:func:`check_argument` when the operator is made.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_talkpilot.api import Interval, require_uuid
from airflow_provider_talkpilot.api.errors import ConfigurationError, IntervalError, TalkPilotError
from airflow_provider_talkpilot.api.http.address import check_value
from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import AirflowNotFoundException, BaseHook
from airflow_provider_talkpilot.exceptions import TalkPilotArgumentError
from airflow_provider_talkpilot.staging.choices import HASH, ColumnChoices, Hasher, checked_choices
from airflow_provider_talkpilot.staging.errors import ColumnChoiceError, StagingError
from airflow_provider_talkpilot.staging.storage import normal_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context

Choice = TypeVar("Choice", bound=str)
COLUMNS_EXAMPLE = '{"phone_number": "hash"}'
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_PLAIN = (str, int, float, list, tuple, dict, date, timedelta, type(None))


def check_argument(name: str, value: object, kind: Any, **bounds: Any) -> None:
    """Check an argument that is no template, as :func:`check_value`.

    :raises TalkPilotArgumentError: when it is something else; the message does not show it.
    """
    try:
        check_value(name, value, kind, **bounds)
    except ConfigurationError as error:
        raise TalkPilotArgumentError(str(error), error) from None


def check_unless_template(read: Callable[..., object], *values: Any) -> None:
    """Call a reader when the operator is made, where its last argument, the value, is no template.

    :raises TalkPilotArgumentError: when it cannot be read.
    """
    if _holds_template(values[-1]):
        return
    try:
        read(*values)
    except (TalkPilotError, StagingError, BigQueryLoadError) as error:
        raise TalkPilotArgumentError(str(error), error) from None


def is_given(value: object) -> bool:
    """Whether an argument holds anything: an empty template renders to nothing or to ``None``."""
    if isinstance(value, str):
        return value.strip() not in ("", "None", "null")
    return value is not None


def read_text(name: str, value: Any) -> str | None:
    """Read a text; None where nothing is given. A name of digits may have become a number."""
    if not is_given(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: give a text.")
    return str(value).strip()


def read_name(name: str, value: Any) -> str:
    """As :func:`read_text`, of an argument that must hold something."""
    text = read_text(name, value)
    if text is None:
        raise ConfigurationError(f"{name} is empty: give a text.")
    return text


def read_flag(name: str, value: Any) -> bool:
    """Read a flag; nothing is False."""
    text = str(value).strip().lower() if is_given(value) else "false"
    if text not in _YES + _NO:
        raise ConfigurationError(f"{name} is {plain(repr(value))}: give true or false.")
    return text in _YES


def read_choice(name: str, choices: Iterable[Choice], value: Any) -> Choice:
    """Read one of several words; nothing is the first of them."""
    words = {str(word): word for word in choices}
    text = read_text(name, value) or next(iter(words))
    if text not in words:
        raise ConfigurationError(f"{name} is {text[:40]!r}: give {' or '.join(words)}.")
    return words[text]


def read_list(name: str, value: Any, of: str) -> list[Any] | None:
    """Read a list, or the text of one; a text of another kind is a list of itself."""
    found = _parsed(value)
    if found is None:
        return None
    if isinstance(found, str):
        return [found.strip()]
    if isinstance(found, bytes) or not isinstance(found, Sequence):
        raise ConfigurationError(f"{name} is no list: give a JSON list of {of}, or nothing.")
    return list(found)


def read_some(name: str, value: Any, of: str) -> list[Any] | None:
    """As :func:`read_list`; an empty list is refused, for nothing means the default."""
    found = read_list(name, value, of)
    if found == []:
        raise ConfigurationError(
            f"{name} is an empty list, and that is not the default: give {of}, leave {name} out "
            "for the default, or skip the task where the list may be empty."
        )
    return found


def read_object(name: str, value: Any, example: str) -> dict[str, Any]:
    """Read an object, or the text of one; nothing is an empty one."""
    found = _parsed(value)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"{name} is no JSON object: write such as {example}.")
    return dict(found)


def read_json(value: Any) -> str:
    """Give the JSON text of an argument, of which its own parser says what is wrong with it."""
    found = _parsed(value)
    if found is None:
        return ""
    return found if isinstance(found, str) else json.dumps(found, default=str)


def read_agents(value: Any) -> list[str] | None:
    """Read UUIDs of agents, each once; None, for every agent of the key, where none is given."""
    _require_no_none("agent_ids", value)
    agents = read_some("agent_ids", value, "agent ids")
    # In one form: they name the folder that a run stages in.
    return agents and list(dict.fromkeys(require_uuid("agent id", each) for each in agents))


def read_uri(value: Any) -> str:
    """Read the root of staging; see :func:`normal_uri`."""
    return normal_uri(read_text("staging_uri", value) or "")


def read_recordings(value: Any) -> str | None:
    """Read where recordings are archived; None where they are not.

    :raises StagingUriError: when it is malformed; its shape is that of a staging URI.
    """
    if not is_given(value):
        return None
    return normal_uri(read_name("recordings_uri", value), "recordings_uri")


def read_days(name: str, value: Any) -> int | None:
    """Read a number of days, at least one; None where none is given.

    :raises ConfigurationError: when it is none.
    """
    if not is_given(value):
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"{name} is {plain(repr(value))}: give a whole number of days.")
    return int(text)


def read_manifest(value: Any) -> str:
    """Read the URI of a manifest, which another task gives."""
    uri = read_text("manifest_uri", value)
    if uri is None:
        raise ConfigurationError(
            "manifest_uri is nothing: the task that stages (extract or enrich) was skipped, was "
            "marked as succeeded, or its XCom is gone. Clear that task, so that it stages again."
        )
    return normal_uri(uri, "manifest_uri")


def check_bounds(start: Any, end: Any) -> None:
    """Check the bounds of an interval when the operator is made, where they are no templates."""
    if is_given(start) or is_given(end):
        check_unless_template(lambda bounds: read_interval({}, *bounds), (start, end))


def read_interval(context: Context, start: Any, end: Any) -> Interval:
    """Give the interval of these bounds, or the run's data interval where none is given."""
    if is_given(start) or is_given(end):
        return Interval.parse(_moment("start", start), _moment("end", end))
    first, last = context.get("data_interval_start"), context.get("data_interval_end")
    if first is None or last is None:
        raise IntervalError(
            "This run has no data interval (it was triggered by hand, by REST or by an asset "
            "without one): trigger it with data_interval_start and data_interval_end, or with the "
            "params start and end."
        )
    return Interval.parse(first, last)


def read_columns(columns: Any, hash_conn_id: Any) -> ColumnChoices:
    """Read the choices for columns, and the secret where a column is hashed."""
    choices = read_choices(columns)
    return ColumnChoices(choices, _hasher(hash_conn_id) if HASH in choices.values() else None)


def read_choices(columns: Any) -> dict[str, str]:
    """Read the choices for columns alone; see :func:`read_columns`."""
    _require_no_none("columns", columns)
    return checked_choices(read_object("columns", columns, COLUMNS_EXAMPLE))


def read_table(value: Any) -> TableId:
    """Read a table's name, ``project.dataset.table``."""
    return TableId.parse(read_text("table", value))


def read_accounts(value: Any) -> str | list[str] | None:
    """Read an impersonation chain: a service account, or a list of them."""
    accounts = read_some("impersonation_chain", value, "service accounts")
    return accounts[0] if accounts and len(accounts) == 1 else accounts


def _require_no_none(name: str, value: Any) -> None:
    """Refuse the text None: a template writes it for a missing value, and nothing means all."""
    if isinstance(value, str) and value.strip() == "None":
        raise ConfigurationError(
            f"{name} is the text None: its template found nothing, such as the XCom of a task that "
            f"was skipped. Make it give {name}, or an empty text for the default."
        )


def _parsed(value: Any) -> Any:
    """What a text in JSON, or as Python prints lists and dicts, holds; other values as they are."""
    if not is_given(value):
        return None
    if not isinstance(value, str):
        return value
    with suppress(ValueError, RecursionError):
        return json.loads(value)
    # So a list or a dict looks that went through a template.
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        found = ast.literal_eval(value.strip())
        if isinstance(found, list | tuple | dict):
            return found
    return value


def _moment(name: str, value: Any) -> date | str | None:
    return value if isinstance(value, date) else read_text(name, value)


def _holds_template(value: Any) -> bool:
    """Whether a value is a template or comes from another task."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(_holds_template(each) for each in value.values())
    if isinstance(value, Sequence):
        return any(_holds_template(each) for each in value)
    return not isinstance(value, _PLAIN)


def _hasher(connection_id: Any) -> Hasher:
    try:
        # The connection's password, for Airflow keeps passwords out of its logs.
        secret = BaseHook.get_connection(str(connection_id)).password
    except AirflowNotFoundException:
        raise ColumnChoiceError(
            f"columns hashes, and there is no connection {connection_id!r} with the secret: make "
            "one, of any type, whose password is what openssl rand -hex 32 prints."
        ) from None
    return Hasher(secret or "")
