"""What a walk proves about staged rows, against a model that is plain enough to be right."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.staging.clean.walked import CallState, Row, WalkedCalls
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import ListManifest, WalkedAgent
from airflow_provider_talkpilot.staging.parts import Part, PartWriter
from airflow_provider_talkpilot.staging.storage import parse_uri

START, END = datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC)
# Between the two, the walk can have passed the place of a call that came late.
BEGAN, ENDED = datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 3, 20, 1, tzinfo=UTC)
BEFORE = BEGAN - timedelta(days=1)
# Agent "a" is named "A" in the walk, "b" as it is, and "x" is not walked.
IDS = ["a1", "a2", "a3", "b1", "b2", "x1"]
STARTS = {"a3": START - timedelta(microseconds=1), "b2": END, "a1": START}


def row(call_id: str, **fields: Any) -> Row:
    created_at = STARTS.get(call_id, START + timedelta(hours=1))
    return {"id": call_id, "agent_id": call_id[0], "created_at": created_at.isoformat(), **fields}


def write(folder: ObjectStoragePath, kind: str, records: Iterable[Row]) -> list[Part]:
    with PartWriter(folder, kind) as writer:
        writer.write(records)
        part = writer.flush()
    return [part] if part else []


def walked(place: str, **fields: Any) -> tuple[ObjectStoragePath, ListManifest]:
    """A walk of agents a and b; ``calls`` are its rows, ``rejected`` the rejects of agent a."""
    folder = parse_uri(f"file://{place}")
    parts, rejected = write(folder, "calls", fields.pop("calls", ())), fields.pop("rejected", 0)
    agents = [
        WalkedAgent(agent_id=name, calls=0, rejected=count, began_at=BEGAN, ended_at=ENDED)
        for name, count in (("A", rejected), ("b", 0))
    ]
    return folder, ListManifest(
        start=START, end=END, agents=agents, parts=parts, started_at=BEGAN, **fields
    )


@given(
    walk=st.dictionaries(st.sampled_from(IDS), st.sampled_from([True, False, None])),
    call_id=st.sampled_from(IDS),
    purged=st.sampled_from([True, False, None]),
    seconds=st.none() | st.integers(-2, 2),
    selection=st.booleans(),
)
def test_states(
    walk: dict[str, bool | None],
    call_id: str,
    purged: bool | None,
    seconds: int | None,
    selection: bool,
) -> None:
    read_at = None if seconds is None else BEGAN + timedelta(seconds=seconds)
    if call_id in walk:
        expected = CallState.PURGED if walk[call_id] and not purged else CallState.SAME
    else:
        inside = call_id in ("a1", "a2", "b1")  # of a walked agent, in the interval
        before = seconds is not None and seconds < 0
        expected = CallState.GONE if inside and before and not selection else CallState.SAME
    with tempfile.TemporaryDirectory() as place:
        folder, manifest = walked(
            place,
            calls=[row(one, is_purged=flag) for one, flag in walk.items()],
            selection=["done"] if selection else [],
        )
        with WalkedCalls(folder, manifest) as calls:
            assert calls.state(row(call_id, is_purged=purged), read_at) is expected


def test_a_reject_hides_which_calls_of_its_agent_are_gone(tmp_path: Path) -> None:
    """It may be any of them. Of other agents they are still seen."""
    folder, manifest = walked(str(tmp_path), rejected=1)
    with WalkedCalls(folder, manifest) as calls:
        assert calls.state(row("a1"), BEFORE) is CallState.SAME
        assert calls.state(row("b1"), BEFORE) is CallState.GONE


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ({}, CallState.SAME),
        ({"id": None}, CallState.SAME),
        ({"id": 5}, CallState.SAME),
        (row("a1", detail_found=False), CallState.SAME),
        (row("a1") | {"created_at": None}, CallState.SAME),
        (row("a1") | {"created_at": "yesterday"}, CallState.SAME),
        (row("a1") | {"agent_id": None}, CallState.SAME),
        (row("a1") | {"agent_id": "A"}, CallState.GONE),
        (row("a2") | {"id": "A2"}, CallState.PURGED),
        (row("a1") | {"created_at": "2026-03-16 00:00:00+00"}, CallState.GONE),
        # Without a zone it is in UTC, as in a call.
        (row("a1") | {"created_at": "2026-03-16T00:00:00"}, CallState.GONE),
    ],
    ids=repr,
)
def test_a_reject_is_read_as_it_came(tmp_path: Path, record: Row, state: CallState) -> None:
    purged = row("a2", is_purged=True)
    with WalkedCalls(*walked(str(tmp_path), calls=[purged])) as calls:
        assert calls.state(record, BEFORE) is state


def test_parts_that_lack_a_row_prove_nothing(tmp_path: Path) -> None:
    folder, manifest = walked(str(tmp_path), calls=[row("a1"), row("a2")])
    manifest.parts[0].rows += 1
    with pytest.raises(ManifestError, match="do not hold what their manifest says"):
        WalkedCalls(folder, manifest)
