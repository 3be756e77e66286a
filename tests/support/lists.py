"""How long the API's lists are: what a walk must cost."""

from __future__ import annotations

import datetime as dt
import math

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.sandbox import Sandbox


def listed(sandbox: Sandbox, agent_id: str, interval: Interval) -> int:
    """How many calls the API lists for an agent's interval, those in the margin included."""
    after, before = interval.request_from, interval.request_to
    moments = [
        dt.datetime.fromisoformat(call["created_at"])
        for call in sandbox.truth(after, before + dt.timedelta(seconds=1), [agent_id])
    ]
    from_in = sandbox.settings.from_bound == "inclusive"
    to_in = sandbox.settings.to_bound == "inclusive"
    return sum(
        (moment > after or (from_in and moment == after))
        and (moment < before or (to_in and moment == before))
        for moment in moments
    )


def pages(sandbox: Sandbox, agent_id: str, interval: Interval) -> int:
    """Requests for them."""
    return max(1, math.ceil(listed(sandbox, agent_id, interval) / 100))
