"""What tasks count in Airflow's metrics: requests, refusals, calls and details."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_talkpilot.api import TalkPilotClient


@contextmanager
def requests_counted(client: TalkPilotClient, connection_id: str) -> Iterator[None]:
    """Count what a client spends inside the block, however it ends.

    ``talkpilot.requests`` has the tags ``connection_id`` and ``kind`` (``agents``, ``calls``,
    ``detail``), ``talkpilot.refused`` the first of them.

    :param client: a new one; each try, and each part between deferrals, has its own.
    :param connection_id: the TalkPilot connection.
    """
    try:
        yield
    finally:
        for kind, count in sorted(client.requests.items()):
            Stats.incr(
                "talkpilot.requests", count, tags={"connection_id": connection_id, "kind": kind}
            )
        report("refused", client.refused, connection_id)


def report(what: str, count: int, connection_id: str) -> None:
    """Add to a metric.

    :param what: ``calls``, ``details`` or ``refused``.
    :param count: how many; nothing is reported of none.
    :param connection_id: the TalkPilot connection.
    """
    if count:
        Stats.incr(f"talkpilot.{what}", count, tags={"connection_id": connection_id})
