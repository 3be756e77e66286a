"""Runs the sandbox in a thread of this process, on a loopback port."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from typing import Any, Self

import uvicorn

from airflow_provider_talkpilot.sandbox.api.app import make_app
from airflow_provider_talkpilot.sandbox.api.counters import Request
from airflow_provider_talkpilot.sandbox.api.faults import Faults
from airflow_provider_talkpilot.sandbox.api.scripts import Scripts
from airflow_provider_talkpilot.sandbox.api.state import State
from airflow_provider_talkpilot.sandbox.api.webhooks import Delivery, deliver
from airflow_provider_talkpilot.sandbox.calls.store import CallStore
from airflow_provider_talkpilot.sandbox.calls.times import Moment
from airflow_provider_talkpilot.sandbox.emulators.processes import HOST, bind
from airflow_provider_talkpilot.sandbox.emulators.service import Service
from airflow_provider_talkpilot.sandbox.settings import ApiKey, SandboxSettings, fake_api_key

_START_SECONDS = 20
_STOP_SECONDS = 10


class Sandbox(Service):
    """A TalkPilot on this machine.

    >>> with Sandbox(days=1, requests_per_minute=None) as sandbox:
    ...     call, *_ = sandbox.store.truth("2026-03-16", "2026-03-17")
    ...     sandbox.store.purge(call["id"])

    :param settings: how it behaves; None takes the defaults.
    :param port: port of the API; 0 chooses a free one.
    :param changes: fields of :class:`SandboxSettings`; they change ``settings``.
    """

    def __init__(
        self, settings: SandboxSettings | None = None, *, port: int = 0, **changes: Any
    ) -> None:
        if settings is None:
            settings = SandboxSettings(**changes)
        elif changes:
            settings.patch(**changes)
        self.state = State(settings)
        self._port = port
        self._sockets: list[socket.socket] = []
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start serving; return when requests get responses.

        :raises OSError: when the port is in use.
        """
        if self._thread is not None:
            raise RuntimeError("the sandbox runs already")
        self._sockets = [bind(self._port)]
        try:
            self._sockets.append(bind())
        except OSError:
            self._close_sockets()
            raise
        storage_port = self._sockets[1].getsockname()[1]
        self.state.storage_port = storage_port
        self.state.storage_url = f"http://{HOST}:{storage_port}"
        config = uvicorn.Config(
            make_app(self.state),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": self._sockets},
            name="talkpilot-sandbox",
            daemon=True,
        )
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            self.stop()
            raise RuntimeError(f"the sandbox did not start within {_START_SECONDS} seconds")
        return self

    def stop(self) -> None:
        """Stop serving and close the ports; may be called twice."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        self._close_sockets()
        self._server = self._thread = None

    def _close_sockets(self) -> None:
        for bound in self._sockets:
            bound.close()
        self._sockets = []

    # Addresses and keys

    @property
    def port(self) -> int:
        """Port of the API."""
        if not self._sockets:
            raise RuntimeError("the sandbox is not running")
        return int(self._sockets[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        """The API's base URL, with the path of the era."""
        return f"http://{HOST}:{self.port}{self.settings.switches.base_path}"

    @property
    def admin_url(self) -> str:
        """The admin side, without a slash at the end."""
        return f"http://{HOST}:{self.port}/__sandbox__"

    @property
    def storage_url(self) -> str:
        """The host that serves recordings, on another port; the API key must not go there."""
        return self.state.storage_url or ""

    @property
    def api_key(self) -> str:
        """The first key (made up, in TalkPilot's shape)."""
        return next(iter(self.settings.api_keys))

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection to the sandbox, in the fields of a JSON connection."""
        connection = {"conn_type": "talkpilot", "host": self.base_url, "password": self.api_key}
        # A client counts on minutes and hours: it must know if they are shorter.
        lengths = {"minute_seconds": 60.0, "hour_seconds": 3600.0}
        settings = {name: getattr(self.settings, name) for name in lengths}
        return connection | ({} if settings == lengths else {"extra": settings})

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which Airflow uses the sandbox."""
        return {"AIRFLOW_CONN_TALKPILOT_DEFAULT": json.dumps(self.connection)}

    def add_key(self, name: str = "other", **rights: Any) -> str:
        """Add a made-up key.

        :param name: the same name makes the same key.
        :param rights: fields of :class:`ApiKey`.
        :returns: the key.
        """
        key = fake_api_key(name)
        self.settings.api_keys[key] = ApiKey(**rights)
        return key

    # Settings, data, faults and requests

    @property
    def settings(self) -> SandboxSettings:
        """The settings; an assignment takes effect at the next request."""
        return self.state.settings

    @property
    def store(self) -> CallStore:
        """Agents and calls."""
        return self.state.store

    @property
    def faults(self) -> Faults:
        """Faults of the next requests: ``faults.add("status", kind="detail", status=503)``."""
        return self.state.faults

    @property
    def scripts(self) -> Scripts:
        """Changes between the next requests: ``scripts.add("erase", after=1, call_id=…)``."""
        return self.state.scripts

    @property
    def counters(self) -> Counter[str]:
        """A copy of the counts: of each kind of request, and of refused ones and faults."""
        return self.state.counters.counts

    def counters_of(self, key: str | None) -> Counter[str]:
        """Return the counts of one key; None is "no key"."""
        return self.state.counters.of_key(key)

    @property
    def requests(self) -> list[Request]:
        """A copy of the log of requests, oldest first (bounded)."""
        return self.state.counters.requests

    def reset_counters(self) -> None:
        """Set the counters to zero and empty the log; spent quota stays spent."""
        self.state.counters.reset()

    def reset_quota(self) -> None:
        """Give every key its whole quota back."""
        self.state.limiter.reset()

    def spend(self, requests: int, key: str | None = None) -> None:
        """Use up quota, as other software with the same key would."""
        self.state.limiter.spend(key or self.api_key, requests)

    def reset(self, **changes: Any) -> None:
        """Make new data and forget everything else; ``changes`` are settings."""
        self.state.reset(**changes)

    def deliver_webhooks(
        self, start: Moment, end: Moment, agent_ids: list[str] | None = None, *, clients: int = 4
    ) -> list[Delivery]:
        """See :func:`deliver`: send the webhooks of the calls that start in ``[start, end)``."""
        return deliver(self.state, start, end, agent_ids, clients=clients)


class _Server(uvicorn.Server):
    """A server with an event for its start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        await super().startup(sockets=sockets)
        self.ready.set()
