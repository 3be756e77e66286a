"""The admin side under ``/__sandbox__/``: every setting and change of the data, as JSON over HTTP.

It needs no key, and serves only clients on the same machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_talkpilot.sandbox.api.state import State
from airflow_provider_talkpilot.sandbox.api.webhooks import deliver
from airflow_provider_talkpilot.sandbox.settings import ApiKey

PREFIX = "/__sandbox__"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_HOUSEKEEPING = ("empty_trash", "auto_delete_done_calls", "purge_by_retention")
_ACTIONS = ("edit", "score", "purge", "soft_delete", "restore", "erase")

# Path parameters and the fields of the body, by name.
Given = dict[str, Any]
Handler = Callable[[State, Given], Any]


def _patch_settings(state: State, given: Given) -> Any:
    state.settings.patch(**given)
    return state.settings.model_dump(mode="json")


def _put_key(state: State, given: Given) -> Any:
    name = given.pop("key")
    key = state.settings.api_keys[name] = ApiKey.model_validate(given)
    return key.model_dump(mode="json")


def _delete_key(state: State, given: Given) -> Any:
    del state.settings.api_keys[given["key"]]


def _reset(state: State, given: Given) -> Any:
    state.reset(**given)
    return {"agents": state.store.agent_ids, "calls": len(state.store)}


def _truth(state: State, given: Given) -> Any:
    return state.store.truth(given["start"], given["end"], given.get("agent_id"))


def _change_call(state: State, given: Given) -> Any:
    action = _one_of(_ACTIONS, given.pop("action"))
    return {"updated_at": getattr(state.store, action)(**given)}


def _change_calls(state: State, given: Given) -> Any:
    action = _one_of(_HOUSEKEEPING, given.pop("action"))
    return {"ids": getattr(state.store, action)(**given)}


def _one_of(actions: tuple[str, ...], action: str) -> str:
    if action not in actions:
        raise ValueError(f"unknown action {action!r}: use one of {', '.join(actions)}")
    return action


_ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", "/", "this list", lambda state, given: _list_routes()),
    ("GET", "/settings", "all settings",
     lambda state, given: state.settings.model_dump(mode="json")),
    ("PATCH", "/settings", "change settings", _patch_settings),
    ("PUT", "/keys/{key}", "add or replace a key", _put_key),
    ("DELETE", "/keys/{key}", "remove a key", _delete_key),
    ("GET", "/counters", "requests by kind, in all and per key",
     lambda state, given: {
         "counts": state.counters.counts, "by_key": state.counters.by_prefix()
     }),
    ("DELETE", "/counters", "set counters to zero and empty the log",
     lambda state, given: state.counters.reset()),
    ("GET", "/requests", "log of requests, oldest first",
     lambda state, given: [asdict(request) for request in state.counters.requests]),
    ("GET", "/faults", "faults that are waiting",
     lambda state, given: [fault.model_dump() for fault in state.faults.waiting]),
    ("POST", "/faults", "add a fault: {fault, kind, times, after, …}",
     lambda state, given: state.faults.add(**given).model_dump()),
    ("DELETE", "/faults", "drop all faults", lambda state, given: state.faults.clear()),
    ("GET", "/scripts", "changes that are waiting",
     lambda state, given: [script.model_dump() for script in state.scripts.waiting]),
    ("POST", "/scripts", "add a change: {action, after, kind, and the action's arguments}",
     lambda state, given: state.scripts.add(**given).model_dump()),
    ("DELETE", "/scripts", "drop all changes", lambda state, given: state.scripts.clear()),
    ("POST", "/spend", "use up quota as other software would: {key, requests}",
     lambda state, given: state.limiter.spend(**given)),
    ("POST", "/reset", "make new data, forget everything else; body: settings", _reset),
    ("GET", "/truth", "details in [start, end): ?start=&end=&agent_id=&agent_id=", _truth),
    ("POST", "/webhooks", "send webhooks: {start, end, agent_ids, clients}",
     lambda state, given: [delivery._asdict() for delivery in deliver(state, **given)]),
    ("POST", "/agents", "add an agent; body: its fields",
     lambda state, given: {"id": state.store.add_agent(**given)}),
    ("PATCH", "/agents/{agent_id}", "change an agent: {retention_days, …}",
     lambda state, given: {"updated_at": state.store.edit_agent(**given)}),
    ("POST", "/agents/{agent_id}/calls", "add a call: {created_at, …}",
     lambda state, given: {"id": state.store.insert_late(**given)}),
    ("POST", "/calls/{call_id}/{action}", f"change a call: {', '.join(_ACTIONS)}", _change_call),
    ("POST", "/calls/{action}", f"change calls: {', '.join(_HOUSEKEEPING)}", _change_calls),
)  # fmt: skip


def _list_routes() -> dict[str, str]:
    return {f"{method} {PREFIX}{path}": about for method, path, about, _ in _ROUTES}


def _endpoint(state: State, handler: Handler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        content = await request.body()
        query = request.query_params
        try:
            given = json.loads(content) if content else {}
            if not isinstance(given, dict):
                raise TypeError("the body must be a JSON object")
            given |= {**query, **request.path_params}
            if "agent_id" in query:
                given["agent_id"] = query.getlist("agent_id")
            # In a thread: webhooks may go to a server that sends requests to this one.
            result = await run_in_threadpool(handler, state, given)
        except ValidationError as wrong:
            reasons = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong.errors()]
            return JSONResponse({"error": "; ".join(reasons)}, 400)
        except KeyError as missing:
            return JSONResponse({"error": f"not found: {missing}"}, 404)
        except (TypeError, ValueError) as wrong:
            return JSONResponse({"error": str(wrong)}, 400)
        return JSONResponse({} if result is None else result)

    return endpoint


def make_admin(state: State) -> ASGIApp:
    """Create the admin side as an ASGI application.

    :param state: the sandbox's, which the admin side reads and changes.
    """
    routes = [
        Route(PREFIX + path, _endpoint(state, handler), methods=[method])
        for method, path, _, handler in _ROUTES
    ]
    app = Starlette(routes=routes)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        client = request.client.host if request.client else ""
        # The Host header too: a web page must not get in by a name that leads to this machine.
        if client not in _LOOPBACK or request.url.hostname not in _LOOPBACK:
            await JSONResponse({"error": "only from this machine"}, 403)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded
