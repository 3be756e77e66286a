"""Read the arguments of operators: from users, from templates and from other tasks.

A rendered template is text, or a Python object in a DAG with ``render_template_as_native_obj``. The
readers (``read_…``) return the same value for both. They raise an error that names the argument.

An argument is *not given* when it is None, an empty text, or one of the texts ``None`` and
``null``, which templates write for a missing value. There are three kinds of readers:

- Those of arguments that are needed raise an error then: :func:`read_name`, :func:`read_uri`,
  :func:`read_table`.
- The others return their default: None, False, or the first of several words.
- :func:`optional` makes a reader that also returns None, but refuses the text ``None``. It is for
  defaults that mean more work, such as every agent.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from airflow_provider_talkpilot.api import Interval, require_uuid
from airflow_provider_talkpilot.api.checks import check_value
from airflow_provider_talkpilot.api.errors import ConfigurationError, IntervalError
from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import XComArg
from airflow_provider_talkpilot.exceptions import (
    TYPED_ERRORS,
    TalkPilotArgumentError,
    TalkPilotTaskFailError,
)
from airflow_provider_talkpilot.staging.rows.choices import checked_choices
from airflow_provider_talkpilot.staging.storage import normal_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import BaseOperator, Context

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=str)
# A century. Python's dates do not go back for ever.
MOST_DAYS = 36_500
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_PLAIN = (str, int, float, list, tuple, dict, date, timedelta, type(None))


class Argument(Generic[Value]):
    """A template field of an operator. It reads every value that is set.

    So a bad value fails when the operator is made, and a template's bad result fails before the
    task runs. A template, or the output of another task, stays as it is until Airflow renders it.

    :param read: returns the value, from the argument's name and from what was given.
    :param may_be_missing: whether the XCom of another task may be missing. Airflow renders None for
        a task that was skipped or marked as succeeded. For most arguments that is an error: their
        default would mean every agent, every column, or the run's own interval.
    :raises TalkPilotArgumentError: when the value cannot be read.
    :raises TalkPilotTaskFailError: when the XCom of another task is missing.
    """

    def __init__(self, read: Callable[[str, Any], Value], *, may_be_missing: bool = False) -> None:
        self._read, self._may_be_missing = read, may_be_missing

    def __set_name__(self, operator: type[BaseOperator], name: str) -> None:
        self._name = name
        operator.template_fields = (*operator.template_fields, name)

    def __get__(self, operator: object, _: type) -> Value:
        return cast(Value, operator.__dict__.get(self._name))

    def __set__(self, operator: object, value: Any) -> None:
        before = operator.__dict__.get(self._name)
        if value in (None, "None") and not self._may_be_missing and (task := _xcom_task(before)):
            raise TalkPilotTaskFailError(
                f"{self._name} rendered to nothing: the task {task} that gives it was skipped, was "
                "marked as succeeded, has do_xcom_push=False, or its XCom is gone. Clear that "
                "task, so that it runs again and pushes one."
            )
        if value is None and isinstance(before, str):
            value = "None"  # the same as where templates render to text
        if _holds_template(before) or not _holds_template(value):
            with _argument_errors():
                value = self._read(self._name, value)
        operator.__dict__[self._name] = value


def checked(name: str, value: Value, kind: Any, **bounds: Any) -> Value:
    """Check an argument that is no template, as :func:`check_value`; return it.

    :raises TalkPilotArgumentError: when it has another type or is out of bounds. The message does
        not show it.
    """
    with _argument_errors():
        check_value(name, value, kind, **bounds)
    return value


def check_bounds(start: Any, end: Any) -> None:
    """Check the bounds of an interval when the operator is made, unless one is a template.

    :raises TalkPilotArgumentError: when they make no interval.
    """
    if (is_given(start) or is_given(end)) and not _holds_template((start, end)):
        with _argument_errors():
            read_interval({}, start, end)


def is_given(value: object) -> bool:
    """Return whether an argument is given; see the top of this module."""
    if isinstance(value, str):
        return value.strip() not in ("", "None", "null")
    return value is not None


def optional(read: Callable[[str, Any], Value]) -> Callable[[str, Any], Value | None]:
    """Make a reader that returns None for what is not given, and refuses the text ``None``."""

    def read_given(name: str, value: Any) -> Value | None:
        if isinstance(value, str) and value.strip() == "None":
            raise ConfigurationError(
                f"{name} is the text None: its template found nothing, such as the XCom of a task "
                f"that was skipped. Make it give {name}, or an empty text for the default."
            )
        return read(name, value) if is_given(value) else None

    return read_given


def read_name(name: str, value: Any) -> str:
    """Read a text that must not be empty. Native rendering can make a number of a name."""
    if not is_given(value):
        raise ConfigurationError(f"{name} is empty: give a text.")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        raise ConfigurationError(
            f"{name} is a list: give one text. The output of a mapped task is a list; map this "
            f"task too, with expand({name}=…)."
        )
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigurationError(f"{name} is of type {type(value).__name__}: give a text.")
    return str(value).strip()


def read_text(name: str, value: Any) -> str | None:
    """Read a text; None by default."""
    return read_name(name, value) if is_given(value) else None


def read_flag(name: str, value: Any) -> bool:
    """Read a flag; False by default."""
    text = str(value).strip().lower() if is_given(value) else "false"
    if text not in _YES + _NO:
        raise ConfigurationError(f"{name} is {plain(repr(value))}: give true or false.")
    return text in _YES


def one_of(choices: Iterable[Choice]) -> Callable[[str, Any], Choice]:
    """Make a reader of one of several words; the first by default."""
    words = {str(word): word for word in choices}

    def read(name: str, value: Any) -> Choice:
        text = read_text(name, value) or next(iter(words))
        if text not in words:
            raise ConfigurationError(f"{name} is {text[:40]!r}: give {' or '.join(words)}.")
        return words[text]

    return read


def read_list(name: str, value: Any) -> list[Any] | None:
    """Read a list, or the text of one; None by default. Any other text is a list of itself."""
    parsed = _parsed(value)
    if parsed is None:
        return None
    if isinstance(parsed, str | UUID):
        return [str(parsed).strip()]
    if isinstance(parsed, bytes) or not isinstance(parsed, Sequence):
        raise ConfigurationError(f"{name} is no list: give a JSON list, or nothing.")
    return list(parsed)


def read_some(name: str, value: Any) -> list[Any] | None:
    """Read a list as :func:`read_list`, and refuse an empty one: it is not the default."""
    items = read_list(name, value)
    if items == []:
        raise ConfigurationError(
            f"{name} is an empty list, and that is not the default: leave {name} out for the "
            "default, or skip the task where the list may be empty."
        )
    return items


def read_object(name: str, value: Any) -> dict[str, Any]:
    """Read an object by column, or the text of one; an empty one by default."""
    parsed = _parsed(value)
    if parsed is None:
        return {}
    if not isinstance(parsed, Mapping):
        raise ConfigurationError(f'{name} is no JSON object: write such as {{"note": "…"}}.')
    return dict(parsed)


def read_json(_: str, value: Any) -> str:
    """Return the JSON text of an argument that has a parser of its own; empty by default."""
    parsed = _parsed(value)
    if parsed is None:
        return ""
    return parsed if isinstance(parsed, str) else json.dumps(parsed, default=str)


def read_agents(name: str, value: Any) -> list[str] | None:
    """Read UUIDs of agents, each once; None, for every agent of the key, by default."""
    agents = read_some(name, value)
    # Each in one form: the name of the folder in staging is made of them.
    return agents and list(dict.fromkeys(require_uuid("agent id", agent) for agent in agents))


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


def read_bound(name: str, value: Any) -> date | str | None:
    """Read a bound of an interval; None by default. :func:`read_interval` checks it."""
    return value if isinstance(value, date) else read_text(name, value)


def read_interval(context: Context, start: Any, end: Any) -> Interval:
    """Return the interval of these bounds; without bounds, the run's data interval."""
    if is_given(start) or is_given(end):
        return Interval.parse(read_bound("start", start), read_bound("end", end))
    first, last = context.get("data_interval_start"), context.get("data_interval_end")
    if first is None or last is None:
        raise IntervalError(
            "This run has no data interval (it was triggered by hand, by REST or by an asset "
            "without one): trigger it with logical_date, data_interval_start and "
            "data_interval_end, or with the params start and end."
        )
    return Interval.parse(first, last)


