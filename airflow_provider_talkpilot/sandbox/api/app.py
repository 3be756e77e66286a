"""The API itself, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import re
from typing import get_args

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_talkpilot.sandbox.api.admin import PREFIX, make_admin
from airflow_provider_talkpilot.sandbox.api.counters import Request, key_prefix
from airflow_provider_talkpilot.sandbox.api.edge import edge_reply
from airflow_provider_talkpilot.sandbox.api.faults import PAYLOAD_FAULTS, Fault, spoil_rows
from airflow_provider_talkpilot.sandbox.api.recordings import is_recording
from airflow_provider_talkpilot.sandbox.api.replies import Reply, error, rate_limited
from airflow_provider_talkpilot.sandbox.api.resources import Resources
from airflow_provider_talkpilot.sandbox.api.state import State
from airflow_provider_talkpilot.sandbox.calls.json_text import to_json
from airflow_provider_talkpilot.sandbox.eras import BasePath

_BASE_PATHS = get_args(BasePath)
_ROUTES = (
    ("health", re.compile(r"/health")),
    ("agents", re.compile(r"/agents")),
    ("calls", re.compile(r"/agents/([^/]+)/calls")),
    ("detail", re.compile(r"/agents/([^/]+)/calls/([^/]+)")),
    ("performance", re.compile(r"/agents/([^/]+)/performance")),
    ("performance_detail", re.compile(r"/agents/([^/]+)/performance/([^/]+)")),
)


def make_app(state: State) -> ASGIApp:
    """Create the whole sandbox as one ASGI application: API, recordings and admin side.

    :param state: the sandbox's.
    """
    api, admin = TalkPilotApi(state), make_admin(state)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        on_storage = (scope.get("server") or ("", None))[1] == state.storage_port
        if scope["path"].startswith(PREFIX) and not on_storage:
            await admin(scope, receive, send)
        else:
            await api(scope, receive, send)

    return app


class TalkPilotApi:
    """Responds like ``https://api.talkpilot.io``: the API and the recordings."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._resources = Resources(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request, count and log it, and make the scripted changes."""
        state = self._state
        headers = Headers(scope=scope)
        key = headers.get("x-api-key")
        kind, ids = self._route(scope)
        count = state.counters.begin(kind, key)
        fault = None
        try:
            if state.before_request is not None:
                state.before_request(kind, count)
            if state.settings.latency_seconds > 0:
                await asyncio.sleep(state.settings.latency_seconds)
            fault = state.faults.take(kind)
            if fault is not None and fault.fault == "slow":
                await asyncio.sleep(fault.seconds)
            reply = edge_reply(fault, scope["path"])
            if reply is None:
                reply = self._limited(kind, ids, key, scope, fault)
                if reply.status == 200:
                    if fault is None or fault.fault not in PAYLOAD_FAULTS:
                        fault = state.faults.take_payload(kind) or fault
                    reply = _spoil(fault, reply)
            state.scripts.responded(kind, state.store)
        except Exception as failure:  # noqa: BLE001 - the author of a hook or script must see it
            reply = error(500, f"The sandbox failed: {type(failure).__name__}: {failure}")
        request = Request(
            kind=kind,
            method=scope["method"],
            host=headers.get("host", ""),
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            status=reply.status,
            key_prefix=key_prefix(key),
            fault=None if fault is None else fault.fault,
        )
        state.counters.end(request, key)
        await reply.send(send)

    def _route(self, scope: Scope) -> tuple[str, tuple[str, ...]]:
        path = scope["path"]
        port = (scope.get("server") or ("", None))[1]
        if self._state.storage_port in (None, port):
            if is_recording(path) and scope["method"] == "GET":
                return "audio", (path,)
            if self._state.storage_port is not None:
                return "other", ()
        base = next((base for base in _BASE_PATHS if path.startswith(base + "/")), None)
        if base is not None and scope["method"] == "GET":
            for kind, pattern in _ROUTES:
                match = pattern.fullmatch(path, len(base))
                if match:
                    return kind, match.groups()
        return "other", ()

    def _limited(
        self, kind: str, ids: tuple[str, ...], key: str | None, scope: Scope, fault: Fault | None
    ) -> Reply:
        """Count the request against the key's quota and respond to it."""
        if kind == "audio" or (kind == "health" and key is None):
            return self._respond(kind, ids, key, scope, fault)
        verdict = self._state.limiter.check(key or "")
        if verdict.retry_after is not None:
            override = self._state.settings.retry_after_override
            reply = rate_limited(verdict.retry_after if override is None else override)
        else:
            reply = self._respond(kind, ids, key, scope, fault)
        reply.headers = {**verdict.headers, **reply.headers}
        return reply

    def _respond(
        self, kind: str, ids: tuple[str, ...], key: str | None, scope: Scope, fault: Fault | None
    ) -> Reply:
        if fault is not None:
            if fault.fault == "status":
                return error(fault.status or 500, "Something went wrong")
            if fault.fault == "conflict":
                return error(409, "Conflict with the current state")
            if fault.fault == "rate_limited":
                return rate_limited(fault.retry_after)
        return self._resources.reply(kind, ids, key, scope)


def _spoil(fault: Fault | None, reply: Reply) -> Reply:
    """Apply a fault that spoils a good response."""
    if fault is None:
        return reply
    if fault.fault == "cut":
        reply.cut = True
    elif fault.fault == "bad_json":
        reply.body = reply.body[: len(reply.body) // 2]
    elif fault.fault in PAYLOAD_FAULTS:
        reply.body = to_json(spoil_rows(fault, json.loads(reply.body)))
    return reply
