"""Arguments, as users, templates and XComs give them.

A templated argument is an :class:`Argument` of its operator. A rendered template is text, or a
Python object in a DAG with ``render_template_as_native_obj``: the ``read_`` functions give the same
for both. They give what Airflow can store and show, and raise an error that names the argument.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from airflow_provider_talkpilot.api import Interval, require_uuid
from airflow_provider_talkpilot.api.errors import ConfigurationError, IntervalError, TalkPilotError
from airflow_provider_talkpilot.api.http.address import check_value
from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import XComArg
from airflow_provider_talkpilot.exceptions import TalkPilotArgumentError, TalkPilotTaskFailError
from airflow_provider_talkpilot.staging.choices import checked_choices
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.storage import normal_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=str)
# Before so many days there was no call, and a date as far back as some more is none.
MOST_DAYS = 36_500
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_PLAIN = (str, int, float, list, tuple, dict, date, timedelta, type(None))


class Argument(Generic[Value]):
    """A templated argument, as an attribute of its operator: it is read whenever it is set.

    So a bad value fails when the operator is made, and a template's bad result before the task
    runs. A template, and what another task gives, is kept as it is until Airflow renders it.

    :param read: gives the value, from the argument's name and from what was given.
    :param may_be_missing: another task may leave it out. Airflow makes None of the XCom of a task
        that was skipped or marked as succeeded; taken as the default, None would mean every agent,
        every column, or the run's own interval.
    :raises TalkPilotArgumentError: when what was given cannot be read.
    """

    def __init__(self, read: Callable[[str, Any], Value], *, may_be_missing: bool = False) -> None:
        self._read, self._may_be_missing = read, may_be_missing

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, operator: object, _: type) -> Value:
        return cast(Value, operator.__dict__.get(self._name))

    def __set__(self, operator: object, given: Any) -> None:
        before = operator.__dict__.get(self._name)
        if given in (None, "None") and not self._may_be_missing and (task := _giver_of(before)):
            raise TalkPilotTaskFailError(
                f"{self._name} is nothing: the task {task} that gives it was skipped, was marked "
                "as succeeded, or its XCom is gone. Clear that task, so that it runs again."
            )
        if given is None and isinstance(before, str):
            given = "None"  # of a template, which gives it as text where it gives texts
        if _holds_template(before) or not _holds_template(given):
            given = _checked(lambda: self._read(self._name, given))
        operator.__dict__[self._name] = given


def checked(name: str, value: Value, kind: Any, **bounds: Any) -> Value:
    """Check an argument that is no template, as :func:`check_value`; return it.

    :raises TalkPilotArgumentError: when it is something else; the message does not show it.
    """
    _checked(lambda: check_value(name, value, kind, **bounds))
    return value


def check_bounds(start: Any, end: Any) -> None:
    """Check the bounds of an interval when the operator is made, where they are no templates.

    :raises TalkPilotArgumentError: when they are no interval.
    """
    if (is_given(start) or is_given(end)) and not _holds_template((start, end)):
        _checked(lambda: read_interval({}, start, end))


def is_given(value: object) -> bool:
    """Whether an argument holds anything: an empty template renders to nothing or to ``None``."""
    if isinstance(value, str):
        return value.strip() not in ("", "None", "null")
    return value is not None


def optional(read: Callable[[str, Any], Value]) -> Callable[[str, Any], Value | None]:
    """Make a reader that gives None where nothing is given; None of a template is refused."""

    def read_given(name: str, value: Any) -> Value | None:
        _require_no_none(name, value)
        return read(name, value) if is_given(value) else None

    return read_given


def read_name(name: str, value: Any) -> str:
    """Read a text that must hold something. A name of digits may have become a number."""
    if not is_given(value):
        raise ConfigurationError(f"{name} is empty: give a text.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: give a text.")
    return str(value).strip()


def read_text(name: str, value: Any) -> str | None:
    """As :func:`read_name`; None where nothing is given."""
    return read_name(name, value) if is_given(value) else None


def read_flag(name: str, value: Any) -> bool:
    """Read a flag; nothing is False."""
    text = str(value).strip().lower() if is_given(value) else "false"
    if text not in _YES + _NO:
        raise ConfigurationError(f"{name} is {plain(repr(value))}: give true or false.")
    return text in _YES


def one_of(choices: Iterable[Choice]) -> Callable[[str, Any], Choice]:
    """Make a reader of one of several words; nothing is the first of them."""
    words = {str(word): word for word in choices}

    def read(name: str, value: Any) -> Choice:
        text = read_text(name, value) or next(iter(words))
        if text not in words:
            raise ConfigurationError(f"{name} is {text[:40]!r}: give {' or '.join(words)}.")
        return words[text]

    return read


def read_list(name: str, value: Any) -> list[Any] | None:
    """Read a list, or the text of one; a text of another kind is a list of itself."""
    found = _parsed(value)
    if found is None:
        return None
    if isinstance(found, str | UUID):
        return [str(found).strip()]
    if isinstance(found, bytes) or not isinstance(found, Sequence):
        raise ConfigurationError(f"{name} is no list: give a JSON list, or nothing.")
    return list(found)


def read_some(name: str, value: Any) -> list[Any] | None:
    """As :func:`read_list`; an empty list is refused, for nothing means the default."""
    found = read_list(name, value)
    if found == []:
        raise ConfigurationError(
            f"{name} is an empty list, and that is not the default: leave {name} out for the "
            "default, or skip the task where the list may be empty."
        )
    return found


def read_object(name: str, value: Any) -> dict[str, Any]:
    """Read an object by column, or the text of one; nothing is an empty one."""
    _require_no_none(name, value)
    found = {} if (parsed := _parsed(value)) is None else parsed
    if not isinstance(found, Mapping):
        raise ConfigurationError(f'{name} is no JSON object: write such as {{"note": "…"}}.')
    return dict(found)


def read_json(_: str, value: Any) -> str:
    """Give the JSON text of an argument, of which its own parser says what is wrong with it."""
    found = _parsed(value)
    if found is None:
        return ""
    return found if isinstance(found, str) else json.dumps(found, default=str)


def read_agents(name: str, value: Any) -> list[str] | None:
    """Read UUIDs of agents, each once; None, for every agent of the key, where none is given."""
    _require_no_none(name, value)
    agents = read_some(name, value)
    # In one form: they name the folder that a run stages in.
    return agents and list(dict.fromkeys(require_uuid("agent id", each) for each in agents))


def read_staging(name: str, value: Any) -> str:
    """Read the root of staging; see :func:`normal_uri`."""
    return normal_uri(read_text(name, value) or "")


def read_uri(name: str, value: Any) -> str:
    """Read a URI of another place in object storage; see :func:`normal_uri`."""
    return normal_uri(read_name(name, value), name)


def read_days(name: str, value: Any) -> int:
    """Read a number of days, at least one."""
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= MOST_DAYS:
        raise ConfigurationError(
            f"{name} is {plain(repr(value))}: give a whole number of days, 1 to {MOST_DAYS:,}."
        )
    return int(text)


def read_manifest(name: str, value: Any) -> str:
    """Read the URI of a manifest, which another task gives."""
    if not is_given(value):
        raise ConfigurationError(
            "manifest_uri is nothing: the task that stages (extract or enrich) was skipped, was "
            "marked as succeeded, or its XCom is gone. Clear that task, so that it stages again."
        )
    return read_uri(name, value)


def read_bound(name: str, value: Any) -> date | str | None:
    """Read a bound of an interval; :func:`read_interval` says whether it is a moment."""
    return value if isinstance(value, date) else read_text(name, value)


def read_interval(context: Context, start: Any, end: Any) -> Interval:
    """Give the interval of these bounds, or the run's data interval where none is given."""
    if is_given(start) or is_given(end):
        return Interval.parse(read_bound("start", start), read_bound("end", end))
    first, last = context.get("data_interval_start"), context.get("data_interval_end")
    if first is None or last is None:
        raise IntervalError(
            "This run has no data interval (it was triggered by hand, by REST or by an asset "
            "without one): trigger it with data_interval_start and data_interval_end, or with the "
            "params start and end."
        )
    return Interval.parse(first, last)


