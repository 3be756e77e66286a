"""The plugin: the page, the receiver of webhooks, and the rule by which scheduled runs go first."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from airflow_provider_talkpilot.compat import IS_AIRFLOW_3, AirflowPlugin
from airflow_provider_talkpilot.operators.priority import ScheduledFirst
from airflow_provider_talkpilot.webhook.settings import is_configured

PREFIX = "talkpilot"


class LazyApp:
    """A web application, imported at the first request.

    Workers, scheduler and triggerer load plugins too, and do not need it. If the import fails, only
    the application's own addresses fail.

    :param module: the module of this package that has ``app``.
    """

    def __init__(self, module: str) -> None:
        self._module = f"{__package__}.{module}"

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Respond to a request (ASGI)."""
        await import_module(self._module).app(scope, receive, send)


def _apps() -> list[dict[str, Any]]:
    """Return the page, and the receiver of webhooks if the environment has a secret for it."""
    if not IS_AIRFLOW_3:
        return []
    page = {"app": LazyApp("api"), "url_prefix": f"/{PREFIX}", "name": "TalkPilot"}
    receiver = {
        "app": LazyApp("webhook"),
        "url_prefix": f"/{PREFIX}-webhook",
        "name": "TalkPilot webhooks",
    }
    return [page, receiver] if is_configured(os.environ) else [page]


class TalkPilotPlugin(AirflowPlugin):
    """Adds the page and the receiver to Airflow 3's API server, and the weight rule."""

    name = "talkpilot"
    # Not a ClassVar: the base class has none.
    priority_weight_strategies: list[Any] = [ScheduledFirst]  # noqa: RUF012
    fastapi_apps: list[Any] = _apps()
    # Relative: Airflow's own address may have a path.
    external_views: list[Any] = (
        [
            {
                "name": "TalkPilot",
                "href": f"{PREFIX}/",
                "destination": "nav",
                "url_route": PREFIX,
                "icon": f"{PREFIX}/static/icon.svg",
            }
        ]
        if IS_AIRFLOW_3
        else []
    )
