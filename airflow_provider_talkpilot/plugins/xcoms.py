"""Reads XComs through the XCom backend that Airflow is set up with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from airflow.models.xcom import XComModel
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_talkpilot.plugins.records import Summary, parse_summary

SUMMARY = "summary"

_THREADS = 16  # a backend may fetch each value from elsewhere
_log = logging.getLogger(__name__)


class SummaryReader:
    """Turns rows of Airflow's table of XComs into summaries."""

    def __init__(self) -> None:
        self._deserialize: Callable[[Any], Any] = XComModel.deserialize_value
        try:
            from airflow.sdk.execution_time.xcom import resolve_xcom_backend

            backend = resolve_xcom_backend()
        except Exception as error:  # the API server may lack what workers have
            _log.warning("[core] xcom_backend cannot be imported: %s.", type(error).__name__)
            self._deserialize = _unreadable
            self.is_local = True
            return
        self.is_local = backend.deserialize_value is BaseXCom.deserialize_value
        if not self.is_local:
            self._deserialize = backend.deserialize_value

    def read(self, rows: Sequence[Any]) -> list[Summary | Literal["unreadable"] | None]:
        """Read summaries, in the order of the rows.

        :param rows: of XComs, with ``key`` and ``value``.
        :return: for each row the summary, None where it has none of our operators, or
            ``unreadable``.
        """
        if self.is_local:
            return [self._read(row) for row in rows]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self._read, rows))

    def _read(self, row: Any) -> Summary | Literal["unreadable"] | None:
        if row.value is None:
            return None
        try:
            return parse_summary(self._deserialize(row))
        except Exception as error:  # whatever a backend raises
            # Its text may quote the value.
            _log.warning("An XCom %s cannot be read: %s.", SUMMARY, type(error).__name__)
            return "unreadable"


def _unreadable(_: Any) -> Any:
    raise ImportError("no XCom backend")
