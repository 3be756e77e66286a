"""What a walk says of staged rows, against a model that is plain enough to be right."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.staging.clean.walked import CallState, Row, WalkedCalls
from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.manifests import AgentWalk, WalksManifest
from airflow_provider_talkpilot.staging.parts import Part, PartWriter
from airflow_provider_talkpilot.staging.storage import parse_uri

START, END = datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC)
WALKED = datetime(2026, 3, 20, tzinfo=UTC)
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


def walked(place: str, **fields: Any) -> tuple[ObjectStoragePath, WalksManifest]:
    """A walk of agents a and b; ``calls`` and ``rejects`` are records."""
    folder = parse_uri(f"file://{place}")
    calls, rejects = fields.pop("calls", ()), fields.pop("rejects", ())
    agents = [
        AgentWalk(
            agent_id=agent_id,
            calls=0,
            rejected=sum(reject["agent_id"] == agent_id for reject in rejects),
            began_at=WALKED,
            walked_at=WALKED,
        )
        for agent_id in ("A", "b")
    ]
    manifest = WalksManifest(
        start=START,
        end=END,
        agents=agents,
        parts=write(folder, "calls", calls),
        rejects=write(folder, "rejects", rejects),
        started_at=WALKED,
        **fields,
    )
    return folder, manifest


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
    read_at = None if seconds is None else WALKED + timedelta(seconds=seconds)
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


@pytest.fixture
def before() -> datetime:
    return WALKED - timedelta(days=1)


def test_rejected_records_are_there(tmp_path: Any, before: datetime) -> None:
    rejects = [
        {"agent_id": "A", "reason": "", "record": row("a1", is_purged=True)},
        {"agent_id": "A", "reason": "", "record": row("a2")},
    ]
    folder, manifest = walked(str(tmp_path), rejects=rejects)
    with WalkedCalls(folder, manifest) as calls:
        assert calls.state(row("a1"), before) is CallState.PURGED
        assert calls.state(row("a2"), before) is CallState.SAME
        assert calls.state(row("aX"), before) is CallState.GONE


@pytest.mark.parametrize("record", [{"is_purged": True}, {"id": 5}, None, "text", []], ids=repr)
def test_a_record_without_an_id_hides_which_calls_are_gone(
    tmp_path: Any, before: datetime, record: Any
) -> None:
    """Of its agent; of the others it is still seen."""
    rejects = [{"agent_id": "A", "reason": "", "record": record}]
    folder, manifest = walked(str(tmp_path), rejects=rejects)
    with WalkedCalls(folder, manifest) as calls:
        assert calls.state(row("a1"), before) is CallState.SAME
        assert calls.state(row("b1"), before) is CallState.GONE


def test_rejects_that_were_deleted_hide_which_calls_are_gone(
    tmp_path: Any, before: datetime
) -> None:
    rejects = [{"agent_id": "A", "reason": "", "record": row("a1")}]
    folder, manifest = walked(str(tmp_path), rejects=rejects)
    (tmp_path / manifest.rejects[0].name).unlink()
    with WalkedCalls(folder, manifest) as calls:
        assert calls.state(row("a1"), before) is CallState.SAME
        assert calls.state(row("b1"), before) is CallState.GONE


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"id": None},
        {"id": 5},
        row("a1", detail_found=False),
        row("a1") | {"created_at": None},
        row("a1") | {"created_at": "yesterday"},
        row("a1") | {"agent_id": None},
    ],
    ids=repr,
)
def test_records_that_tell_too_little_stay(tmp_path: Any, before: datetime, odd: Row) -> None:
    folder, manifest = walked(str(tmp_path))
    with WalkedCalls(folder, manifest) as calls:
        assert calls.state(row("a1"), before) is CallState.GONE
        assert calls.state(odd, before) is CallState.SAME


@pytest.mark.parametrize("created_at", ["2026-03-16 00:00:00+00", "2026-03-16T00:00:00"])
def test_a_rejected_record_has_its_moment_as_it_came(
    tmp_path: Any, before: datetime, created_at: str
) -> None:
    """Without a zone it is in UTC, as in a call."""
    folder, manifest = walked(str(tmp_path))
    with WalkedCalls(folder, manifest) as calls:
        assert calls.state(row("a1") | {"created_at": created_at}, before) is CallState.GONE


def test_parts_that_lack_a_row_say_nothing(tmp_path: Any) -> None:
    folder, manifest = walked(str(tmp_path), calls=[row("a1"), row("a2")])
    manifest.parts[0].rows += 1
    with pytest.raises(ManifestError, match="do not hold what their manifest says"):
        WalkedCalls(folder, manifest)
