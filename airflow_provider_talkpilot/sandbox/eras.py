"""The two states of the API that a customer can meet, point by point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Era = Literal["spring", "now"]
"""``spring`` is the API as documented in March 2026, ``now`` as documented since September."""

Windows = Literal["fixed", "sliding"]
HiddenAgentStatus = Literal[403, 404]


@dataclass(frozen=True)
class Switches:
    """What differs between the two; :class:`SandboxSettings` says what each field means."""

    windows: Windows
    full_agents: bool
    hidden_agent_status: HiddenAgentStatus
    retention_purges: bool


ERAS: dict[Era, Switches] = {
    "spring": Switches(
        windows="fixed",
        full_agents=False,
        hidden_agent_status=404,
        retention_purges=False,
    ),
    "now": Switches(
        windows="sliding",
        full_agents=True,
        hidden_agent_status=403,
        retention_purges=True,
    ),
}
"""The value of every switch that is not set by itself."""
