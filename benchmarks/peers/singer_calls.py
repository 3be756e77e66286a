"""Meltano's Singer SDK: a tap with parent and child streams; its messages go to a file.

By its documents: https://sdk.meltano.com/en/latest/parent_streams.html for the children,
https://sdk.meltano.com/en/latest/code_samples.html for the wait that a header names.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.pagination import BasePageNumberPaginator

from benchmarks.figures import measured

_TEXTS = (
    "id call_id customer_name customer_request phone_number call_summary employee note "
    "disconnection_reason agent_id deleted_at updated_at transcript audio_file_url"
)
_SCHEMA = th.PropertiesList(
    th.Property("created_at", th.DateTimeType),
    *(th.Property(name, th.StringType) for name in _TEXTS.split()),
    *(th.Property(name, th.IntegerType) for name in ("duration", "final_score")),
    *(th.Property(name, th.BooleanType) for name in ("done", "general_success", "is_purged")),
).to_dict()


class Pages(BasePageNumberPaginator):
    """Pages until the last one."""

    def has_more(self, response: Any) -> bool:
        """Whether more pages follow."""
        told = response.json()["pagination"]
        return bool(told["page"] < told["pages"])


class TalkPilotStream(RESTStream[int]):
    """The common part of the streams."""

    primary_keys = ("id",)
    records_jsonpath = "$.data[*]"

    @property
    def url_base(self) -> str:
        """The API."""
        return str(self.config["base_url"])

    @property
    def authenticator(self) -> APIKeyAuthenticator:
        """The key's header."""
        return APIKeyAuthenticator(key="X-API-Key", value=self.config["api_key"], location="header")

    def backoff_wait_generator(self) -> Generator[float, None, None]:
        """Wait as long as the response says."""

        def told(error: Any) -> int:
            response = getattr(error, "response", None)
            return int(response.headers.get("Retry-After", 1)) if response is not None else 1

        return self.backoff_runtime(value=told)


class Agents(TalkPilotStream):
    """The agents."""

    name = "agents"
    path = "/agents"
    selected_by_default = False
    schema: ClassVar[dict[str, Any]] = th.PropertiesList(th.Property("id", th.StringType)).to_dict()

    def get_new_paginator(self) -> Pages:
        """Pages from the first on."""
        return Pages(1)

    def get_child_context(self, record: Any, context: Any) -> dict[str, Any]:
        """Which agent's calls."""
        return {"agent_id": record["id"]}


class Calls(TalkPilotStream):
    """An agent's calls in the interval."""

    name = "calls"
    path = "/agents/{agent_id}/calls"
    parent_stream_type = Agents
    schema: ClassVar[dict[str, Any]] = _SCHEMA

    def get_new_paginator(self) -> Pages:
        """Pages from the first on."""
        return Pages(1)

    def get_url_params(self, context: Any, next_page_token: int | None) -> dict[str, Any]:
        """One page of the interval."""
        start = self.get_starting_timestamp(context) if self.replication_key else None
        after = start.isoformat() if start else self.config["start_date"]
        bounds = {"from": after, "to": self.config["end"]}
        page = {"page": next_page_token or 1, "limit": 100}
        return {**page, **bounds, "include_deleted": "true"}

    def get_child_context(self, record: Any, context: Any) -> dict[str, Any]:
        """Which call's detail."""
        return {"agent_id": record["agent_id"], "id": record["id"]}


class Details(TalkPilotStream):
    """A call's detail."""

    name = "details"
    path = "/agents/{agent_id}/calls/{id}"
    parent_stream_type = Calls
    records_jsonpath = "$"
    # As documented for parents with many children: no state of each.
    state_partitioning_keys: ClassVar[list[str]] = []
    schema: ClassVar[dict[str, Any]] = _SCHEMA


class TapTalkPilot(Tap):
    """The tap."""

    name = "tap-talkpilot"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("base_url", th.StringType),
        th.Property("api_key", th.StringType),
        th.Property("start_date", th.StringType),
        th.Property("end", th.StringType),
        th.Property("details", th.BooleanType),
    ).to_dict()

    def discover_streams(self) -> Iterable[TalkPilotStream]:
        """The list alone, or its details."""
        Calls.selected_by_default = not self.config["details"]
        streams: list[Callable[[Tap], TalkPilotStream]] = [Agents, Calls]
        streams += [Details] if self.config["details"] else []
        return [stream(self) for stream in streams]


def main(kind: str, base_url: str, api_key: str, root: str, start: str, end: str) -> None:
    """Emit an interval's list, or its details.

    :param kind: ``list``; ``interval`` for a list that goes on from the last run; ``details``,
        and ``resumed`` after a kill.
    """
    config = {
        "base_url": base_url,
        "api_key": api_key,
        "start_date": f"{start}T00:00:00Z",
        "end": end,
        "details": kind in ("details", "resumed"),
    }
    earlier = sorted(Path(root).glob("messages-*.jsonl"))
    if kind == "interval":
        Calls.replication_key = "created_at"
    state = _state(earlier) if kind in ("interval", "resumed") else {}
    number = len(earlier)
    tap = TapTalkPilot(config=config, state=state)
    with measured(), _output(Path(root, f"messages-{number}.jsonl")):
        tap.sync_all()


def _state(earlier: list[Path]) -> dict[str, Any]:
    """The last state that the tap emitted, as its runner keeps it."""
    state: dict[str, Any] = {}
    for path in earlier:
        for line in path.read_text().splitlines():
            if '"type":"STATE"' in line and line.endswith("}"):
                state = json.loads(line)["value"]
    return state


@contextmanager
def _output(path: Path) -> Generator[None, None, None]:
    """Write the standard output to a file."""
    sys.stdout.flush()
    kept = os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
