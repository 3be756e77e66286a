"""The page's web application, mounted in Airflow's API server.

A mounted application inherits no authentication from Airflow, so every route has its own guard. For
that reason files are served by a route and not by a mount.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AccessView,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.responses import FileResponse

from airflow_provider_talkpilot.plugins.overview.page import overview
from airflow_provider_talkpilot.plugins.reading import read_tasks

DEFAULT_DAYS, MAX_DAYS = 90, 366

_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# A run's figures are in its task instances' XComs: a user needs the right to read all three.
_NEEDED = (DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # The browser must not show the page after a logout.
    "Cache-Control": "private, no-cache",
}

app = FastAPI(
    title="TalkPilot",
    dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
)


@app.get("/")
def page() -> Response:
    """Return the page."""
    return FileResponse(_STATIC / "index.html", media_type="text/html", headers=_HEADERS)


@app.get("/static/{name}")
def static(name: str) -> Response:
    """Return a file of the page."""
    if name not in _files():
        raise HTTPException(404, "Not found")
    path = _STATIC / name
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)


@app.get("/overview")
def get_overview(
    user: GetUserDep,
    response: Response,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = DEFAULT_DAYS,
) -> dict[str, Any]:
    """Return the figures that the page shows.

    :param user: whose permissions count.
    :param days: how many days to show; the last is today.
    """
    now = datetime.now(UTC)
    first = datetime.combine(now.date() - timedelta(days=days - 1), time(), UTC)

    def may_read(dag_ids: set[str]) -> set[str]:
        return _readable(dag_ids, user)

    with create_session(scoped=False) as session:
        read = read_tasks(session, first, may_read)
    response.headers.update(_HEADERS)
    return overview(read.tasks, now=now, days=days) | {
        "truncated": read.truncated,
        "unreadable": read.unreadable,
    }


@cache
def _files() -> frozenset[str]:
    return frozenset(path.name for path in _STATIC.iterdir() if path.suffix in _TYPES)


def _readable(dag_ids: set[str], user: GetUserDep) -> set[str]:
    """Return those DAGs whose runs the user may read, as on Airflow's own pages."""
    manager = get_auth_manager()
    mine = dag_ids & manager.get_authorized_dag_ids(user=user, method="GET") if dag_ids else set()
    teams = _teams(mine)
    return {
        dag_id
        for dag_id in mine
        if all(
            manager.is_authorized_dag(
                method="GET",
                access_entity=entity,
                details=DagDetails(id=dag_id, **teams.get(dag_id, {})),
                user=user,
            )
            for entity in _NEEDED
        )
    }


def _teams(dag_ids: set[str]) -> dict[str, dict[str, Any]]:
    """Return the team of each DAG, on versions of Airflow that have teams."""
    mapping = getattr(DagModel, "get_dag_id_to_team_name_mapping", None)
    found = mapping(list(dag_ids)) if mapping and dag_ids else {}
    return {dag_id: {"team_name": team} for dag_id, team in found.items()}
