"""Reads XComs through Airflow's configured XCom backend."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from airflow.models.xcom import XComModel
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_talkpilot.plugins.overview.records import Summary, parse_summary

SUMMARY = "summary"

_THREADS = 16  # a backend may fetch each value from elsewhere
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unreadable:
    """A summary that could not be read.

    :param error: the name of the error's class; its text may quote the value.
    """

    error: str


class SummaryReader:
    """Turns rows of Airflow's table of XComs into summaries.

    :ivar is_local: whether all values are in Airflow's database.
    """

    def __init__(self) -> None:
        self.is_local = False
        self._deserialize: Callable[[Any], Any]
        try:
            from airflow.sdk.execution_time.xcom import resolve_xcom_backend

            self._deserialize = resolve_xcom_backend().deserialize_value
        except Exception as error:  # noqa: BLE001  # the API server may lack what workers have
            self._deserialize = _always(error)
        if self._deserialize is BaseXCom.deserialize_value:
            self.is_local, self._deserialize = True, XComModel.deserialize_value

    def read(self, rows: Sequence[Any]) -> list[Summary | Unreadable | None]:
        """Read summaries, in the order of the rows.

        :param rows: of XComs, with ``key`` and ``value``.
        :return: the summary of each row; None for one that is not of our operators.
        """
        if self.is_local:
            found = [self._read(row) for row in rows]
        else:
            with ThreadPoolExecutor(_THREADS) as pool:
                found = list(pool.map(self._read, rows))
        errors = Counter(each.error for each in found if isinstance(each, Unreadable))
        if errors:
            _log.warning("Summaries that cannot be read, by error: %s.", dict(errors))
        return found

    def _read(self, row: Any) -> Summary | Unreadable | None:
        if row.value is None:
            return None
        try:
            value = self._deserialize(row)
            if not self.is_local and _is_address(value) and value == row.value:
                return Unreadable("the backend has lost the value")
            return parse_summary(value)
        except Exception as error:  # noqa: BLE001  # a backend has errors of its own
            return Unreadable(type(error).__name__)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and "://" in value


def _always(error: Exception) -> Callable[[Any], Any]:
    def refuse(_: Any) -> Any:
        raise error

    return refuse
