"""Counts of requests, and a bounded log of them, without whole keys and content of calls."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

KINDS = (
    "health",
    "agents",
    "calls",
    "detail",
    "performance",
    "performance_detail",
    "audio",
    "other",
)
"""``calls`` is a page of an agent's calls, ``detail`` a single call; ``performance`` and
``performance_detail`` likewise; ``audio`` is a recording."""

_LOGGED = 50_000
_PREFIX = 13


def key_prefix(key: str | None) -> str | None:
    """Return the part of a key that may be shown: ``tp_live_`` and five digits."""
    return None if key is None else key[:_PREFIX]


@dataclass(frozen=True)
class Request:
    """One request, and the status of its response.

    :param kind: one of :data:`KINDS`.
    :param method: ``GET``, …
    :param host: the ``Host`` header.
    :param path: without the query.
    :param query: as sent, still percent-encoded.
    :param status: of the response; 0 when the connection was cut before.
    :param key_prefix: start of its key; None for a request without a key.
    :param fault: the scripted or random fault that it met, if any.
    """

    kind: str
    method: str
    host: str
    path: str
    query: str
    status: int
    key_prefix: str | None
    fault: str | None


class Counters:
    """Counts by kind, and of ``refused`` (429) and ``faults``; in all, and per key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._by_key: dict[str, Counter[str]] = {}
        self._log: deque[Request] = deque(maxlen=_LOGGED)

    def begin(self, kind: str, key: str | None) -> int:
        """Count a request; return how many of its kind there were, this one included."""
        with self._lock:
            self._counts[kind] += 1
            self._of_key(key)[kind] += 1
            return self._counts[kind]

    def end(self, request: Request, key: str | None) -> None:
        """Log a request and its response."""
        with self._lock:
            self._log.append(request)
            for name, is_so in (("refused", request.status == 429), ("faults", request.fault)):
                if is_so:
                    self._counts[name] += 1
                    self._of_key(key)[name] += 1

    def _of_key(self, key: str | None) -> Counter[str]:
        return self._by_key.setdefault(key or "", Counter())

    @property
    def counts(self) -> Counter[str]:
        """A copy of the counts in all."""
        with self._lock:
            return self._counts.copy()

    def of_key(self, key: str | None) -> Counter[str]:
        """Return a copy of the counts of one key; None is "no key"."""
        with self._lock:
            return self._by_key.get(key or "", Counter()).copy()

    def by_prefix(self) -> dict[str, dict[str, int]]:
        """Return the counts by the key's prefix, which is empty for no key."""
        with self._lock:
            return {key[:_PREFIX]: dict(counts) for key, counts in self._by_key.items()}

    @property
    def requests(self) -> list[Request]:
        """A copy of the log, oldest first."""
        with self._lock:
            return list(self._log)

    def reset(self) -> None:
        """Set the counts to zero, and empty the log."""
        with self._lock:
            self._counts.clear()
            self._by_key.clear()
            self._log.clear()
