"""The API itself, as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import re

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_talkpilot.sandbox.admin import PREFIX, make_admin
from airflow_provider_talkpilot.sandbox.counters import Request, key_prefix
from airflow_provider_talkpilot.sandbox.data import Row
from airflow_provider_talkpilot.sandbox.faults import PAYLOAD_FAULTS, Fault, spoil_rows
from airflow_provider_talkpilot.sandbox.json_text import to_json
from airflow_provider_talkpilot.sandbox.query import (
    InvalidQueryError,
    Paging,
    check_uuids,
    read_calls_query,
    read_paging,
)
from airflow_provider_talkpilot.sandbox.recordings import recording, recording_url
from airflow_provider_talkpilot.sandbox.replies import EDGE_PAGE, HTML, Reply, error, rate_limited
from airflow_provider_talkpilot.sandbox.settings import ApiKey
from airflow_provider_talkpilot.sandbox.state import State
from airflow_provider_talkpilot.sandbox.times import to_iso

BASE_PATH = "/functions/v1/api/v1"
STORAGE_PATH = "/storage/v1/object/sign/call-recordings/"

_ROUTES = (
    ("health", re.compile(r"/health")),
    ("agents", re.compile(r"/agents")),
    ("calls", re.compile(r"/agents/([^/]+)/calls")),
    ("detail", re.compile(r"/agents/([^/]+)/calls/([^/]+)")),
)
_PERMISSIONS = {"agents": "agents:read", "calls": "calls:read", "detail": "calls:read"}


class _RefusedError(Exception):
    """Ends the handling of a request with an answer."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def make_app(state: State) -> ASGIApp:
    """The whole sandbox as one ASGI application: API, recordings and admin side.

    :param state: what it serves and is steered by.
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
    """Answers like ``https://{project_ref}.supabase.co``: the API and the signed recordings."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: count it, hook, answer, log it, make the scripted changes."""
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
            reply = self._edge(fault, scope["path"])
            if reply is None:
                reply = self._limited(kind, ids, key, scope, fault)
                if reply.status == 200:
                    if fault is None or fault.fault not in PAYLOAD_FAULTS:
                        fault = state.faults.take_payload(kind) or fault
                    reply = _spoil(fault, reply)
            state.scripts.answered(kind, state.store)
        except Exception as failure:  # noqa: BLE001 - a wrong hook or script must be seen by who wrote it
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
            if path.startswith(STORAGE_PATH) and scope["method"] == "GET":
                return "audio", (path[len(STORAGE_PATH) :],)
            if self._state.storage_port is not None:
                return "other", ()
        if path.startswith(BASE_PATH) and scope["method"] == "GET":
            for kind, pattern in _ROUTES:
                match = pattern.fullmatch(path, len(BASE_PATH))
                if match:
                    return kind, match.groups()
        return "other", ()

    def _edge(self, fault: Fault | None, path: str) -> Reply | None:
        """What the edge answers without asking the API, if it does."""
        match fault:
            case Fault(fault="status", body="html"):
                return Reply(EDGE_PAGE, fault.status or 500, HTML)
            case Fault(fault="status", body="empty"):
                return Reply(b"", fault.status or 500, "text/plain")
            case Fault(fault="redirect"):
                location = fault.location or f"{path}/moved"
                return Reply(b"", fault.status or 302, "text/plain", {"Location": location})
            case Fault(fault="html"):
                return Reply(EDGE_PAGE, 200, HTML)
            case Fault(fault="empty"):
                return Reply(b"", 200)
        return None

    def _limited(
        self, kind: str, ids: tuple[str, ...], key: str | None, scope: Scope, fault: Fault | None
    ) -> Reply:
        """Count the request against the key's quota and answer it."""
        if kind == "audio" or (kind == "health" and key is None):
            return self._answer(kind, ids, key, scope, fault)
        verdict = self._state.limiter.check(key or "")
        if verdict.retry_after is not None:
            override = self._state.settings.retry_after_override
            reply = rate_limited(verdict.retry_after if override is None else override)
        else:
            reply = self._answer(kind, ids, key, scope, fault)
        reply.headers = {**verdict.headers, **reply.headers}
        return reply

    def _answer(
        self, kind: str, ids: tuple[str, ...], key: str | None, scope: Scope, fault: Fault | None
    ) -> Reply:
        if fault is not None:
            if fault.fault == "status":
                return error(fault.status or 500, "Something went wrong")
            if fault.fault == "conflict":
                return error(409, "Conflict with the current state")
            if fault.fault == "rate_limited":
                return rate_limited(fault.retry_after)
        query = QueryParams(scope["query_string"])
        try:
            if kind == "health":
                return self._health()
            if kind == "audio":
                return self._recording(ids[0], query.get("token", ""))
            rights = self._authorize(kind, key)
            if kind == "agents":
                return self._agents(rights, query)
            if kind == "calls":
                return self._calls(rights, ids[0], query)
            if kind == "detail":
                return self._detail(rights, ids[0], ids[1], scope)
            return error(404, "Route not found")
        except _RefusedError as refused:
            return refused.reply
        except InvalidQueryError as invalid:
            return error(400, str(invalid), details=invalid.details)

    def _authorize(self, kind: str, key: str | None) -> ApiKey:
        if not key:
            raise _RefusedError(error(401, "Missing API key: send it in the header X-API-Key"))
        rights = self._state.settings.api_keys.get(key)
        if rights is None or not rights.is_valid(self._state.clock()):
            raise _RefusedError(error(401, "Invalid, inactive or expired API key"))
        permission = _PERMISSIONS.get(kind)
        if permission is not None and permission not in rights.permissions:
            raise _RefusedError(error(403, f"Missing required permission: {permission}"))
        return rights

    def _check_agent(self, rights: ApiKey, agent_id: str) -> None:
        if not self._state.store.has_agent(agent_id):
            raise _RefusedError(error(404, "Agent not found"))
        allowed = rights.allowed_agent_ids
        if allowed is None or agent_id.lower() in {one.lower() for one in allowed}:
            return
        if self._state.settings.switches.hidden_agent_status == 404:
            # Like one that does not exist: a key cannot learn which other agents there are.
            raise _RefusedError(error(404, "Agent not found"))
        message = "API key has no access to this agent"
        raise _RefusedError(error(403, message, code="AGENT_NOT_ACCESSIBLE"))

    def _health(self) -> Reply:
        now = to_iso(int(self._state.clock() * 1000) * 1000)
        return Reply(to_json({"status": "ok", "version": "1.0.0", "timestamp": now}))

    def _agents(self, rights: ApiKey, query: QueryParams) -> Reply:
        paging = read_paging(query)
        agents = self._state.store.agents
        if rights.allowed_agent_ids is not None:
            allowed = {one.lower() for one in rights.allowed_agent_ids}
            agents = [agent for agent in agents if agent["id"].lower() in allowed]
        rows = agents[paging.offset : paging.offset + paging.limit]
        return self._page([to_json(row) for row in rows], paging, len(agents))

    def _calls(self, rights: ApiKey, agent_id: str, query: QueryParams) -> Reply:
        check_uuids(agentId=agent_id)
        settings, store = self._state.settings, self._state.store
        asked = read_calls_query(query, false_lists_null=settings.false_lists_null)
        self._check_agent(rights, agent_id)
        ordinals, total = store.page(
            agent_id,
            after=None
            if asked.after is None
            else (asked.after, settings.from_bound == "inclusive"),
            before=None
            if asked.before is None
            else (asked.before, settings.to_bound == "inclusive"),
            include_deleted=asked.include_deleted,
            keep=asked.keep,
            offset=asked.paging.offset,
            limit=asked.paging.limit,
        )
        if settings.list_has_updated_at and not settings.extra_list_fields:
            rows = [store.list_json(ordinal) for ordinal in ordinals]
        else:
            rows = [to_json(self._shape_list_row(store.list_row(n))) for n in ordinals]
        return self._page(rows, asked.paging, total)

    def _shape_list_row(self, row: Row) -> Row:
        settings = self._state.settings
        if not settings.list_has_updated_at:
            del row["updated_at"]
        return {**row, **settings.extra_list_fields}

    def _page(self, rows: list[bytes], paging: Paging, total: int) -> Reply:
        pages = -(-total // paging.limit) if total else self._state.settings.empty_pages
        pagination = {"page": paging.page, "limit": paging.limit, "total": total, "pages": pages}
        return Reply(
            b'{"data":[' + b",".join(rows) + b'],"pagination":' + to_json(pagination) + b"}"
        )

    def _detail(self, rights: ApiKey, agent_id: str, call_id: str, scope: Scope) -> Reply:
        check_uuids(agentId=agent_id, callId=call_id)
        self._check_agent(rights, agent_id)
        settings, store = self._state.settings, self._state.store
        ordinal = store.find(call_id, agent_id)
        if ordinal is None:
            return error(404, "Call not found")
        row = store.detail(ordinal)
        if row["is_purged"]:
            row["audio_file_url"] = None
        elif "audio_file_url" not in row:
            host = self._state.storage_url or f"http://{Headers(scope=scope).get('host', '')}"
            expires = int(self._state.clock() + settings.audio_url_seconds)
            row["audio_file_url"] = host + STORAGE_PATH + recording_url(row["id"], expires)
        if not settings.detail_has_updated_at:
            del row["updated_at"]
        return Reply(to_json({**row, **settings.extra_detail_fields}))

    def _recording(self, name: str, token: str) -> Reply:
        return recording(self._state.store, name, token, self._state.clock())


def _spoil(fault: Fault | None, reply: Reply) -> Reply:
    """Apply a fault that spoils a good answer."""
    if fault is None:
        return reply
    if fault.fault == "cut":
        reply.cut = True
    elif fault.fault == "bad_json":
        reply.body = reply.body[: len(reply.body) // 2]
    elif fault.fault in PAYLOAD_FAULTS:
        reply.body = to_json(spoil_rows(fault, json.loads(reply.body)))
    return reply
