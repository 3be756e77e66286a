"""Operator that chooses which past days are read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_talkpilot.api import Interval, TalkPilotClient
from airflow_provider_talkpilot.api.errors import PermissionDeniedError
from airflow_provider_talkpilot.api.interval import format_utc
from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.operators.base import push_summary, resolve_agents, resolve_interval
from airflow_provider_talkpilot.operators.calls import TalkPilotRequestsOperator
from airflow_provider_talkpilot.operators.look_backs import LookBacks, clipped, resync_end
from airflow_provider_talkpilot.operators.resync_state import ResyncState
from airflow_provider_talkpilot.operators.retention import (
    DEFAULT_DAYS,
    readings,
    retentions,
)
from airflow_provider_talkpilot.staging.names import scope_name
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath
    from google.cloud.bigquery import Client


@dataclass(frozen=True)
class _Chosen:
    """An interval that a run reads again.

    :param reason: why, as the log and the page show it.
    :param agents: ids; None for every agent of the key.
    """

    reason: str
    interval: Interval
    agents: list[str] | None

    @property
    def of(self) -> str:
        """Whose calls, in words."""
        return "every agent" if self.agents is None else f"{len(self.agents)} agent(s)"

    def told(self) -> dict[str, str]:
        """What the summary says of it."""
        bounds = {"start": self.interval.start.isoformat(), "end": self.interval.end.isoformat()}
        return {"reason": self.reason, **bounds}

    def arguments(self) -> dict[str, Any]:
        """What an extract task is given."""
        return {
            "start": format_utc(self.interval.start),
            "end": format_utc(self.interval.end),
            "agent_ids": self.agents or "",
        }


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
        key can see. (templated)
    :param table: the target table, ``project.dataset.table``. (templated)
    :param gcp_conn_id: the Google Cloud connection. (templated)
    :param staging_uri: root of staging, where the connection's tasks tell each other what they
        spent of the quota; empty for none. (templated)
    :return: intervals, each with ``start`` and ``end``, ISO 8601, and ``agent_ids``, for
        ``expand_kwargs``. And as XCom ``summary`` ``done``, to be kept when all of the run has
        succeeded, empty for an interval of one's own; ``reasons``, for each interval one;
        ``connection_id``, ``requests``.
    """

    template_fields: Sequence[str] = (
        "look_backs",
        "done",
        "start",
        "end",
        "agent_ids",
        "table",
        "gcp_conn_id",
        "staging_uri",
        "talkpilot_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"agent_ids": "json"}
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
        gcp_conn_id: str = "google_cloud_default",
        staging_uri: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.look_backs = look_backs
        self.done = done
        self.start = start
        self.end = end
        self.agent_ids = agent_ids
        self.gcp_conn_id = gcp_conn_id
        self.staging_uri = staging_uri

    def _staging_root(self) -> ObjectStoragePath | None:
        return parse_uri(self.staging_uri) if self.staging_uri else None

    def _spend(self, client: TalkPilotClient, context: Context) -> list[dict[str, Any]]:
        named = resolve_agents(self.agent_ids)
        if self.start or self.end:
            chosen, done = [_Chosen("by hand", Interval.parse(self.start, self.end), named)], ""
        else:
            with bigquery_client(self.gcp_conn_id) as warehouse:
                chosen, done = self._due(client, warehouse, context, named)
        for each in chosen:
            self.log.info("Reading %s again, %s: %s.", each.interval, each.of, each.reason)
        push_summary(
            context,
            "resync",
            scope=scope_name(self.talkpilot_conn_id, named),
            done=done,
            intervals=[each.told() for each in chosen],
            reasons=[each.reason for each in chosen],
            connection_id=self.talkpilot_conn_id,
            requests=dict(client.requests),
        )
        return [each.arguments() for each in chosen]

    def _due(
        self,
        client: TalkPilotClient,
        warehouse: Client,
        context: Context,
        named: list[str] | None,
    ) -> tuple[list[_Chosen], str]:
        """Find what is due, and what is done once that has been read."""
        from airflow_provider_talkpilot.bigquery.queries import earliest_call, unpurged_days

        look_backs, state = LookBacks.parse(self.look_backs), ResyncState.parse(self.done)
        run_end = resolve_interval(context, None, None).end
        today, end = run_end.date(), resync_end(run_end)
        target = TableId.parse(self.table)
        earliest = earliest_call(warehouse, target, end)
        if earliest is None:
            raise AirflowSkipException(
                f"The table has no call before {end}: there is nothing to read again."
            )
        read, chosen = state.look_backs, list[_Chosen]()
        if look_back := look_backs.due(end, read):
            read = look_back.added_to(read, end)
            if interval := clipped(look_back.interval(end), earliest):
                chosen.append(_Chosen(f"look-back of {look_back.days} day(s)", interval, named))
        retention = self._retention(client, named)
        windows = state.retention.windows(retention, today)
        due = readings(
            windows,
            unpurged_days(warehouse, target, windows) if windows else (),
            covered=chosen[0].interval if chosen else None,
        )
        # These first: they are short, and a legal duty.
        chosen = [*(_Chosen("retention", each.interval, [*each.agents]) for each in due), *chosen]
        if not chosen:
            raise AirflowSkipException(f"Nothing is due before {end}; done so far: {state}.")
        return chosen, str(ResyncState(read, state.retention.after(retention, today)))

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
