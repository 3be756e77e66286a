"""The admin side under ``/__sandbox__/``: every switch and mutator as JSON over HTTP.

It needs no key, and responds only to callers on the same machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_talkpilot.sandbox.faults import Fault
from airflow_provider_talkpilot.sandbox.scripts import Script
from airflow_provider_talkpilot.sandbox.settings import ApiKey
from airflow_provider_talkpilot.sandbox.state import State
from airflow_provider_talkpilot.sandbox.webhooks import deliver

PREFIX = "/__sandbox__"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_HOUSEKEEPING = ("empty_trash", "auto_delete_done_calls", "purge_by_retention")
_ACTIONS = ("edit", "score", "purge", "soft_delete", "restore", "erase")

Handler = Callable[[State, Request, dict[str, Any]], Any]


def _index(state: State, request: Request, body: dict[str, Any]) -> Any:
    return {f"{' '.join(methods)} {PREFIX}{path}": help_ for path, methods, _, help_ in _ROUTES}


def _get_settings(state: State, request: Request, body: dict[str, Any]) -> Any:
    return state.settings.model_dump(mode="json")


def _patch_settings(state: State, request: Request, body: dict[str, Any]) -> Any:
    state.settings.patch(**body)
    return _get_settings(state, request, body)


def _put_key(state: State, request: Request, body: dict[str, Any]) -> Any:
    key = ApiKey.model_validate(body)
    state.settings.api_keys[request.path_params["key"]] = key
    return key.model_dump(mode="json")


def _delete_key(state: State, request: Request, body: dict[str, Any]) -> Any:
    del state.settings.api_keys[request.path_params["key"]]


def _get_counters(state: State, request: Request, body: dict[str, Any]) -> Any:
    return {"counts": dict(state.counters.counts), "by_key": state.counters.by_prefix()}


def _reset_counters(state: State, request: Request, body: dict[str, Any]) -> Any:
    state.counters.reset()


def _get_requests(state: State, request: Request, body: dict[str, Any]) -> Any:
    return [one.to_dict() for one in state.counters.requests]


def _get_faults(state: State, request: Request, body: dict[str, Any]) -> Any:
    return [fault.model_dump() for fault in state.faults.waiting]


def _add_fault(state: State, request: Request, body: dict[str, Any]) -> Any:
    return state.faults.add(Fault.model_validate(body)).model_dump()


def _clear_faults(state: State, request: Request, body: dict[str, Any]) -> Any:
    state.faults.clear()


def _get_scripts(state: State, request: Request, body: dict[str, Any]) -> Any:
    return [script.model_dump() for script in state.scripts.waiting]


def _add_script(state: State, request: Request, body: dict[str, Any]) -> Any:
    return state.scripts.add_script(Script.model_validate(body)).model_dump()


def _clear_scripts(state: State, request: Request, body: dict[str, Any]) -> Any:
    state.scripts.clear()


def _spend(state: State, request: Request, body: dict[str, Any]) -> Any:
    state.limiter.spend(**body)


def _reset(state: State, request: Request, body: dict[str, Any]) -> Any:
    state.reset(**body)
    return {"agents": state.store.agent_ids, "calls": len(state.store)}


def _truth(state: State, request: Request, body: dict[str, Any]) -> Any:
    query = request.query_params
    agent_ids = query.getlist("agent_id") or None
    return state.store.truth(query["start"], query["end"], agent_ids)


def _deliver(state: State, request: Request, body: dict[str, Any]) -> Any:
    return [delivery._asdict() for delivery in deliver(state, **body)]


def _add_agent(state: State, request: Request, body: dict[str, Any]) -> Any:
    return {"id": state.store.add_agent(**body)}


def _edit_agent(state: State, request: Request, body: dict[str, Any]) -> Any:
    return {"updated_at": state.store.edit_agent(request.path_params["agent_id"], **body)}


def _keep_house(state: State, request: Request, body: dict[str, Any]) -> Any:
    action = _one_of(_HOUSEKEEPING, request.path_params["action"])
    return {"ids": getattr(state.store, action)(**body)}


def _insert_late(state: State, request: Request, body: dict[str, Any]) -> Any:
    return {"id": state.store.insert_late(request.path_params["agent_id"], **body)}


def _mutate(state: State, request: Request, body: dict[str, Any]) -> Any:
    action = _one_of(_ACTIONS, request.path_params["action"])
    updated_at = getattr(state.store, action)(request.path_params["call_id"], **body)
    return {"updated_at": updated_at}


def _one_of(actions: tuple[str, ...], action: str) -> str:
    if action not in actions:
        raise ValueError(f"unknown action {action!r}: use one of {', '.join(actions)}")
    return action


_ROUTES: tuple[tuple[str, tuple[str, ...], Handler, str], ...] = (
    ("/", ("GET",), _index, "this list"),
    ("/settings", ("GET",), _get_settings, "all settings"),
    ("/settings", ("PATCH",), _patch_settings, "change settings"),
    ("/keys/{key}", ("PUT",), _put_key, "add or replace a key"),
    ("/keys/{key}", ("DELETE",), _delete_key, "remove a key"),
    ("/counters", ("GET",), _get_counters, "requests by kind, in all and per key"),
    ("/counters", ("DELETE",), _reset_counters, "counters and log back to zero"),
    ("/requests", ("GET",), _get_requests, "log of requests, oldest first"),
    ("/faults", ("GET",), _get_faults, "faults that are waiting"),
    ("/faults", ("POST",), _add_fault, "add a fault: {fault, kind, times, after, …}"),
    ("/faults", ("DELETE",), _clear_faults, "drop all faults"),
    ("/scripts", ("GET",), _get_scripts, "changes that are waiting"),
    ("/scripts", ("POST",), _add_script, "add a change: {action, after, kind, arguments}"),
    ("/scripts", ("DELETE",), _clear_scripts, "drop all changes"),
    ("/spend", ("POST",), _spend, "use up quota as other software would: {key, requests}"),
    ("/reset", ("POST",), _reset, "new data, everything else forgotten; body: settings"),
    ("/truth", ("GET",), _truth, "details in [start, end): ?start=&end=&agent_id=&agent_id="),
    ("/webhooks", ("POST",), _deliver, "send webhooks: {start, end, agent_ids, clients}"),
    ("/agents", ("POST",), _add_agent, "add an agent; body: its fields"),
    ("/agents/{agent_id}", ("PATCH",), _edit_agent, "change an agent: {retention_days, …}"),
    ("/agents/{agent_id}/calls", ("POST",), _insert_late, "add a call: {created_at, …}"),
    ("/calls/{call_id}/{action}", ("POST",), _mutate, f"change a call: {', '.join(_ACTIONS)}"),
    ("/calls/{action}", ("POST",), _keep_house, f"change calls: {', '.join(_HOUSEKEEPING)}"),
)


def _endpoint(state: State, handler: Handler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        content = await request.body()
        try:
            body = json.loads(content) if content else {}
            if not isinstance(body, dict):
                raise TypeError("the body must be a JSON object")
            # Not here: webhooks may go to a server that requests something of this one.
            result = await run_in_threadpool(handler, state, request, body)
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
    """The admin side as an ASGI application.

    :param state: what it steers.
    """
    routes = [
        Route(PREFIX + path, _endpoint(state, handler), methods=list(methods))
        for path, methods, handler, _ in _ROUTES
    ]
    app = Starlette(routes=routes)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        client = request.client.host if request.client else ""
        # The Host header too: a web page must not reach in by a name that it points here.
        if client not in _LOOPBACK or request.url.hostname not in _LOOPBACK:
            await JSONResponse({"error": "only from this machine"}, 403)(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded
