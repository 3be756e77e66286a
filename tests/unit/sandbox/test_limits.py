"""Rate limits: two windows per key, fixed or sliding, told by headers and by 429."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.sandbox import SandboxSettings
from airflow_provider_talkpilot.sandbox.eras import Era, Windows
from airflow_provider_talkpilot.sandbox.limits import RateLimiter


class Clock:
    """A clock that stands still until it is moved; it starts at a full hour."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_defaults() -> None:
    settings = SandboxSettings()
    assert (settings.requests_per_minute, settings.requests_per_hour) == (60, 1000)


def test_fixed_minute(clock: Clock) -> None:
    limiter = RateLimiter(SandboxSettings(era="spring", requests_per_minute=2), clock)
    first = limiter.check("a")
    assert first.retry_after is None
    assert first.headers == {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": "1800000060",
    }
    assert limiter.check("a").headers["X-RateLimit-Remaining"] == "0"
    clock.now += 12.5
    refused = limiter.check("a")
    assert refused.retry_after == 48
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert limiter.check("b").retry_after is None, "each key has its own"
    clock.now = 1_800_000_060
    assert limiter.check("a").retry_after is None, "the window is fixed, not sliding"


def test_fixed_hour_shows_only_as_429(clock: Clock) -> None:
    settings = SandboxSettings(windows="fixed", requests_per_minute=60, requests_per_hour=3)
    limiter = RateLimiter(settings, clock)
    for _ in range(3):
        assert limiter.check("a").retry_after is None
    clock.now += 600
    refused = limiter.check("a")
    assert refused.retry_after == 3000
    assert refused.headers["X-RateLimit-Limit"] == "60"
    assert refused.headers["X-RateLimit-Remaining"] == "60"
    clock.now += 3000
    assert limiter.check("a").retry_after is None


def test_sliding_minute(clock: Clock) -> None:
    limiter = RateLimiter(SandboxSettings(requests_per_minute=2), clock)
    clock.now += 0.25
    first = limiter.check("a")
    assert first.headers == {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": "1800000061",
    }
    clock.now += 50
    assert limiter.check("a").headers["X-RateLimit-Remaining"] == "0"
    clock.now += 9.5
    refused = limiter.check("a")
    assert refused.retry_after == 60, "although half a second is left"
    assert refused.headers["X-RateLimit-Reset"] == "1800000120"
    assert limiter.check("b").retry_after is None, "each key has its own"
    clock.now += 0.5
    assert limiter.check("a").retry_after is None, "the first is a minute ago"
    assert limiter.check("a").retry_after == 60, "the second is not"


def test_sliding_hour(clock: Clock) -> None:
    limiter = RateLimiter(SandboxSettings(requests_per_hour=3), clock)
    for _ in range(3):
        assert limiter.check("a").retry_after is None
        clock.now += 600
    refused = limiter.check("a")
    assert refused.retry_after == 3600
    assert refused.headers["X-RateLimit-Remaining"] == "60"
    clock.now += 1799.5
    assert limiter.check("a").retry_after == 3600
    clock.now += 0.5
    assert limiter.check("a").retry_after is None
    assert limiter.check("a").retry_after == 3600


def test_the_hour_is_told_where_both_are_used_up(clock: Clock) -> None:
    limiter = RateLimiter(SandboxSettings(requests_per_minute=3, requests_per_hour=3), clock)
    assert [limiter.check("a").retry_after for _ in range(4)] == [None, None, None, 3600]


@pytest.mark.parametrize("era", ["spring", "now"])
def test_an_era_and_a_switch_take_effect_at_once(clock: Clock, era: Era) -> None:
    settings = SandboxSettings(era=era, requests_per_minute=1)
    limiter = RateLimiter(settings, clock)
    clock.now += 50
    limiter.check("a")
    clock.now += 5
    assert limiter.check("a").retry_after == (60 if era == "now" else 5)
    settings.patch(era="spring")
    assert limiter.check("a").retry_after == 5
    settings.patch(windows="sliding")
    assert limiter.check("a").retry_after == 60
    settings.patch(windows=None)
    assert limiter.check("a").retry_after == 5


