"""The two states of the API that a customer can meet, point by point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Era = Literal["spring", "now"]
"""``spring`` is the API as documented in March 2026, ``now`` as documented since September."""

Windows = Literal["fixed", "sliding"]


@dataclass(frozen=True)
class Switches:
    """What differs between the two; :class:`SandboxSettings` says what each field means."""

    windows: Windows


ERAS: dict[Era, Switches] = {
    "spring": Switches(windows="fixed"),
    "now": Switches(windows="sliding"),
}
"""The value of every switch that is not set by itself."""
