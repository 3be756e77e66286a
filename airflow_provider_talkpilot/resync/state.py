"""What earlier runs of the re-sync have read, as it is kept between them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from pydantic import TypeAdapter, ValidationError

from airflow_provider_talkpilot.resync.retention import Watched

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResyncState:
    """What earlier runs have read.

    :param look_backs: the first day not read, by length of the look-back in days.
    :param retention: the days that were read because their calls became too old.
    """

    look_backs: Mapping[int, date] = field(default_factory=dict)
    retention: Watched = Watched()

    @classmethod
    def parse(cls, text: str) -> ResyncState:
        """Read what :meth:`__str__` wrote. From anything else nothing is known: all is due."""
        try:
            return _state.validate_json(text or "{}")
        except ValidationError:
            log.warning("What earlier re-syncs have read is unreadable: everything is read again.")
            return cls()

    def __str__(self) -> str:
        return _state.dump_json(self).decode()


_state = TypeAdapter(ResyncState)
