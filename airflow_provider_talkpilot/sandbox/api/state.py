"""The state of one running sandbox; the API, the admin side and the caller share it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_provider_talkpilot.sandbox.api.counters import Counters
from airflow_provider_talkpilot.sandbox.api.faults import Faults
from airflow_provider_talkpilot.sandbox.api.limits import RateLimiter
from airflow_provider_talkpilot.sandbox.api.scripts import Scripts
from airflow_provider_talkpilot.sandbox.calls.store import CallStore
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

BeforeRequest = Callable[[str, int], None]


class State:
    """Settings, store, rate limiter, faults, scripts and counters.

    :param settings: changed in place later.
    :param clock: returns Unix seconds, for rate limits and the expiry of keys and recordings.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self.store = CallStore(settings)
        self.limiter = RateLimiter(settings, clock)
        self.faults = Faults(settings)
        self.scripts = Scripts()
        self.counters = Counters()
        self.before_request: BeforeRequest | None = None
        """Called with kind and count (1 is the first of its kind) before each response."""
        self.storage_url: str | None = None
        """The host of recordings; None serves them beside the API."""
        self.storage_port: int | None = None

    def reset(self, **changes: Any) -> None:
        """Make new data, and forget requests, spent quota, faults and scripts.

        :param changes: settings to change first.
        """
        self.settings.patch(**changes)
        self.store = CallStore(self.settings)
        self.limiter.reset()
        self.faults.clear()
        self.scripts.clear()
        self.counters.reset()
        self.before_request = None
