"""The quota of one key, shared by the threads of a process: who may send now, and who waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from airflow_provider_talkpilot.api.errors import ClosedError, QuotaExhaustedError
from airflow_provider_talkpilot.api.http.address import check_value
from airflow_provider_talkpilot.api.quota.governor import Governor
from airflow_provider_talkpilot.api.quota.traffic import HOUR_SLOTS, PATIENCE, Ledger, Permit

log = logging.getLogger(__name__)

# Shorter waits are not logged, nor those that end within SILENT_SECONDS of the last one's end.
SHORT_WAIT, SILENT_SECONDS = 5.0, 600.0
EXCHANGE_SECONDS = 10.0


class Clock:
    """Time as the quota sees it; replaced in simulations."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait on ``condition`` (held) for at most ``seconds``."""
        condition.wait(seconds)


class Quota:
    """Decides when requests of one key may leave. Thread-safe; share one per key and process.

    :param requests_per_minute: ceiling below the key's limit; None for the key's.
    :param requests_per_hour: likewise; None to send until the server refuses, and to count from
        then on.
    :param share: part of the key's minute limit to use, over 0 up to 1. The rest of each minute is
        left to other software on the key.
    :param max_wait: seconds that :meth:`acquire` may wait in all; None for as long as it takes.
    :param ledger: where the processes of a connection tell each other what they spent; without it
        nothing is known of what was sent before.
    :param minute: seconds of the server's minute; a sandbox may have a shorter one.
    :param hour: likewise.
    :param clock: source of time.
    :raises ConfigurationError: when a limit is under 1 or the share is out of range.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        requests_per_hour: int | None = None,
        share: float = 1.0,
        max_wait: float | None = None,
        ledger: Ledger | None = None,
        minute: float = 60.0,
        hour: float = 3600.0,
        clock: Clock | None = None,
    ) -> None:
        check_value("requests_per_minute", requests_per_minute, int | None, ge=1)
        check_value("requests_per_hour", requests_per_hour, int | None, ge=1)
        check_value("quota_share", share, float, gt=0, le=1)
        self.max_wait = max_wait
        self.per_hour = requests_per_hour
        self.closed = threading.Event()
        self._clock = clock or Clock()
        self._changed = threading.Condition()  # guards the governor
        self._governor = Governor(
            uuid4().hex,
            requests_per_minute=requests_per_minute,
            requests_per_hour=requests_per_hour,
            share=share,
            minute=minute,
            hour=hour,
        )
        self._ledger = ledger
        self._exchanging = threading.Lock()
        self._exchange_seconds = min(EXCHANGE_SECONDS, hour / HOUR_SLOTS)
        self._exchange_at = 0.0
        self._silent_until = 0.0

    @property
    def per_minute(self) -> int | None:
        """Requests a minute that may be used here, as far as it is known."""
        return self._governor.minute.limit

    def acquire(self) -> Permit:
        """Wait until a request may leave, and count it as in flight.

        :return: to be given back with the response.
        :raises QuotaExhaustedError: when that is further away than ``max_wait``.
        :raises ClosedError: when :meth:`close` was called.
        """
        started = self._clock.now()
        while True:
            self.exchange()
            with self._changed:
                now = self._clock.now()
                wait = self._permit_or_wait(now)
                if isinstance(wait, Permit):
                    return wait
                if wait is None:
                    wait = PATIENCE
                elif self.max_wait is not None and now + wait > started + self.max_wait:
                    resume_at = datetime.fromtimestamp(now + wait, UTC)
                    raise QuotaExhaustedError(
                        f"The key's quota is used up until {resume_at:%Y-%m-%d %H:%M:%S} UTC, for "
                        f"longer than the {self.max_wait:.0f} s that may be waited here.",
                        resume_at=resume_at,
                    )
                # What the other processes spend changes the wait.
                self._clock.wait(self._changed, min(wait, self._exchange_seconds))

    def try_acquire(self) -> Permit | float:
        """As :meth:`acquire`, without waiting; an event loop may call it where there is no ledger.

        :return: the permit, or the seconds after which to try again.
        :raises ClosedError: when :meth:`close` was called.
        """
        self.exchange()
        with self._changed:
            wait = self._permit_or_wait(self._clock.now())
            return PATIENCE if wait is None else wait

    def record_response(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Note the response to a request in flight, whatever its status but 429."""
        with self._changed:
            self._governor.record_response(permit, headers, self._clock.now())
            self._changed.notify_all()

    def record_failure(self, permit: Permit) -> None:
        """Note that a request in flight got no response; the server may have counted it."""
        with self._changed:
            self._governor.record_failure(permit, self._clock.now())
            self._changed.notify_all()

    def record_refusal(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Note a 429 to a request in flight."""
        with self._changed:
            self._governor.record_refusal(permit, headers, self._clock.now())
            self._changed.notify_all()

    def close(self) -> None:
        """Send nothing any more: all that wait now or come later get :class:`ClosedError`."""
        self.closed.set()
        with self._changed:
            self._changed.notify_all()

    def exchange(self, *, is_last: bool = False) -> None:
        """Tell the ledger what was spent here and learn what others spent, when it is time.

        :param is_last: this process sends nothing more: do it at once.
        """
        if self._ledger is None:
            return
        with self._exchanging:
            with self._changed:
                now = self._clock.now()
                if now < self._exchange_at and not is_last:
                    return
                self._exchange_at = now + self._exchange_seconds
                entry = self._governor.entry(now, is_closed=is_last)
            # Responses are recorded while the storage is slow.
            others = self._ledger.exchange(entry)
            with self._changed:
                self._governor.learn(others, self._clock.now())

    def _permit_or_wait(self, now: float) -> Permit | float | None:
        """Give a permit, or the seconds to wait; None for "when a response has come"."""
        if self.closed.is_set():
            raise ClosedError("No more requests are sent: the work was stopped.")
        wait = self._governor.wait(now)
        if wait == 0:
            return self._governor.send(now)
        if wait and wait > SHORT_WAIT and now + wait > self._silent_until:
            self._silent_until = now + wait + SILENT_SECONDS
            log.info(
                "The key's quota is used up: waiting for it until %s UTC.",
                datetime.fromtimestamp(now + wait, UTC).strftime("%H:%M:%S"),
            )
        return wait
