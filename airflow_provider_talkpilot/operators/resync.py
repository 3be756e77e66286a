"""The operator of the re-sync: it chooses the past days that a run reads again."""

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
    read_agents,
    read_bound,
    read_interval,
    read_json,
    read_staging,
    read_table,
)
from airflow_provider_talkpilot.operators.requests import TalkPilotRequestsOperator
from airflow_provider_talkpilot.resync.days import (
    DEFAULT_RETENTION,
    ChosenInterval,
    ResyncState,
    choose_intervals,
    retention_by_agent,
)
from airflow_provider_talkpilot.resync.look_backs import parse_look_backs, resync_end
from airflow_provider_talkpilot.staging.names import scope_name
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath


def _read_look_backs(name: str, value: Any) -> str:
    text = read_json(name, value)
    parse_look_backs(text)
    return text


class TalkPilotChooseDaysOperator(TalkPilotRequestsOperator):
    """
    Choose the past days that a run reads again: by retention, and by the longest look-back due.

    - By retention: each day whose calls are all as old as their agent's ``retention_days``, if the
      table has calls of it that are not purged. The next run reads the day once more if some still
      are not.
    - By look-back: a number of days before the newest. A day that both choose is read once.

    Days before the table's first call are left out, because a re-sync loads no history. The day
    before the end of the run's data interval is left to the daily DAG. If nothing is due, the task
    and the tasks after it are skipped. The task sends one request, for the list of agents; none if
    ``start`` and ``end`` are given.

    :param look_backs: JSON list of look-backs, such as ``[{"days": 3, "every": 1}]``; empty for 3
        days every day, 30 every week, 90 every month. (templated)
    :param state: what earlier runs have read: ``state`` of the XCom ``summary`` of the last run
        that succeeded. Empty for nothing; then everything is due. (templated)
    :param start: first moment to read, ISO 8601, instead of the days that are due; give ``end``
        too. (templated)
    :param end: first moment after the interval, likewise. (templated)
    :param agent_ids: UUIDs of agents, or a JSON list of them; nothing for every agent that the
        key can see. An empty list is an error. (templated)
    :param table: the target table, ``project.dataset.table``. (templated)
    :param staging_uri: root of staging, where the tasks of the connection record what they spend
        of the quota; empty for no such record. (templated)
    :return: intervals, each with ``start`` and ``end``, ISO 8601, and ``agent_ids``, for
        ``expand_kwargs``. The XCom ``summary`` has ``state``, to be stored once the whole run has
        succeeded, and empty if ``start`` and ``end`` were given; ``intervals``, each with its
        ``reason``; ``kind``, ``scope``, ``connection_id`` and ``requests``.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"agent_ids": "json"}
    look_backs = Argument(_read_look_backs, default="")
    state = Argument(read_json, default="")
    start = Argument(read_bound, default=None)
    end = Argument(read_bound, default=None)
    agent_ids = Argument(read_agents, default=None, refuses_none=True)
    table = Argument(read_table)
    staging_uri = Argument(read_staging, default=None)
    ui_color = "#f3ecdc"

    def __init__(
        self,
        *,
        table: str,
        look_backs: str = "",
        state: str = "",
        start: str | None = None,
        end: str | None = None,
        agent_ids: Sequence[str] | str | None = None,
        staging_uri: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.look_backs = look_backs
        self.state = state
        self.start = start
        self.end = end
        check_bounds(self.start, self.end)
        self.agent_ids = agent_ids
        self.staging_uri = staging_uri

    def _staging_root(self) -> ObjectStoragePath | None:
        return parse_uri(self.staging_uri) if self.staging_uri else None

    def _work(self, client: TalkPilotClient, context: Context) -> list[dict[str, Any]]:
        if self.start or self.end:
            interval = read_interval(context, self.start, self.end)
            chosen, state = [ChosenInterval(interval, self.agent_ids, "by hand")], ""
        else:
            chosen, after = self._choose_due(client, context)
            state = str(after)
        for each in chosen:
            self.log.info("Reading again %s.", each)
        self._summary.push(
            kind="resync",
            scope=scope_name(self.talkpilot_conn_id, self.agent_ids),
            state=state,
            intervals=[{"reason": each.reason, **_bounds(each)} for each in chosen],
            requests=dict(client.requests),
        )
        return [{**_bounds(each), "agent_ids": each.agents or ""} for each in chosen]

    def _choose_due(
        self, client: TalkPilotClient, context: Context
    ) -> tuple[list[ChosenInterval], ResyncState]:
        """Choose what is due; return it, and the state once it was read."""
        from airflow_provider_talkpilot.bigquery.queries import earliest_call, unpurged_days

        state, target = ResyncState.parse(self.state), TableId.parse(self.table)
        today = read_interval(context).end.date()
        end, limit = resync_end(today), self.maximum_bytes_billed
        with self.warehouse() as bigquery:
            earliest = earliest_call(bigquery, target, end, limit)
            if earliest is None:
                raise AirflowSkipException(
                    f"The table has no call before {end} (UTC): there is nothing to read again."
                )
            chosen, after = choose_intervals(
                today,
                parse_look_backs(self.look_backs),
                state,
                agents=self.agent_ids,
                retention=self._retention(client),
                earliest=earliest.date(),
                unpurged_days=lambda due: unpurged_days(bigquery, target, due, limit),
            )
        if not chosen:
            raise AirflowSkipException(f"Nothing is due before {end}; done so far: {state}.")
        return chosen, after

    def _retention(self, client: TalkPilotClient) -> dict[str, int]:
        """Return for how many days TalkPilot keeps the calls of each agent.

        The table can have calls of agents that are no longer named. TalkPilot purges these too.
        """
        try:
            retention = retention_by_agent(client.agents())
        except PermissionDeniedError:
            if self.agent_ids is None:
                raise
            self.log.warning(
                "The key may not list agents, so their retention is unknown: %d days are assumed. "
                "Give the key the permission agents:read.",
                DEFAULT_RETENTION,
            )
            retention = {}
        named = self.agent_ids or []
        return retention | {id_: retention.get(id_, DEFAULT_RETENTION) for id_ in named}


def _bounds(chosen: ChosenInterval) -> dict[str, Any]:
    interval = chosen.interval
    return {"start": format_utc(interval.start), "end": format_utc(interval.end)}
