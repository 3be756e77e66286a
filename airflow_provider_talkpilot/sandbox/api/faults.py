"""Faults of the API: scripted ones that are used up, and random ones that a seed repeats."""

from __future__ import annotations

import random
import threading
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

FaultName = Literal[
    "status",
    "rate_limited",
    "conflict",
    "redirect",
    "cut",
    "bad_json",
    "html",
    "empty",
    "slow",
    "no_pagination",
    "no_id",
    "no_start",
    "wrong_type",
]
FaultKind = Literal[
    "health", "agents", "calls", "detail", "performance", "performance_detail", "audio", "any"
]

PAYLOAD_FAULTS = frozenset({"cut", "bad_json", "no_pagination", "no_id", "no_start", "wrong_type"})
"""Faults that spoil a good response: they wait for a request that would get one (status 200)."""


class Fault(BaseModel):
    """A fault that the next requests meet.

    - ``status`` responds with a status and a body: the API's error envelope, or a response of the
      edge in front of it. The edge sends no rate headers and uses no quota. Its body is HTML,
      empty, or JSON: ``{"code", "message"}``, ``{"msg"}``, ``{"message"}`` or ``{"error"}`` with a
      text. 540 is a paused project, 546 a function over its limits.
    - ``rate_limited`` is a 429 whatever the quota, ``conflict`` a 409, ``redirect`` a redirect.
    - ``cut`` breaks the connection in the middle of the body. ``bad_json``, ``html`` and ``empty``
      are bodies with status 200. ``slow`` waits, then responds as usual.
    - ``no_pagination`` spoils a page. ``no_id``, ``no_start`` (no ``created_at``) and
      ``wrong_type`` (``duration`` as text) spoil one row of a page, or a detail.

    :param fault: its name.
    :param kind: which requests meet it.
    :param times: how many requests meet it.
    :param after: how many requests of the kind pass before it.
    :param status: for ``status`` (default 500) and ``redirect`` (default 302).
    :param body: for ``status``.
    :param message: for ``status`` with JSON of the edge; None takes the usual one of the status.
    :param code: for ``status`` with body ``code``; None takes the usual one of the status.
    :param location: for ``redirect``; None is another path on the same host.
    :param retry_after: for ``rate_limited``, in seconds; None sends no such header.
    :param seconds: for ``slow``.
    """

    model_config = ConfigDict(extra="forbid")

    fault: FaultName
    kind: FaultKind = "any"
    times: int = Field(default=1, ge=1)
    after: int = Field(default=0, ge=0)
    status: int | None = Field(default=None, ge=300, le=599)
    body: Literal["envelope", "html", "empty", "code", "msg", "message", "error"] = "envelope"
    message: str | None = None
    code: str | int | None = None
    location: str | None = None
    retry_after: int | None = 1
    seconds: float = Field(default=1.0, ge=0)

    def fits(self, kind: str) -> bool:
        """Whether requests of this kind meet the fault."""
        if self.kind not in ("any", kind) or kind == "other":
            return False
        if self.fault == "no_pagination":
            return kind in ("agents", "calls", "performance")
        if self.fault in ("no_id", "no_start", "wrong_type"):
            return kind in ("agents", "calls", "detail")
        return True


RANDOM_FAULTS = (
    Fault(fault="status", status=500),
    Fault(fault="status", status=502, body="html"),
    Fault(fault="status", status=503, body="empty"),
    Fault(fault="status", status=504, body="html"),
    Fault(fault="cut"),
    Fault(fault="bad_json"),
)
"""What ``random_fault_rate`` chooses from: the same request succeeds when it is sent again."""
_MOST_IN_A_ROW = 2


class Faults:
    """The faults that wait for requests.

    :param settings: have the rate of random faults, which may change at any time.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._requests = 0
        self._streak = 0

    def add(self, fault: FaultName, **options: Any) -> Fault:
        """Let the next requests meet a fault; the fault that was added first comes first.

        :param fault: its name.
        :param options: as in :class:`Fault`.
        """
        added = Fault(fault=fault, **options)
        with self._lock:
            self._waiting.append(added)
        return added

    def clear(self) -> None:
        """Drop all faults that wait, and start the random ones again."""
        with self._lock:
            self._waiting.clear()
            self._requests = self._streak = 0

    @property
    def waiting(self) -> list[Fault]:
        """A copy of the faults that no request has used up."""
        with self._lock:
            return [fault.model_copy() for fault in self._waiting]

    def take(self, kind: str) -> Fault | None:
        """Return the fault that a request meets on its way to the API, if any."""
        with self._lock:
            return self._scripted(kind, payload=False) or self._random(kind)

    def take_payload(self, kind: str) -> Fault | None:
        """Return the fault that spoils a good response, if any."""
        with self._lock:
            return self._scripted(kind, payload=True)

    def _scripted(self, kind: str, *, payload: bool) -> Fault | None:
        for fault in self._waiting:
            if (fault.fault in PAYLOAD_FAULTS) != payload or not fault.fits(kind):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.times -= 1
            if fault.times == 0:
                self._waiting.remove(fault)
            return fault
        return None

    def _random(self, kind: str) -> Fault | None:
        rate = self._settings.random_fault_rate
        if rate <= 0 or kind == "other":
            return None
        self._requests += 1
        rng = random.Random(self._settings.random_fault_seed * 1_000_003 + self._requests)
        if rng.random() >= rate or self._streak >= _MOST_IN_A_ROW:
            self._streak = 0
            return None
        self._streak += 1
        return rng.choice(RANDOM_FAULTS)


def spoil_rows(fault: Fault, body: dict[str, Any]) -> dict[str, Any]:
    """Apply ``no_pagination``, ``no_id``, ``no_start`` or ``wrong_type`` to a page or a detail."""
    if fault.fault == "no_pagination":
        return {name: value for name, value in body.items() if name != "pagination"}
    row = body
    if "data" in body and "pagination" in body:
        if not body["data"]:
            return body
        row = body["data"][0]
    if fault.fault in ("no_id", "no_start"):
        row.pop("id" if fault.fault == "no_id" else "created_at", None)
    else:
        row["duration"] = "ninety seconds"
    return body
