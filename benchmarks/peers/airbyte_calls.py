"""Airbyte's low-code CDK: a manifest, read as ``source-declarative-manifest`` reads it.

Its messages go to a file, as a destination would get them. The budget is its documented
``HTTPAPIBudget``. ``cursor`` is its documented ``is_client_side_incremental`` on ``updated_at``
with ``incremental_dependency``, so that only details of what changed are fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import IN_FLIGHT, measured

_MANIFEST = Path(__file__).with_suffix(".yaml")


def main(kind: str, base_url: str, api_key: str, root: str, start: str, end: str) -> None:
    """Read an interval's list, or its details.

    :param kind: ``list``; ``interval`` for a list that goes on from the last run; ``details``,
        and ``resumed`` after a kill; ``cursor`` for details of what changed since the last run.
    """
    from airbyte_cdk.entrypoint import AirbyteEntrypoint
    from airbyte_cdk.models import AirbyteStateMessageSerializer, ConfiguredAirbyteCatalogSerializer
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
        ConcurrentDeclarativeSource,
    )

    folder = Path(root)
    config = {
        "base_url": base_url,
        "api_key": api_key,
        "start": start,
        "end": end,
        "in_flight": IN_FLIGHT,
    }
    stream = "calls" if kind in ("list", "interval") else "details"
    catalog = _catalog(stream, is_incremental=kind not in ("details", "resumed"))
    state = _state(folder) if kind in ("interval", "resumed", "cursor") else []
    paths = {}
    for name, value in (("config", config), ("catalog", catalog), ("state", state)):
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(value))
    arguments = argparse.Namespace(
        command="read", debug=False, **{name: str(path) for name, path in paths.items()}
    )
    number = len(list(folder.glob("messages-*.jsonl")))
    with measured(), (folder / f"messages-{number}.jsonl").open("w") as messages:
        source = ConcurrentDeclarativeSource(
            catalog=ConfiguredAirbyteCatalogSerializer.load(catalog),
            config=config,
            state=[AirbyteStateMessageSerializer.load(one) for one in state],
            source_config=_manifest(kind, start, end),
        )
        for message in AirbyteEntrypoint(source).run(arguments):
            messages.write(f"{message}\n")


def _manifest(kind: str, start: str, end: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(_MANIFEST.read_text())
    per_minute, seconds = os.environ.get("BENCH_LIMIT", "0 60").split()
    if int(per_minute):
        policy = {
            "type": "FixedWindowCallRatePolicy",
            "period": f"PT{seconds}S",
            "call_limit": int(per_minute),
            "matchers": [{"type": "HttpRequestRegexMatcher", "url_path_pattern": "/v1/.*"}],
        }
        manifest["api_budget"] = {
            "type": "HTTPAPIBudget",
            "ratelimit_reset_header": "X-RateLimit-Reset",
            "ratelimit_remaining_header": "X-RateLimit-Remaining",
            "status_codes_for_ratelimit_hit": [429],
            "policies": [policy],
        }
    if kind == "cursor":
        _, calls, details = manifest["streams"]
        calls["retriever"]["requester"]["request_parameters"] |= {"from": start, "to": end}
        cursor = calls["incremental_sync"]
        del cursor["start_time_option"], cursor["end_time_option"], cursor["end_datetime"]
        cursor |= {"cursor_field": "updated_at", "is_client_side_incremental": True}
        details["incremental_sync"] = cursor | {"global_substream_cursor": True}
        parent = details["retriever"]["partition_router"]["parent_stream_configs"][0]
        parent["incremental_dependency"] = True
    return manifest


def _catalog(stream: str, *, is_incremental: bool) -> dict[str, Any]:
    mode = "incremental" if is_incremental else "full_refresh"
    told = {
        "name": stream,
        "json_schema": {},
        "supported_sync_modes": ["full_refresh", "incremental"],
    }
    configured = {"stream": told, "sync_mode": mode, "destination_sync_mode": "append_dedup"}
    return {"streams": [configured]}


def _state(folder: Path) -> list[dict[str, Any]]:
    """The last state of each stream, as a platform keeps it."""
    last = {}
    for path in sorted(folder.glob("messages-*.jsonl")):
        for line in path.read_text().splitlines():
            if '"type":"STATE"' in line and line.endswith("}"):
                state = json.loads(line)["state"]
                state.pop("sourceStats", None)
                last[state["stream"]["stream_descriptor"]["name"]] = state
    return list(last.values())


if __name__ == "__main__":
    main(*sys.argv[1:])