@pytest.mark.parametrize(("windows", "told"), [("fixed", 2), ("sliding", 4)])
def test_scaled_windows_tell_scaled_seconds(clock: Clock, windows: Windows, told: int) -> None:
    settings = SandboxSettings(
        windows=windows,
        requests_per_minute=2,
        requests_per_hour=4,
        minute_seconds=4,
        hour_seconds=20,
    )
    limiter = RateLimiter(settings, clock)
    clock.now += 2.25
    assert limiter.check("a").retry_after is None
    assert limiter.check("a").retry_after is None
    refused = limiter.check("a")
    assert refused.retry_after == told
    reset = int(refused.headers["X-RateLimit-Reset"]) - 1_800_000_000
    assert reset == (4 if windows == "fixed" else 7)
    clock.now += 4
    assert limiter.check("a").retry_after is None
    assert limiter.check("a").retry_after is None
    clock.now += 4
    assert limiter.check("a").retry_after == (10 if windows == "fixed" else 20)


@given(
    st.lists(st.floats(0, 30), max_size=150),
    st.sampled_from(["fixed", "sliding"]),
    st.booleans(),
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
    for pause in pauses:
        clock.now += pause
        verdict = limiter.check("a")

        def used(seconds: int) -> int:
            if windows == "fixed":
                return sum(one // seconds == clock.now // seconds for one in counted)
            return sum(one > clock.now - seconds for one in counted)

        is_free = used(20) < 5 and used(300) < 30
        assert (verdict.retry_after is None) == is_free
        if is_free or refused_count:
            counted.append(clock.now)
        assert verdict.headers["X-RateLimit-Remaining"] == str(max(0, 5 - used(20)))


@pytest.mark.parametrize("windows", ["fixed", "sliding"])
@pytest.mark.parametrize("count", [False, True])
def test_refused_requests_count_or_not(clock: Clock, count: bool, windows: Windows) -> None:
    settings = SandboxSettings(
        windows=windows, requests_per_minute=2, requests_per_hour=10, refused_requests_count=count
    )
    limiter = RateLimiter(settings, clock)
    for _ in range(12):
        limiter.check("a")
    clock.now += 60
    assert (limiter.check("a").retry_after is not None) == count


@pytest.mark.parametrize("windows", ["fixed", "sliding"])
def test_other_software_spends_too(clock: Clock, windows: Windows) -> None:
    limiter = RateLimiter(SandboxSettings(windows=windows, requests_per_minute=10), clock)
    limiter.spend("a", 9)
    assert limiter.check("a").headers["X-RateLimit-Remaining"] == "0"
    assert limiter.check("a").retry_after == 60
    limiter.reset()
    assert limiter.check("a").retry_after is None


def test_headers_on_every_answer(api: Any) -> None:
    # A "minute" of a day: its end does not come in the middle of the test.
    api.sandbox.reset(requests_per_minute=60, minute_seconds=86_400)
    answers = [
        api.get("/health"),
        api.get("/agents"),
        api.get("/nothing"),
        api.calls(page=0),
        api.calls("00000000-0000-4000-8000-000000000000"),
    ]
    for used, answer in enumerate(answers, 1):
        assert answer.headers["x-ratelimit-limit"] == "60"
        assert answer.headers["x-ratelimit-remaining"] == str(60 - used)
        assert 0 <= int(answer.headers["x-ratelimit-reset"]) - time.time() <= 86_401


def test_refusal_over_http(api: Any) -> None:
    api.sandbox.reset(requests_per_minute=1, minute_seconds=86_400)
    assert api.get("/agents").status_code == 200
    refused = api.get("/agents")
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "RATE_LIMITED"
    assert refused.json()["error"]["request_id"].startswith("req_")
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert refused.headers["x-ratelimit-limit"] == "1"
    assert api.sandbox.counters == {"agents": 2, "refused": 1}
    assert api.get("/health", key=None).status_code == 200
    api.sandbox.settings.retry_after_override = 0
    assert api.get("/agents").headers["retry-after"] == "0"
    api.sandbox.reset_quota()
    assert api.get("/agents").status_code == 200
    api.sandbox.spend(5)
    assert api.get("/agents").status_code == 429


def test_windows_can_be_short(api: Any) -> None:
    api.sandbox.reset(requests_per_minute=3, minute_seconds=0.2)
    deadline = time.monotonic() + 5
    seen: list[int] = []
    while not (429 in seen and seen[-1] == 200) and time.monotonic() < deadline:
        seen.append(api.get("/agents").status_code)
    assert 429 in seen
    assert seen[-1] == 200, "after the short window requests pass again"


def test_headers_off_and_unlimited(api: Any) -> None:
    answer = api.get("/agents")
    assert answer.headers["x-ratelimit-limit"] == "1000000"
    api.sandbox.settings.rate_headers = False
    assert "x-ratelimit-limit" not in api.get("/agents").headers
