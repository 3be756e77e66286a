"""The receiver as an ASGI application.

docs/webhook.md has the statuses of its responses. Logs and responses have nothing of a delivery,
and not the secret in the address either.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.inbox import Event, EventError
from airflow_provider_talkpilot.webhook.settings import ReceiverSettings

if TYPE_CHECKING:
    from upath import UPath

    from airflow_provider_talkpilot.compat import ObjectStoragePath

log = logging.getLogger(__name__)

MAX_BYTES = 5 * 1024 * 1024
# TalkPilot gives up after ten seconds.
READ_SECONDS, STORE_SECONDS = 8, 8
# How many events are stored at the same time.
THREADS = 32
_NOT_RIGHT = "the secret, the signature or its time is not right"


def make_app(
    settings: ReceiverSettings,
    root: ObjectStoragePath | UPath,
    *,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """Make the application: deliveries at ``/`` or ``/<path secret>``, and ``GET /health``.

    :param settings: who may deliver, and how much.
    :param root: the root of staging; without Airflow, a UPath.
    :param clock: returns Unix time.
    """
    receiver = _Receiver(settings, cast("ObjectStoragePath", root), clock)
    return Starlette(
        routes=[Route("/health", _health, methods=["GET"]), Route("/{given:path}", receiver)]
    )


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


class _Receiver:
    def __init__(
        self, settings: ReceiverSettings, root: ObjectStoragePath, clock: Callable[[], float]
    ) -> None:
        self._settings, self._root, self._clock = settings, root, clock
        self._threads = ThreadPoolExecutor(THREADS, "talkpilot-webhook")
        self._allowance, self._counted_at = float(settings.rate), time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request (ASGI)."""
        request = Request(scope, receive)
        given = request.path_params["given"]
        # The server's access log must not show the secret.
        scope["path"] = scope["path"].removesuffix(given) + ("***" if given else "")
        scope.pop("raw_path", None)
        try:
            await self._take(request, given)
            response = JSONResponse({"received": True})
        except HTTPException as refused:
            status, reason = refused.status_code, refused.detail
            log.warning("A delivery was refused with %d: %s.", status, reason)
            response = JSONResponse({"error": reason}, status, refused.headers)
        except ClientDisconnect:
            log.warning("A delivery was broken off.")
            return
        await response(scope, receive, send)

    async def _take(self, request: Request, given: str) -> None:
        """Check a delivery and store its event.

        :raises HTTPException: when the delivery is refused; its detail has nothing of the content.
        """
        if request.method != "POST":
            raise HTTPException(405, "deliver by POST", {"Allow": "POST"})
        headers, settings = request.headers, self._settings
        if not settings.admits_path(given) or not settings.admits_headers(headers, self._clock()):
            raise HTTPException(401, _NOT_RIGHT)
        if not self._is_within_rate():
            raise HTTPException(429, "too many deliveries", {"Retry-After": "1"})
        body = await _read(request)
        if not settings.admits_body(headers, body):
            raise HTTPException(401, _NOT_RIGHT)
        try:
            stored = asyncio.get_running_loop().run_in_executor(self._threads, self._store, body)
            await asyncio.wait_for(stored, STORE_SECONDS)
        except EventError as error:
            raise HTTPException(400, str(error)) from None
        except (StagingError, TimeoutError) as error:
            # The error's message names the call, so log only its type.
            log.error(
                "Cannot store a delivery (%s): check that %s exists and may be written.",
                *(type(error.__cause__ or error).__name__, self._root),
            )
            raise HTTPException(503, "it cannot be stored now", {"Retry-After": "5"}) from None

    def _store(self, body: bytes) -> None:
        Event.parse(body, datetime.fromtimestamp(self._clock(), UTC)).store(self._root)

    def _is_within_rate(self) -> bool:
        """Whether one more delivery is within the rate; those of a second may come at once."""
        now, rate = time.monotonic(), self._settings.rate
        self._allowance = min(rate, self._allowance + (now - self._counted_at) * rate)
        self._counted_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


async def _read(request: Request) -> bytes:
    """Read the body up to the limit, whatever length its header claims."""
    claimed = request.headers.get("content-length", "")
    if claimed.isdecimal() and int(claimed) > MAX_BYTES:
        raise HTTPException(413, "too large")
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise HTTPException(413, "too large")
    except TimeoutError:
        raise HTTPException(408, "too slow") from None
    return bytes(body)
