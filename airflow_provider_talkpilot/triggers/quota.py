"""Trigger that waits, outside of any worker, until the key's quota is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class QuotaTrigger(BaseTrigger):
    """
    Fire when requests are allowed again.

    :param resume_at: ISO 8601 time in UTC.
    """

    def __init__(self, resume_at: str) -> None:
        super().__init__()
        self.resume_at = resume_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what another process makes this trigger from."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"resume_at": self.resume_at}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until then."""
        remaining = datetime.fromisoformat(self.resume_at) - datetime.now(UTC)
        await asyncio.sleep(max(0.0, remaining.total_seconds()))
        yield TriggerEvent({"resume_at": self.resume_at})
