"""Hook of the TalkPilot API: from an Airflow connection to a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import cached_property
from typing import Any, Self

import tenacity
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from asgiref.sync import sync_to_async

from airflow_provider_talkpilot.api import (
    Agent,
    Call,
    CallDetail,
    CallFilters,
    Interval,
    Quota,
    TalkPilotClient,
    require_uuid,
)
from airflow_provider_talkpilot.api.async_client import AsyncTalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    ConfigurationError,
    InvalidRecordError,
)
from airflow_provider_talkpilot.api.quota import Ledger
from airflow_provider_talkpilot.api.redaction import holds_key
from airflow_provider_talkpilot.api.walk import WALK_AGAIN, RecordPage
from airflow_provider_talkpilot.compat import (
    AirflowNotFoundException,
    BaseHook,
    Connection,
    explain_missing_connection,
)
from airflow_provider_talkpilot.hooks.access import OK, Findings, find_access
from airflow_provider_talkpilot.hooks.connection import (
    FIELD_BEHAVIOUR,
    URI_SHAPE,
    ConnectionFields,
    read_fields,
    widgets,
)


class TalkPilotHook(BaseHook):
    """
    Read from the TalkPilot API with an Airflow connection; docs/api.md has an example.

    The methods share one client, which keeps its connections and counts the key's quota. The first
    request creates it; the end of the ``with`` block, or :meth:`close`, closes it. Errors are those
    of :mod:`airflow_provider_talkpilot.api.errors`, and each names its cure.

    :param talkpilot_conn_id: the TalkPilot connection.
    """

    conn_name_attr = "talkpilot_conn_id"
    default_conn_name = "talkpilot_default"
    conn_type = "talkpilot"
    hook_name = "TalkPilot"

    def __init__(self, talkpilot_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.talkpilot_conn_id = talkpilot_conn_id
        self._client: TalkPilotClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client that the methods share."""
        if self._client:
            self._client.close()
            self._client = None

    def get_agents(self) -> list[Agent]:
        """
        Fetch every agent that the key can see, for one request per 100.

        :raises TalkPilotError: when the API cannot be read. The other methods raise it too.
        """
        return self._shared_client().agents()

    def iter_calls(
        self,
        start: date | str,
        end: date | str,
        agent_ids: Iterable[str] | str | None = None,
        *,
        done: bool | None = None,
        phone_number: str | None = None,
        search: str | None = None,
    ) -> Iterator[Call]:
        """
        Fetch the list rows of an interval's calls, soft-deleted ones included.

        It costs one request per 100 calls and agent. The hook reads all calls of an agent before it
        yields the first, because only a whole list is correct. So they are in memory together. List
        rows have no transcript and no score: see :meth:`get_call`.

        :param start: first moment of the interval, by ``created_at``: a datetime, a date or ISO
            8601, in UTC unless it names an offset.
        :param end: first moment after it, likewise.
        :param agent_ids: UUIDs of agents, or one; None for every agent that the key can see.
        :param done: only calls that are done (or not).
        :param phone_number: only calls with exactly this number.
        :param search: only calls with this text in name, phone number or summary.
        :return: the calls, by agent, newest first.
        :raises ConfigurationError: when ``agent_ids`` is empty or holds something that is no UUID.
        :raises InvalidRecordError: when a record has no usable ``id`` or ``created_at``.
        :raises WalkMovedError: when the list kept changing while it was read.
        """
        interval = Interval.parse(start, end)
        filters = CallFilters(done, phone_number, search)
        if agent_ids is None:
            agents = [agent.id for agent in self.get_agents()]
        else:
            names = [agent_ids] if isinstance(agent_ids, str) else agent_ids
            agents = [*dict.fromkeys(require_uuid("agent id", name) for name in names)]
            if not agents:
                raise ConfigurationError(
                    "agent_ids is an empty list: give agents, or leave agent_ids out for every "
                    "agent that the key can see."
                )
        return (call for agent in agents for call in self._whole_walk(agent, interval, filters))

    def get_call(self, agent_id: str, call_id: str) -> CallDetail:
        """
        Fetch one call with its transcript and score, for one request.

        :param agent_id: UUID of the call's agent.
        :param call_id: the call's ``id``, a UUID.
        :raises NotFoundError: when TalkPilot has no such call.
        """
        return self._shared_client().call(agent_id, call_id)

    def _shared_client(self) -> TalkPilotClient:
        if self._client is None:
            self._client = self.get_conn()
        return self._client

    def _whole_walk(self, agent_id: str, interval: Interval, filters: CallFilters) -> list[Call]:
        pages = list[RecordPage[Call]]()
        for attempt in tenacity.Retrying(**WALK_AGAIN):
            with attempt:
                pages = [*self._shared_client().walk_calls(agent_id, interval, filters)]
        for reject in (reject for page in pages for reject in page.rejects):
            raise InvalidRecordError(
                f"TalkPilot listed a call of {interval} that does not fit ({reject.reason}).",
                record=reject.record,
                reason=reject.reason,
            )
        return [call for page in pages for call in page.records]

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's fields of the extra, for Airflow 2. Airflow 3 has provider info."""
        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return labels, placeholders and hidden fields of the form, for Airflow 2."""
        return {name.replace("-", "_"): value for name, value in FIELD_BEHAVIOUR.items()}

    def get_conn(
        self, *, max_wait: float | None = None, ledger: Ledger | None = None, **options: Any
    ) -> TalkPilotClient:
        """
        Create a client of your own; it sends nothing yet.

        :param max_wait: seconds that a request may wait for the key's quota; None for no limit.
        :param ledger: where the processes of this connection write what they spent of the quota.
        :param options: arguments of :class:`TalkPilotClient` that override the connection's.
        :return: the client, a context manager; the caller closes it.
        :raises ConfigurationError: when the connection's host, key or extras can never work.
        """
        client = TalkPilotClient(**(self._arguments(max_wait, ledger) | options))
        # For the lineage of tasks whose operator does not describe it. A client can only read.
        uri = f"talkpilot://{client.base_url.partition('://')[2]}"
        get_hook_lineage_collector().add_input_asset(context=self, uri=uri)
        return client

    async def get_async_conn(self) -> AsyncTalkPilotClient:
        """
        Create a client for an event loop, without blocking the loop; it sends nothing yet.

        :return: the client, an async context manager; the caller closes it.
        :raises ConfigurationError: as :meth:`get_conn`.
        """
        # In a thread: every version of Airflow lets a triggerer read a connection there.
        create = sync_to_async(lambda: AsyncTalkPilotClient(**self._arguments()))
        return await create()

    @cached_property
    def fields(self) -> ConnectionFields:
        """
        The fields of the connection, read once; nothing is sent.

        :raises ConfigurationError: when there is no such connection, or it can never work.
        """
        name = self.talkpilot_conn_id
        try:
            connection: Connection = self.get_connection(name)
        except AirflowNotFoundException:
            message, retryable = explain_missing_connection(
                name,
                f"There is no TalkPilot connection {name!r}: create it (docs/connection.md), or "
                "correct talkpilot_conn_id.",
            )
            raise ConfigurationError(message, retryable=retryable) from None
        except Exception as error:
            if not holds_key(error):
                raise
            # Airflow's own error about a URI quotes it, with the key.
            raise ConfigurationError(
                f"Airflow cannot read the connection {name!r}: its URI must be like {URI_SHAPE}, "
                "without another :// in it."
            ) from None
        return read_fields(connection, name)

    def test_connection(self) -> tuple[bool, str]:
        """
        Check whether host and key work. It costs three requests and never raises.

        :return: whether a DAG can use the connection, and one line that says why or what to do.
        """
        findings = Findings()
        try:
            find_access(findings, self)
        except Exception as error:  # noqa: BLE001  # its text may quote a secret
            return False, f"{type(error).__name__}: the connection could not be tested."
        is_good = not findings.missing
        told = [each.message for each in findings if is_good or each.state != OK]
        return is_good, " ".join(told)

    def _arguments(
        self, max_wait: float | None = None, ledger: Ledger | None = None
    ) -> dict[str, Any]:
        """Return the arguments that both clients need."""
        fields = self.fields
        if fields.unused:
            self.log.warning("%s", fields.unused)
        options = fields.options
        quota = Quota(
            requests_per_minute=options.requests_per_minute,
            requests_per_hour=options.requests_per_hour,
            share=options.quota_share or 1.0,
            max_wait=max_wait,
            ledger=ledger,
            minute=options.minute_seconds or 60.0,
            hour=options.hour_seconds or 3600.0,
        )
        times = options.model_dump(
            include={"timeout", "connect_timeout", "tries"}, exclude_none=True
        )
        return {"base_url": fields.base_url, "api_key": fields.api_key, "quota": quota, **times}
