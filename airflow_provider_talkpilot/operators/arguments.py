"""Read the arguments of operators: from users, from templates and from other tasks.

A rendered template is text, or a Python object in a DAG with ``render_template_as_native_obj``. The
readers (``read_…``) return the same value for both. They raise an error that names the argument.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from airflow_provider_talkpilot.exceptions import TYPED_ERRORS, TalkPilotArgumentError
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
# How templates write a missing value.
_MISSING = ("None", "null")
_NEEDED: Any = object()
_NO_VALUE = "correct the template, or make it render to an empty text where that is allowed."


class Argument(Generic[Value]):
    """A template field of an operator. It reads every value that is set.

    So a bad value fails when the operator is made, and a template's bad result fails before the
    task runs. A template, or the output of another task, stays as it is until Airflow renders it.

    Airflow renders None for the XCom of a task that was skipped or marked as succeeded. That is an
    error and no default, which can mean more work, such as the run's own interval.

    :param read: returns the value, from the argument's name and from what was given.
    :param default: the value if None or an empty text was given. Without a default, the reader gets
        that too.
    :param refuses_none: whether a template that renders to None is an error, because the default
        means much more: every agent, every column, or data without protection. The author
        of a DAG gave JSON's ``null``, and the None that a mapped task expands to, on purpose.
    :param may_be_missing: whether the XCom of another task may be missing.
    :raises TalkPilotArgumentError: when the value cannot be read, or is missing.
    """

    def __init__(
        self,
        read: Callable[[str, Any], Value],
        *,
        default: Value = _NEEDED,
        refuses_none: bool = False,
        may_be_missing: bool = False,
    ) -> None:
        self._read, self._default, self._may_be_missing = read, default, may_be_missing
        self._refuses_none = refuses_none

    def __set_name__(self, operator: type[BaseOperator], name: str) -> None:
        self._name = name
        operator.template_fields = (*operator.template_fields, name)

    def __get__(self, operator: object, _: type) -> Value:
        return cast(Value, operator.__dict__.get(self._name))

    def __set__(self, operator: object, value: Any) -> None:
        template = operator.__dict__.get(self._name)
        is_rendered = _holds_template(template)
        if is_rendered and not self._may_be_missing and _is_missing(value):
            task = _xcom_task(template)
            is_none = isinstance(template, str) and value != "null"
            if task or self._default is _NEEDED or (self._refuses_none and is_none):
                cause = _lost(task) if task else _NO_VALUE
                raise TalkPilotArgumentError(f"{self._name} rendered to nothing: {cause}")
        if is_rendered or not _holds_template(value):
            with _argument_errors():
                value = self._value(value)
        operator.__dict__[self._name] = value

    def _value(self, given: Any) -> Value:
        if self._default is not _NEEDED and not is_given(given):
            return self._default
        return self._read(self._name, given)


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
    if not (start is None is end or _holds_template((start, end))):
        with _argument_errors():
            Interval.parse(start, end)


def is_given(value: object) -> bool:
    """Return whether a value is not None, an empty text, or the text of a missing value."""
    return not (_is_missing(value) or (isinstance(value, str) and not value.strip()))


def read_text(name: str, value: Any) -> str:
    """Read a text that is not empty. Native rendering can make a number of one."""
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


def read_flag(name: str, value: Any) -> bool:
    """Read a flag."""
    text = str(value).strip().lower()
    if text not in _YES + _NO:
        raise ConfigurationError(f"{name} is {plain(repr(value))}: give true or false.")
    return text in _YES


def one_of(choices: Collection[Choice]) -> Callable[[str, Any], Choice]:
    """Make a reader of one of several words."""

    def read(name: str, value: Any) -> Choice:
        text = read_text(name, value)
        for choice in choices:
            if choice == text:
                return choice
        raise ConfigurationError(f"{name} is {text[:40]!r}: give {' or '.join(choices)}.")

    return read


def read_list(name: str, value: Any) -> list[Any]:
    """Read a list that is not empty, or the text of one. Any other text is a list of itself."""
    parsed = parse(value)
    if isinstance(parsed, str | UUID):
        return [str(parsed).strip()]
    if isinstance(parsed, bytes) or not isinstance(parsed, Sequence):
        raise ConfigurationError(f"{name} is no list: give a JSON list, or nothing.")
    if not parsed:
        raise ConfigurationError(
            f"{name} is an empty list, and that is not the default: leave {name} out for the "
            "default, or skip the task where the list may be empty."
        )
    return list(parsed)


def read_object(name: str, value: Any) -> dict[str, Any]:
    """Read an object by column, or the text of one."""
    parsed = parse(value)
    if not isinstance(parsed, Mapping):
        raise ConfigurationError(f'{name} is no JSON object: write such as {{"note": "…"}}.')
    return dict(parsed)


def read_json(_: str, value: Any) -> str:
    """Return the JSON text of an argument that has a parser of its own."""
    parsed = parse(value)
    return parsed if isinstance(parsed, str) else json.dumps(parsed, default=str)


def read_agents(name: str, value: Any) -> list[str]:
    """Read UUIDs of agents, each once."""
    # Each in one form: the name of the folder in staging is made of them.
    return [*dict.fromkeys(require_uuid("agent id", agent) for agent in read_list(name, value))]


def read_staging(_: str, value: Any) -> str:
    """Read the root of staging; see :func:`normal_uri`."""
    return normal_uri(str(value) if is_given(value) else "")


def read_uri(name: str, value: Any) -> str:
    """Read a URI of another place in object storage; see :func:`normal_uri`."""
    return normal_uri(read_text(name, value), name)


def read_days(name: str, value: Any) -> int:
    """Read a number of days, at least one."""
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text) <= MOST_DAYS:
        raise ConfigurationError(
            f"{name} is {plain(repr(value))}: give a whole number of days, 1 to {MOST_DAYS:,}."
        )
    return int(text)


def read_bound(name: str, value: Any) -> date | str:
    """Read a bound of an interval, which :func:`check_bounds` and :func:`read_interval` check."""
    return value if isinstance(value, date) else read_text(name, value)


def read_interval(
    context: Context, start: date | str | None = None, end: date | str | None = None
) -> Interval:
    """Return the interval of these bounds; without bounds, the run's data interval."""
    if start is not None or end is not None:
        return Interval.parse(start, end)
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
    return str(TableId.parse(read_text(name, value) if is_given(value) else None))


