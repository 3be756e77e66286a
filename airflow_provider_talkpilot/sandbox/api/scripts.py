"""Changes that happen between two requests, so that a list moves while a client walks it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from airflow_provider_talkpilot.sandbox.calls.store import CallStore

Action = Literal[
    "edit",
    "score",
    "purge",
    "soft_delete",
    "restore",
    "erase",
    "insert_late",
    "edit_agent",
    "empty_trash",
    "auto_delete_done_calls",
    "purge_by_retention",
]


class Script(BaseModel):
    """One change, made right after one response and before the next.

    :param after: after this many requests of the kind, counted since the script was added.
    :param kind: which requests count.
    :param action: a method of :class:`~airflow_provider_talkpilot.sandbox.calls.store.CallStore`.
    :param arguments: its arguments by name.
    """

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=1, ge=1)
    kind: Literal["health", "agents", "calls", "detail", "performance", "any"] = "calls"
    action: Action
    arguments: dict[str, Any] = Field(default_factory=dict)


class Scripts:
    """The changes that wait; each is made once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Script] = []

    def add(
        self, action: Action, *, after: int = 1, kind: str = "calls", **arguments: Any
    ) -> Script:
        """Let a change happen after ``after`` requests of a kind; see :class:`Script`."""
        given = {"action": action, "after": after, "kind": kind, "arguments": arguments}
        script = Script.model_validate(given)
        with self._lock:
            self._waiting.append(script)
        return script

    def clear(self) -> None:
        """Drop all changes that wait."""
        with self._lock:
            self._waiting.clear()

    @property
    def waiting(self) -> list[Script]:
        """A copy of the changes that have not happened yet."""
        with self._lock:
            return [script.model_copy() for script in self._waiting]

    def responded(self, kind: str, store: CallStore) -> None:
        """Make the changes that are due after a response to a request of this kind."""
        if not self._waiting:
            return
        with self._lock:
            for script in self._waiting:
                if script.kind in ("any", kind):
                    script.after -= 1
            due = [script for script in self._waiting if script.after <= 0]
            self._waiting = [script for script in self._waiting if script.after > 0]
        for script in due:
            change: Callable[..., Any] = getattr(store, script.action)
            change(**script.arguments)
