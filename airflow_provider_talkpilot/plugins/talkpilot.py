"""The plugin: it adds the page, and the rule by which scheduled runs go first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_talkpilot.compat import IS_AIRFLOW_3
from airflow_provider_talkpilot.operators.priority import ScheduledFirst

PREFIX = "talkpilot"


class LazyApp:
    """The page's web application, imported at the first request.

    Workers, scheduler and triggerer load plugins too, and do not need it. If it cannot be imported,
    then only the page fails.
    """

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Respond to a request (ASGI)."""
        from airflow_provider_talkpilot.plugins.api import app

        await app(scope, receive, send)


class TalkPilotPlugin(AirflowPlugin):
    """Adds the page "TalkPilot" to Airflow 3's user interface, and the weight rule."""

    name = "talkpilot"
    # Not a ClassVar: the base class has none.
    priority_weight_strategies: list[Any] = [ScheduledFirst]  # noqa: RUF012
    fastapi_apps: list[Any] = (
        [{"app": LazyApp(), "url_prefix": f"/{PREFIX}", "name": "TalkPilot"}]
        if IS_AIRFLOW_3
        else []
    )
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
