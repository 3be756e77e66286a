"""Hook of the TalkPilot API: from an Airflow connection to a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.providers.common.compat.sdk import BaseHook, Connection

from airflow_provider_talkpilot.api import Quota, TalkPilotClient
from airflow_provider_talkpilot.api.async_client import AsyncTalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    AgentNotAccessibleError,
    AuthenticationError,
    ConfigurationError,
    InvalidRecordError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExhaustedError,
    TalkPilotError,
)
from airflow_provider_talkpilot.api.quota import Ledger
from airflow_provider_talkpilot.api.redaction import holds_key
from airflow_provider_talkpilot.hooks.connection_fields import (
    URI_SHAPE,
    ConnectionFields,
    read_fields,
)
from airflow_provider_talkpilot.hooks.connection_form import FIELD_BEHAVIOUR, widgets
from airflow_provider_talkpilot.lineage.movements import api_uri


class TalkPilotHook(BaseHook):
    """
    Connect to the TalkPilot API.

    .. code-block:: python

        hook = TalkPilotHook(talkpilot_conn_id="talkpilot_default")
        with hook.get_conn() as client:
            agents = client.agents()

    The connection's *host* is the API's base URL with its ``/v1``, its *password* the API key. Its
    *port* and *schema* (a URI's path) count where the host names no port and no path. What is not
    used of a connection is warned of.
    Extras are ``requests_per_minute``, ``requests_per_hour``, ``quota_share``, ``timeout``,
    ``connect_timeout``, ``tries`` and ``dashboard_url``.

    :param talkpilot_conn_id: the TalkPilot connection.
    """

    conn_name_attr = "talkpilot_conn_id"
    default_conn_name = "talkpilot_default"
    conn_type = "talkpilot"
    hook_name = "TalkPilot"

    def __init__(self, talkpilot_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.talkpilot_conn_id = talkpilot_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Form fields of the extras, for Airflow 2; Airflow 3 reads them from provider info."""
        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Labels, placeholders and hidden fields of the form, for Airflow 2."""
        return {
            "hidden_fields": FIELD_BEHAVIOUR["hidden-fields"],
            "relabeling": FIELD_BEHAVIOUR["relabeling"],
            "placeholders": FIELD_BEHAVIOUR["placeholders"],
        }

    def get_conn(
        self, *, max_wait: float | None = None, ledger: Ledger | None = None, **options: Any
    ) -> TalkPilotClient:
        """
        Make a client; nothing is sent yet.

        :param max_wait: seconds that a request may wait for the key's quota; None for as long as
            it takes.
        :param ledger: where this connection's processes tell each other what they spent.
        :param options: arguments of :class:`TalkPilotClient` that go before the connection's.
        :return: the client, to be closed by the caller (a context manager).
        :raises ConfigurationError: when the connection's host, key or extras can never work.
        """
        fields = self._fields()
        if fields.unused:
            self.log.warning("%s", fields.unused)
        return self._client(fields, max_wait=max_wait, ledger=ledger, **options)

    async def get_async_conn(self) -> AsyncTalkPilotClient:
        """
        Make a client for an event loop, which is not blocked meanwhile; nothing is sent yet.

        :return: the client, to be closed by the caller (an async context manager).
        :raises ConfigurationError: as :meth:`get_conn`.
        """
        with _unquoted(self.talkpilot_conn_id):
            connection = await get_async_connection(self.talkpilot_conn_id, hook=self)
        fields = read_fields(connection, self.talkpilot_conn_id)
        if fields.unused:
            self.log.warning("%s", fields.unused)
        return AsyncTalkPilotClient(**_arguments(fields))

    def dashboard_url(self) -> str | None:
        """
        Give the address of the TalkPilot dashboard, where the connection has one.

        :raises ConfigurationError: when an extra of the connection can never work.
        """
        found: str | None = self._fields().extras.get("dashboard_url")
        return found

    def test_connection(self) -> tuple[bool, str]:
        """
        Say whether host and key work, and if not what to do. Costs three requests; never raises.

        :return: whether a DAG can use it; and what was found and what is not used, in a line.
        """
        try:
            fields = self._fields()
        except TalkPilotError as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001  # it may quote a secret
            return False, f"{type(error).__name__}: the connection could not be read."
        is_good, message = self._test_fields(fields)
        return is_good, f"{message} {fields.unused}".rstrip()

    def _test_fields(self, fields: ConnectionFields) -> tuple[bool, str]:
        try:
            with self._client(fields, max_wait=5, tries=2, timeout=10) as client:
                return self._test(client)
        except QuotaExhaustedError as error:
            return False, f"The host is right, but the key could not be tested now. {error}"
        except TalkPilotError as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001  # the form shows whatever it was
            return False, f"{type(error).__name__}: the connection could not be tested."

    def _test(self, client: TalkPilotClient) -> tuple[bool, str]:
        try:
            version = client.health().version or "unknown"
        except (InvalidRecordError, NotFoundError) as error:
            return False, f"There is no TalkPilot API at this base URL: mend the host. {error}"
        try:
            first = client.get("agents", "agents", {"page": "1", "limit": "1"})
        except AuthenticationError as error:
            return False, f"The host is right, but the key is not accepted. {error}"
        except PermissionDeniedError as error:
            return False, (
                f"The host and the key are right, but the key may not list agents. {error} Without "
                "it, name the agents (for the shipped DAGs in the Variable talkpilot_agent_ids)."
            )
        agents = first.get("data") or []
        total = (first.get("pagination") or {}).get("total", len(agents))
        found = f"TalkPilot answers at {client.base_url} (version {version})."
        if not agents:
            return True, (
                f"{found} The key can see no agent, so there will be no calls: if that is not "
                "what you expect, look at the key's agents in TalkPilot's dashboard."
            )
        try:
            path = f"agents/{agents[0]['id']}/calls"
            client.get("calls", path, {"page": "1", "limit": "1"})
        except (AgentNotAccessibleError, PermissionDeniedError) as error:
            return False, f"The host and the key are right, but may not read calls. {error}"
        found += f" The key can see {total} agent(s) and read their calls."
        if client.quota.per_minute:
            found += f" Up to {client.quota.per_minute:,} request(s) a minute can be sent."
        return True, found

    def _fields(self) -> ConnectionFields:
        with _unquoted(self.talkpilot_conn_id):
            connection: Connection = self.get_connection(self.talkpilot_conn_id)
        return read_fields(connection, self.talkpilot_conn_id)

    def _client(
        self,
        fields: ConnectionFields,
        *,
        max_wait: float | None,
        ledger: Ledger | None = None,
        **options: Any,
    ) -> TalkPilotClient:
        client = TalkPilotClient(**(_arguments(fields, max_wait, ledger) | options))
        # A client can only read. Lineage of tasks whose operator does not tell its own.
        get_hook_lineage_collector().add_input_asset(context=self, uri=api_uri(client.base_url))
        return client


@contextmanager
def _unquoted(connection_id: str) -> Iterator[None]:
    """Keep the key out of Airflow's error about a URI that it cannot read: it quotes the URI."""
    try:
        yield
    except Exception as error:
        if not holds_key(error):
            raise
        raise ConfigurationError(
            f"Airflow cannot read the connection {connection_id!r}: its URI must be like "
            f"{URI_SHAPE}, without another :// in it."
        ) from None


def _arguments(
    fields: ConnectionFields, max_wait: float | None = None, ledger: Ledger | None = None
) -> dict[str, Any]:
    """What both clients want to know."""
    extras = fields.extras
    quota = Quota(
        requests_per_minute=extras.get("requests_per_minute"),
        requests_per_hour=extras.get("requests_per_hour"),
        share=extras.get("quota_share", 1.0),
        max_wait=max_wait,
        ledger=ledger,
        minute=extras.get("minute_seconds", 60.0),
        hour=extras.get("hour_seconds", 3600.0),
    )
    names = ("timeout", "connect_timeout", "tries")
    return {
        "base_url": fields.base_url,
        "api_key": fields.api_key,
        "quota": quota,
        **{name: extras[name] for name in names if name in extras},
    }
