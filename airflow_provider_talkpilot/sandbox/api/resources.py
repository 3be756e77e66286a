"""Responds with agents, calls, performance records and recordings, to keys that may read them."""

from __future__ import annotations

from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope

from airflow_provider_talkpilot.sandbox.api.query import (
    InvalidQueryError,
    Paging,
    check_uuids,
    read_query,
)
from airflow_provider_talkpilot.sandbox.api.recordings import recording, signed_path, stored_path
from airflow_provider_talkpilot.sandbox.api.replies import Reply, error
from airflow_provider_talkpilot.sandbox.api.state import State
from airflow_provider_talkpilot.sandbox.api.wire import (
    is_plain,
    shape_detail,
    shape_list_row,
    with_moments,
)
from airflow_provider_talkpilot.sandbox.calls.agent_calls import Bound
from airflow_provider_talkpilot.sandbox.calls.json_text import to_json
from airflow_provider_talkpilot.sandbox.calls.times import Micros, to_iso
from airflow_provider_talkpilot.sandbox.settings import ApiKey

_RECORDS = ("performance", "performance_detail")
_DEPLOYMENT = {
    "commit": "5f2a9c1e7b3d4086a1c2e3f405162738495a6b7c",
    "deployed_at": "2026-09-14T08:30:00.000Z",
}
_PERMISSIONS = {
    "agents": "agents:read",
    "calls": "calls:read",
    "detail": "calls:read",
    "performance": "performance:read",
    "performance_detail": "performance:read",
}


class _RefusedError(Exception):
    """Ends the handling of a request with a response."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class Resources:
    """Responds to requests that neither the edge, nor a limit, nor a fault stopped.

    :param state: the sandbox's.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def reply(self, kind: str, ids: tuple[str, ...], key: str | None, scope: Scope) -> Reply:
        """Respond to one request.

        :param kind: which resource it requests, as the counters name it.
        :param ids: of agent and call, as the path has them; of a recording, the path.
        :param key: the API key in its header, if any.
        :param scope: the request.
        """
        query = QueryParams(scope["query_string"])
        try:
            if kind == "health":
                return self._health()
            if kind == "audio":
                return self._recording(ids[0], query.get("token", ""))
            if kind in _RECORDS and not self._state.settings.switches.performance_records:
                kind = "other"
            rights = self._authorize(kind, key)
            if kind == "agents":
                return self._agents(rights, query)
            if kind == "calls":
                return self._calls(rights, ids[0], query)
            if kind == "detail":
                return self._detail(rights, ids[0], ids[1], scope)
            if kind == "performance":
                return self._records(rights, ids[0], query)
            if kind == "performance_detail":
                return self._record(rights, ids[0], ids[1])
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
            # As for an agent that does not exist: a key cannot learn which others do.
            raise _RefusedError(error(404, "Agent not found"))
        message = "API key has no access to this agent"
        raise _RefusedError(error(403, message, code="AGENT_NOT_ACCESSIBLE"))

    def _health(self) -> Reply:
        now = to_iso(int(self._state.clock() * 1000) * 1000)
        health = {"status": "ok", "version": "1.0.0", "timestamp": now}
        if self._state.settings.switches.full_health:
            health |= _DEPLOYMENT
        return Reply(to_json(health))

    def _agents(self, rights: ApiKey, query: QueryParams) -> Reply:
        paging = read_query(query).paging
        agents = self._state.store.agents
        if rights.allowed_agent_ids is not None:
            allowed = {one.lower() for one in rights.allowed_agent_ids}
            agents = [agent for agent in agents if agent["id"].lower() in allowed]
        rows = agents[paging.offset : paging.offset + paging.limit]
        return self._page([to_json(row) for row in rows], paging, len(agents))

    def _calls(self, rights: ApiKey, agent_id: str, query: QueryParams) -> Reply:
        check_uuids(agentId=agent_id)
        settings, store = self._state.settings, self._state.store
        wanted = read_query(query)
        self._check_agent(rights, agent_id)
        after, before = self._bounds(wanted.after, wanted.before)
        ordinals, total = store.page(
            agent_id,
            after=after,
            before=before,
            include_deleted=wanted.include_deleted,
            keep=wanted.filter(false_lists_null=settings.false_lists_null),
            offset=wanted.paging.offset,
            limit=wanted.paging.limit,
        )
        if is_plain(settings):
            rows = [store.list_json(ordinal) for ordinal in ordinals]
        else:
            rows = [to_json(shape_list_row(store.list_row(n), settings)) for n in ordinals]
        return self._page(rows, wanted.paging, total)

    def _bounds(self, after: Micros | None, before: Micros | None) -> tuple[Bound, Bound]:
        settings = self._state.settings
        return (
            None if after is None else (after, settings.from_bound == "inclusive"),
            None if before is None else (before, settings.to_bound == "inclusive"),
        )

    def _records(self, rights: ApiKey, agent_id: str, query: QueryParams) -> Reply:
        check_uuids(agentId=agent_id)
        wanted = read_query(query)
        self._check_agent(rights, agent_id)
        store, form = self._state.store, self._state.settings.moment_form
        lowest, highest = self._bounds(wanted.after, wanted.before)
        ordinals, total = store.page(
            agent_id,
            after=lowest,
            before=highest,
            include_deleted=True,
            offset=wanted.paging.offset,
            limit=wanted.paging.limit,
        )
        rows = [to_json(with_moments(store.performance(n), form)) for n in ordinals]
        return self._page(rows, wanted.paging, total)

    def _record(self, rights: ApiKey, agent_id: str, record_id: str) -> Reply:
        check_uuids(agentId=agent_id, statisticId=record_id)
        self._check_agent(rights, agent_id)
        store = self._state.store
        ordinal = store.find_record(record_id, agent_id)
        if ordinal is None:
            return error(404, "Performance record not found")
        record = store.performance(ordinal, with_transcript=True)
        return Reply(to_json(with_moments(record, self._state.settings.moment_form)))

    def _page(self, rows: list[bytes], paging: Paging, total: int) -> Reply:
        settings = self._state.settings
        if settings.beyond_end != 200 and not rows and paging.page > 1:
            return error(settings.beyond_end, "Requested range not satisfiable")
        pages = -(-total // paging.limit)
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
            if settings.switches.recordings == "stored":
                path = stored_path(row["id"])
            else:
                expires = int(self._state.clock() + settings.audio_url_seconds)
                path = signed_path(row["id"], expires)
            row["audio_file_url"] = host + path
        return Reply(to_json(shape_detail(row, settings)))

    def _recording(self, path: str, token: str) -> Reply:
        state = self._state
        return recording(state.store, state.settings, path, token, state.clock())