def read_choices(name: str, value: Any) -> dict[str, str]:
    """Read the choices for columns; see :func:`checked_choices`."""
    return checked_choices(read_object(name, value))


def read_table(name: str, value: Any) -> str:
    """Read a table's name, ``project.dataset.table``."""
    return str(TableId.parse(read_text(name, value)))


def read_known(name: str, value: Any) -> str | None:
    """As :func:`read_table`; None where the argument is left out, and no empty text."""
    return None if value is None else read_table(name, value)


def read_accounts(name: str, value: Any) -> str | list[str] | None:
    """Read an impersonation chain: a service account, or a list of them."""
    accounts = read_some(name, value)
    accounts = accounts and [read_name(name, each) for each in accounts]
    return accounts[0] if accounts and len(accounts) == 1 else accounts


def _checked(read: Callable[[], Value]) -> Value:
    try:
        return read()
    except (TalkPilotError, StagingError, BigQueryLoadError) as error:
        raise TalkPilotArgumentError(str(error), error) from None


def _giver_of(template: Any) -> str:
    """Name the task whose XCom a template takes; an empty text where it takes none."""
    if isinstance(template, XComArg):
        return str(getattr(getattr(template, "operator", None), "task_id", "upstream"))
    return "upstream" if isinstance(template, str) and "xcom_pull" in template else ""


def _require_no_none(name: str, value: Any) -> None:
    """Refuse the text None: a template writes it for a missing value, and nothing means more."""
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


def _holds_template(value: Any) -> bool:
    """Whether a value is a template or comes from another task."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(_holds_template(each) for each in value.values())
    if isinstance(value, Sequence):
        return any(_holds_template(each) for each in value)
    return not isinstance(value, _PLAIN)
