"""Find out whether a connection works, and what its key may do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import NotFoundError, PermissionDeniedError
from airflow_provider_talkpilot.api.exchange import Request
from airflow_provider_talkpilot.exceptions import TYPED_ERRORS
from airflow_provider_talkpilot.staging.progress import PER_HOUR

if TYPE_CHECKING:
    from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook

OK, NOTE, MISSING = "ok", "note", "missing"
_ONE = {"page": "1", "limit": "1"}


class Finding(NamedTuple):
    """The state of one part of what a load needs.

    :param state: ``ok``; ``note`` if a load works and could do better; or ``missing``.
    :param message: one line; it names the cure.
    """

    part: str
    state: str
    message: str


class Findings(list[Finding]):
    """What was found, part by part."""

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[..., None]]:
        """Return a function that adds a finding; an error in the block is a finding too."""

        def add(message: str, state: str = OK) -> None:
            self.append(Finding(name, state, message))

        try:
            yield add
        except TYPED_ERRORS as error:
            add(str(error), MISSING)

    @property
    def missing(self) -> list[Finding]:
        """The parts without which no load works."""
        return [finding for finding in self if finding.state == MISSING]


def find_access(
    findings: Findings,
    hook: TalkPilotHook,
    named: Collection[str] = (),
    performance: str = "off",
) -> None:
    """Find out what the connection and its key allow; it costs three requests or four.

    :param findings: get what is found.
    :param named: the agents that loads take; empty for every agent that the key can see.
    :param performance: ``off``, or ``auto`` or ``required`` to look at performance records too.
    """
    with findings.part("connection") as add:
        if unused := hook.fields.unused:
            add(unused, NOTE)
        with hook.get_conn(max_wait=5, tries=2, timeout=10) as client:
            version = client.health().version or "unknown"
            add(f"TalkPilot responds at {client.base_url} (version {version}).")
            _find_rights(findings, client, named, performance)


def _find_rights(
    findings: Findings, client: TalkPilotClient, named: Collection[str], performance: str
) -> None:
    agents = [*named]
    with findings.part("agents") as add:
        try:
            visible = [agent.id for agent in client.agents()]
        except PermissionDeniedError as error:
            if not named:
                raise
            add(f"Loads take the {len(named)} that are named. {error}", NOTE)
        else:
            add(*_compare_agents(named, visible))
            agents = agents or visible
    if agents:
        with findings.part("calls") as add:
            client.fetch(Request("calls", f"agents/{agents[0]}/calls", _ONE))
            add("The key can read calls.")
    if agents and performance != "off":
        with findings.part("performance") as add:
            try:
                client.fetch(Request("performance", f"agents/{agents[0]}/performance", _ONE))
                add("The key can read performance records.")
            except (PermissionDeniedError, NotFoundError) as error:
                if performance == "required":
                    raise
                add(f"Scores come from details alone. {error}", NOTE)
    with findings.part("limits") as add:
        minute, hour = client.quota.per_minute, client.quota.per_hour
        default = f"{PER_HOUR:,} an hour (TalkPilot's default, for the connection names no other)"
        by_minute = f"{minute:,} request(s)" if minute else "TalkPilot names no number of requests"
        add(f"{by_minute} a minute; {f'{hour:,} an hour' if hour else default}.")


def _compare_agents(named: Collection[str], visible: Collection[str]) -> tuple[str, str]:
    if not visible:
        cure = "add agents to the key in TalkPilot's dashboard"
        return f"The key can see no agent, so there are no calls: {cure}.", MISSING
    if unseen := [agent for agent in named if agent not in visible]:
        return (
            f"The key cannot see {', '.join(unseen)}: add it to the key in TalkPilot's dashboard, "
            "or take it out of the Variable talkpilot_agent_ids."
        ), MISSING
    taken = f"; loads take {len(named)}" if named else ""
    return f"The key can see {len(visible)} agent(s){taken}.", OK
