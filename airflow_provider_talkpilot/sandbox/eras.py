"""The two states of the API that a customer can meet, switch by switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Era = Literal["spring", "now"]
"""``spring`` is the API as documented in March 2026, ``now`` as documented since September."""

Windows = Literal["fixed", "sliding"]
HiddenAgentStatus = Literal[403, 404]
Recordings = Literal["signed", "stored"]
Webhooks = Literal["call.completed", "call_ended"]
BasePath = Literal["/functions/v1/api/v1", "/v1"]


@dataclass(frozen=True)
class Switches:
    """What differs between the two; :class:`SandboxSettings` says what each field means."""

    windows: Windows
    full_agents: bool
    hidden_agent_status: HiddenAgentStatus
    retention_purges: bool
    decimal_scores: bool
    more_reasons: bool
    recordings: Recordings
    base_path: BasePath
    full_health: bool
    performance_records: bool
    webhooks: Webhooks


ERAS: dict[Era, Switches] = {
    "spring": Switches(
        windows="fixed",
        full_agents=False,
        hidden_agent_status=404,
        retention_purges=False,
        decimal_scores=False,
        more_reasons=False,
        recordings="signed",
        base_path="/functions/v1/api/v1",
        full_health=False,
        performance_records=False,
        webhooks="call.completed",
    ),
    "now": Switches(
        windows="sliding",
        full_agents=True,
        hidden_agent_status=403,
        retention_purges=True,
        decimal_scores=True,
        more_reasons=True,
        recordings="stored",
        base_path="/v1",
        full_health=True,
        performance_records=True,
        webhooks="call_ended",
    ),
}
"""The value of every switch that has none of its own."""