def read_accounts(name: str, value: Any) -> str | list[str]:
    """Read an impersonation chain: a service account or a list of them."""
    accounts = [read_text(name, account) for account in read_list(name, value)]
    return accounts[0] if len(accounts) == 1 else accounts


def parse(value: Any) -> Any:
    """Parse a text that is JSON, or a list or dict as Python prints it."""
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


@contextmanager
def _argument_errors() -> Iterator[None]:
    """Raise our errors as the error of an argument."""
    try:
        yield
    except TYPED_ERRORS as error:
        raise TalkPilotArgumentError(str(error), error) from None


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in _MISSING)


def _xcom_task(template: Any) -> str | None:
    """Return the id of the task whose XCom a template takes; None if it takes none."""
    if isinstance(template, XComArg) or "xcom_pull" in str(template):
        return str(getattr(getattr(template, "operator", None), "task_id", "upstream"))
    return None


def _lost(task: str) -> str:
    return (
        f"the task {task} that gives it was skipped, was marked as succeeded, has "
        "do_xcom_push=False, or its XCom is gone. Clear that task, so that it runs again and "
        "pushes one."
    )


def _holds_template(value: Any) -> bool:
    """Return whether a value is a template or the output of another task, or holds one."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return any(map(_holds_template, value.values()))
    if isinstance(value, Sequence):
        return any(map(_holds_template, value))
    return not isinstance(value, _PLAIN)
