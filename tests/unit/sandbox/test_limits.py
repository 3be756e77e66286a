"""Rate limits: two windows per key, fixed or sliding, shown in headers and by 429."""

from __future__ import annotations

import time
from math import ceil
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.sandbox import SandboxSettings
from airflow_provider_talkpilot.sandbox.api.limits import RateLimiter
from airflow_provider_talkpilot.sandbox.eras import Windows


class Clock:
    """A clock that stands still until it is moved; it starts at a full hour."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@given(
    st.lists(st.floats(0, 30), max_size=150), st.sampled_from(["fixed", "sliding"]), st.booleans()
)
def test_never_more_than_the_limits(
    pauses: list[float], windows: Windows, refused_count: bool
) -> None:
    """Whatever is sent when, no window holds more, and none is refused without a cause."""
    settings = SandboxSettings(
        windows=windows,
        requests_per_minute=5,
        requests_per_hour=30,
        minute_seconds=20,
        hour_seconds=300,
        refused_requests_count=refused_count,
    )
    clock = Clock()
    limiter = RateLimiter(settings, clock)
    counted: list[float] = []

    def used(seconds: int) -> int:
        if windows == "fixed":
            return sum(one // seconds == clock.now // seconds for one in counted)
        return sum(one > clock.now - seconds for one in counted)

    def left(seconds: int) -> float:
        """A sliding window tells its whole length, whatever is left of it."""
        return seconds if windows == "sliding" else seconds - clock.now % seconds

    for pause in pauses:
        clock.now += pause
        verdict = limiter.check("a")
        waits = [left(s) for s, limit in ((20, 5), (300, 30)) if used(s) >= limit]
        assert verdict.retry_after == (max(1, ceil(max(waits))) if waits else None)
        if refused_count or not waits:
            counted.append(clock.now)
        assert verdict.headers == {
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Remaining": str(max(0, 5 - used(20))),
            "X-RateLimit-Reset": str(ceil(clock.now + left(20))),
        }


def test_headers_on_every_response(api: Any) -> None:
    # A "minute" of a day: its end does not come in the middle of the test.
    api.sandbox.reset(requests_per_minute=60, minute_seconds=86_400)
    responses = [
        api.get("/health"),
        api.get("/agents"),
        api.get("/nothing"),
        api.calls(page=0),
        api.calls("00000000-0000-4000-8000-000000000000"),
    ]
    for used, response in enumerate(responses, 1):
        assert response.headers["x-ratelimit-limit"] == "60"
        assert response.headers["x-ratelimit-remaining"] == str(60 - used)
        assert 0 <= int(response.headers["x-ratelimit-reset"]) - time.time() <= 86_401