def read_choices(name: str, value: Any) -> dict[str, str]:
    """Read the choices for columns; see :func:`checked_choices`."""
    return checked_choices(read_object(name, value))


def read_table(name: str, value: Any) -> str:
    """Read a table's name, ``project.dataset.table``."""
    return str(TableId.parse(read_text(name, value)))


def read_accounts(name: str, value: Any) -> str | list[str] | None:
    """Read an impersonation chain: a service account or a list of them; None by default."""
    accounts = read_some(name, value)
    accounts = accounts and [read_name(name, account) for account in accounts]
    return accounts[0] if accounts and len(accounts) == 1 else accounts


@contextmanager
def _argument_errors() -> Iterator[None]:
    """Raise our errors as the error of an argument."""
    try:
        yield
    except TYPED_ERRORS as error:
        raise TalkPilotArgumentError(str(error), error) from None


def _xcom_task(template: Any) -> str:
    """Name the task whose XCom a template takes; an empty text where it takes none."""
    if isinstance(template, XComArg):
        return str(getattr(getattr(template, "operator", None), "task_id", "upstream"))
    return "upstream" if isinstance(template, str) and "xcom_pull" in template else ""


def _parsed(value: Any) -> Any:
    """Parse a text that is JSON, or a list or dict as Python prints it; None if not given."""
    if not is_given(value):
        return None
    if not isinstance(value, str):
        return value
    with suppress(ValueError, RecursionError):
        return json.loads(value)
    # A template prints lists and dicts in this way.
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        literal = ast.literal_eval(value.strip())
        if isinstance(literal, list | tuple | dict):
            return literal
    return value


def _holds_template(value: Any) -> bool:
    """Return whether a value is a template or the output of another task, or holds one."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(map(_holds_template, value.values()))
    if isinstance(value, Sequence):
        return any(map(_holds_template, value))
    return not isinstance(value, _PLAIN)
