"""Everything one running sandbox holds; the API, the admin side and the caller share it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from airflow_provider_talkpilot.sandbox.counters import Counters
from airflow_provider_talkpilot.sandbox.faults import Faults
from airflow_provider_talkpilot.sandbox.limits import RateLimiter
from airflow_provider_talkpilot.sandbox.scripts import Scripts
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings
from airflow_provider_talkpilot.sandbox.store import CallStore

BeforeRequest = Callable[[str, int], None]


class State:
    """Settings, store, rate limiter, faults, scripts and counters.

    :param settings: what to start with; changed in place afterwards.
    :param clock: gives Unix seconds, for rate limits, expiry of keys and recordings.
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
        self.storage_url: str | None = None
        """Where recordings are served; None serves them beside the API."""
        self.storage_port: int | None = None

    def reset(self, **changes: Any) -> None:
        """Make the data anew and forget requests, spent quota, faults and scripts.

        :param changes: settings to change first.
        """
        self.settings.patch(**changes)
        self.store = CallStore(self.settings)
        self.limiter.reset()
        self.faults.clear()
        self.scripts.clear()
        self.counters.reset()
        self.before_request = None
