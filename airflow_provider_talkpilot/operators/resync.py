"""Operator that chooses which past days are read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.bigquery.errors import bigquery_errors
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.operators.base import airflow_errors, resolve_interval
from airflow_provider_talkpilot.operators.clients import bigquery_client
from airflow_provider_talkpilot.operators.ladder import Done, Ladder, clipped, resync_end

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class TalkPilotChooseRungOperator(BaseOperator):
    """
    Choose the past days that a run reads again: the longest look-back of a ladder that is due.

    Days before the table's first call are left out: a re-sync loads no history. The day before the
    end of the run's data interval is left to the daily DAG. Skips, with all that follows, where
    nothing is due. Spends no request.

    :param ladder: JSON list of look-backs, such as ``[{"days": 3, "every": 1}]``; empty for 3 days
        every day, 30 every week, 180 every month. (templated)
    :param done: what earlier runs have read: ``done`` as the last run that succeeded returned it;
        empty for nothing, then everything is due. (templated)
    :param start: first moment to read, ISO 8601, instead of what the ladder says; with it, ``end``
        must be given too. (templated)
    :param end: first moment not to read, likewise. (templated)
    :param table: the target table, ``project.dataset.table``. (templated)
    :param gcp_conn_id: the Google Cloud connection. (templated)
    :return: ``start`` and ``end`` of the interval, ISO 8601; and ``done``, to be kept when the run
        has succeeded; empty for an interval of somebody's own, which counts for no rung.
    """

    template_fields: Sequence[str] = ("ladder", "done", "start", "end", "table", "gcp_conn_id")
    ui_color = "#f3ecdc"

    def __init__(
        self,
        *,
        table: str,
        ladder: str = "",
        done: str = "",
        start: str | None = None,
        end: str | None = None,
        gcp_conn_id: str = "google_cloud_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.ladder = ladder
        self.done = done
        self.start = start
        self.end = end
        self.gcp_conn_id = gcp_conn_id

    def execute(self, context: Context) -> dict[str, str]:
        """Choose."""
        with airflow_errors(), bigquery_errors(self.gcp_conn_id):
            if self.start or self.end:
                return _chosen(Interval.parse(self.start, self.end))
            ladder, done = Ladder.parse(self.ladder), Done.parse(self.done)
            end = resync_end(resolve_interval(context, None, None).end)
            rung = ladder.due(end, done)
            if rung is None:
                raise AirflowSkipException(f"Nothing is due before {end}; done so far: {done}.")
            interval = self._in_table(rung.interval(end))
            if interval is None:
                raise AirflowSkipException(
                    f"The table has no call before {end}: there is nothing to read again."
                )
            self.log.info("Reading %s again: %s.", interval, rung)
            return _chosen(interval, done.with_rung(rung, end))

    def _in_table(self, interval: Interval) -> Interval | None:
        """The part of the interval that the table reaches back to."""
        from airflow_provider_talkpilot.bigquery.earliest import earliest_call

        target = TableId.parse(self.table)
        earliest = earliest_call(bigquery_client(self.gcp_conn_id), target, interval)
        return None if earliest is None else clipped(interval, earliest)


def _chosen(interval: Interval, done: Done | None = None) -> dict[str, str]:
    return {
        "start": format_utc(interval.start),
        "end": format_utc(interval.end),
        "done": str(done or ""),
    }
