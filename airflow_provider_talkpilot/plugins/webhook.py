"""The receiver of webhooks, mounted in Airflow's API server.

It has its own authentication, and uses nothing of Airflow's session. It reads the same settings as
the program, from the API server's environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
from functools import cache

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_talkpilot.compat import get_variable
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.storage import parse_uri
from airflow_provider_talkpilot.webhook.app import make_app
from airflow_provider_talkpilot.webhook.settings import (
    STAGING_URI,
    ReceiverSettings,
    SettingsError,
)

log = logging.getLogger(__name__)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to a request (ASGI); with 503 while the settings are wrong."""
    try:
        receiver = await asyncio.to_thread(_receiver)
    except (SettingsError, StagingError) as error:
        log.error("The receiver of webhooks cannot start: %s", error)
        scope["path"] = scope.get("root_path", "")  # it may hold a secret
        await JSONResponse({"error": "not set up"}, 503)(scope, receive, send)
        return
    await receiver(scope, receive, send)


@cache
def _receiver() -> ASGIApp:
    settings = ReceiverSettings.from_environment(os.environ)
    # The DAGs' Variable, unless the environment has another URI.
    uri = os.environ.get(STAGING_URI) or get_variable("talkpilot_staging_uri")
    return make_app(settings, parse_uri(uri or ""))
