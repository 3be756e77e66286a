"""Operators of the re-sync: choose which past days are read again, note that they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import PermissionDeniedError
from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import AirflowSkipException
from airflow_provider_talkpilot.operators.arguments import (
    Argument,
    check_bounds,
    checked,
    optional,
    read_agents,
    read_bound,
    read_interval,
    read_json,
    read_staging,
    read_table,
)
from airflow_provider_talkpilot.operators.base import push_summary
from airflow_provider_talkpilot.operators.requests import TalkPilotRequestsOperator
from airflow_provider_talkpilot.resync.choice import ResyncState, choose_intervals
from airflow_provider_talkpilot.resync.look_backs import LookBacks, resync_end
from airflow_provider_talkpilot.resync.retention import DEFAULT_DAYS, Reading, retentions
from airflow_provider_talkpilot.staging.names import scope_name
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath


def _read_look_backs(name: str, value: Any) -> str:
    text = read_json(name, value)
    LookBacks.parse(text)
    return text


class TalkPilotChooseDaysOperator(TalkPilotRequestsOperator):
    """
    Choose the past days that a run reads again: by retention, and by the longest look-back due.

    - By retention: each day whose calls have all become as old as their agent's
      ``retention_days``, and of which the table has calls that are not purged; in the next run
      once more, where some still are not.
    - By look-back: so many days before the newest. Days that both choose are read once.

    Days before the table's first call are left out: a re-sync loads no history. The day before the
    end of the run's data interval is left to the daily DAG. Skips, with all that follows, where
    nothing is due. Costs one request, for the list of agents; none for an interval of one's own.

    :param look_backs: JSON list of look-backs, such as ``[{"days": 3, "every": 1}]``; empty for 3
        days every day, 30 every week, 90 every month. (templated)
    :param done: what earlier runs have read: ``done`` of the XCom ``summary`` of the last run that
        succeeded; empty for nothing, then everything is due. (templated)
    :param start: first moment to read, ISO 8601, instead of the days that are due; with it, ``end``
        must be given too. (templated)
    :param end: first moment not to read, likewise. (templated)
    :param agent_ids: UUIDs of agents, or a JSON list of them; nothing for every agent that the
        key can see. An empty list is an error. (templated)
    :param table: the target table, ``project.dataset.table``. (templated)
    :param maximum_bytes_billed: a query that would read more fails; None for no such limit.
    :param staging_uri: root of staging, where the connection's tasks tell each other what they
        spent of the quota; empty for none. (templated)
    :return: intervals, each with ``start`` and ``end``, ISO 8601, and ``agent_ids``, for
        ``expand_kwargs``. And as XCom ``summary`` ``done``, to be kept when all of the run has
        succeeded, empty for an interval of one's own; ``intervals``, each with its ``reason``;
        ``kind``, ``scope``, ``connection_id``, ``requests``.
    """

    template_fields: Sequence[str] = (
        *("look_backs", "done", "start", "end", "agent_ids", "table", "staging_uri"),
        *TalkPilotRequestsOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"agent_ids": "json"}
    look_backs = Argument(_read_look_backs)
    done = Argument(read_json)
    start = Argument(read_bound)
    end = Argument(read_bound)
    agent_ids = Argument(read_agents)
    table = Argument(read_table)
    staging_uri = Argument(optional(read_staging))
    ui_color = "#f3ecdc"

    def __init__(
        self,
        *,
        table: str,
        look_backs: str = "",
        done: str = "",
        start: str | None = None,
        end: str | None = None,
        agent_ids: Sequence[str] | str | None = None,
        maximum_bytes_billed: int | None = None,
        staging_uri: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_bounds(start, end)
        self.table = table
        self.look_backs = look_backs
        self.done = done
        self.start = start
        self.end = end
        self.agent_ids = agent_ids
        self.maximum_bytes_billed = checked(
            "maximum_bytes_billed", maximum_bytes_billed, int | None, ge=1
        )
        self.staging_uri = staging_uri

    def _staging_root(self) -> ObjectStoragePath | None:
        return parse_uri(self.staging_uri) if self.staging_uri else None

    def _spend(self, client: TalkPilotClient, context: Context) -> list[dict[str, Any]]:
        named, done = self.agent_ids, ""
        if self.start or self.end:
            interval = read_interval(context, self.start, self.end)
            chosen = [Reading(interval, named, "by hand")]
        else:
            chosen, done = self._due(client, context, named)
        for each in chosen:
            self.log.info("Reading again %s.", each)
        push_summary(
            context,
            "resync",
            scope=scope_name(self.talkpilot_conn_id, named),
            done=done,
            intervals=[{"reason": each.reason, **_bounds(each)} for each in chosen],
            requests=dict(client.requests),
            **self._connection_figures,
        )
        return [{**_bounds(each), "agent_ids": each.agents or ""} for each in chosen]

    def _due(
        self, client: TalkPilotClient, context: Context, named: list[str] | None
    ) -> tuple[list[Reading], str]:
        """Find what is due, and what is done once that has been read."""
        from airflow_provider_talkpilot.bigquery.queries import earliest_call, unpurged_days

        look_backs = LookBacks.parse(self.look_backs)
        state = ResyncState.parse(self.done)
        run_end = read_interval(context, None, None).end
        target, end = TableId.parse(self.table), resync_end(run_end)
        with self.warehouse() as bigquery:
            limit = self.maximum_bytes_billed
            earliest = earliest_call(bigquery, target, end, limit)
            if earliest is None:
                raise AirflowSkipException(
                    f"The table has no call before {end} (UTC): there is nothing to read again."
                )
            chosen, after = choose_intervals(
                run_end,
                look_backs,
                state,
                agents=named,
                retention=self._retention(client, named),
                earliest=earliest,
                unpurged_days=lambda windows: unpurged_days(bigquery, target, windows, limit),
            )
        if not chosen:
            raise AirflowSkipException(f"Nothing is due before {end}; done so far: {state}.")
        return chosen, str(after)

    def _retention(self, client: TalkPilotClient, named: list[str] | None) -> dict[str, int]:
        """For how many days TalkPilot keeps the calls of each agent that is read."""
        try:
            found = retentions(client.agents())
        except PermissionDeniedError:
            if named is None:
                raise
            self.log.warning(
                "The key may not list agents, so their retention is unknown: %d days are assumed. "
                "Give the key the permission agents:read.",
                DEFAULT_DAYS,
            )
            found = {}
        return found if named is None else {each: found.get(each, DEFAULT_DAYS) for each in named}


def _bounds(chosen: Reading) -> dict[str, Any]:
    return {
        "start": format_utc(chosen.interval.start),
        "end": format_utc(chosen.interval.end),
    }
