"""A long list is walked in slices, at about as many requests; trouble costs a slice at most."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_talkpilot.api import Interval, TalkPilotClient
from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.staging.extract import extraction
from airflow_provider_talkpilot.staging.extract.extraction import extract_calls
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions, slices_of
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.parts import read_records
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, Kill, listed, local, pages
from tests.integration.sensing import Connect
from tests.integration.test_kills import AT_ONCE
from tests.support.windows import long_window

pytestmark = pytest.mark.slow

DAY = Interval.parse("2026-03-16", "2026-03-17")
# A list of more than four pages is long, and its slices have about two.
SHORT = 4
IN_JOBS = AT_ONCE | {"airflow_provider_talkpilot.staging.extract.extraction:LONG_PAGES": SHORT}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short list counts as a long one."""
    monkeypatch.setattr(extraction, "LONG_PAGES", SHORT)


@pytest.fixture
def thousand(chain: Chain, short: None) -> str:
    """The id of an agent with a thousand calls on a day."""
    chain.sandbox.reset(days=1, agents=1, calls_per_day=1_000)
    return chain.sandbox.store.agent_ids[0]


def walked(
    sandbox: Sandbox, agent_id: str, interval: Interval
) -> Iterator[tuple[Interval | None, int]]:
    """Yield each slice, in order, and its pages; None for a page that shows a list to be long."""
    parts = slices_of(interval, listed(sandbox, agent_id, interval), extraction.LONG_PAGES)
    if len(parts) == 1:
        yield interval, pages(sandbox, agent_id, interval)
        return
    yield None, 1
    for part in parts:
        yield from walked(sandbox, agent_id, part)


def cost(sandbox: Sandbox, agent_id: str, interval: Interval) -> int:
    return sum(number for _, number in walked(sandbox, agent_id, interval))


def staged(path: object) -> tuple[ListManifest, list[str]]:
    """Return a manifest, and the ids of its rows."""
    uri = parse_uri(str(path))
    manifest = ListManifest.load(uri)
    return manifest, [
        row["id"] for part in manifest.parts for row in read_records(uri.parent / part.name)
    ]


def ids(sandbox: Sandbox) -> list[str]:
    return sorted(call["id"] for call in sandbox.store.truth(DAY.start, DAY.end))


def checkpoint(chain: Chain) -> Path:
    [path] = local(chain.staging_uri).rglob("calls-checkpoint.json")
    return path


def unfinished(chain: Chain) -> tuple[str, dt.datetime]:
    """Return the agent whose walk is unfinished, and the moment that it has reached."""
    saved = ListManifest.model_validate_json(checkpoint(chain).read_text())
    [walk] = [(walk.agent_id, walk.until) for walk in saved.agents if walk.until]
    return walk


@pytest.mark.parametrize("calls", [10_000, 12_000])
def test_what_a_long_list_costs(chain: Chain, calls: int) -> None:
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=1, calls_per_day=calls)
    [agent_id] = sandbox.store.agent_ids
    manifest, rows = staged(chain.extract().returned)
    assert sorted(rows) == ids(sandbox)
    [walk] = manifest.agents
    assert (walk.calls, walk.walks) == (calls, 1)
    spent = sandbox.counters["calls"]
    assert spent == cost(sandbox, agent_id, DAY)
    if calls == 10_000:
        assert spent == 100, "a hundred pages are one walk"
    else:
        assert math.ceil(calls / 100) < spent <= math.ceil(calls / 100) * 1.03


bounds = st.sampled_from(["exclusive", "inclusive"])
# Bursts of calls at one moment, at the bounds of possible slices and elsewhere.
moments = st.integers(0, 24 * 60).map(lambda minute: DAY.start + dt.timedelta(minutes=minute)) | (
    st.timedeltas(dt.timedelta(0), dt.timedelta(days=1)).map(lambda after: DAY.start + after)
)
bursts = st.lists(st.tuples(moments, st.integers(1, 250)), max_size=4)


@given(bursts=bursts, from_bound=bounds, to_bound=bounds, calls=st.integers(0, 500))
@settings(max_examples=20, suppress_health_check=list(HealthCheck), deadline=None)
def test_each_call_comes_once_wherever_the_cuts_are(
    sandbox: Sandbox, tmp_path: Path, bursts: Any, from_bound: Any, to_bound: Any, calls: int
) -> None:
    sandbox.reset(
        days=3,
        start=dt.date(2026, 3, 15),
        agents=1,
        calls_per_day=calls,
        from_bound=from_bound,
        to_bound=to_bound,
    )
    [agent_id] = sandbox.store.agent_ids
    for moment, count in bursts:
        for _ in range(count):
            sandbox.store.insert_late(agent_id, moment)
    folder = parse_uri((tmp_path / uuid4().hex).as_uri())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "LONG_PAGES", SHORT)
        with TalkPilotClient(sandbox.base_url, sandbox.api_key) as client:
            manifest, path = extract_calls(client, folder, ExtractOptions(DAY, [agent_id]))
        expected = cost(sandbox, agent_id, DAY)
    assert sorted(staged(path)[1]) == ids(sandbox)
    assert manifest.agents[0].calls == len(ids(sandbox))
    assert sandbox.counters["calls"] == expected


def test_a_late_row_breaks_the_walk_of_its_slice_alone(chain: Chain, thousand: str) -> None:
    sandbox = chain.sandbox
    before = list(walked(sandbox, thousand, DAY))
    number, part = next((n, part) for n, (part, count) in enumerate(before) if part and count > 1)
    after = sum(count for _, count in before[:number]) + 1
    middle = part.start + (part.end - part.start) / 2
    sandbox.scripts.add("insert_late", after=after, agent_id=thousand, created_at=middle)

    manifest, rows = staged(chain.extract().returned)
    assert sorted(rows) == ids(sandbox)
    assert len(rows) == 1_001
    [walk] = manifest.agents
    assert walk.walks == 2
    # The page that saw the change, and the page before it.
    again = sum(count for _, count in before) - before[number][1] + pages(sandbox, thousand, part)
    assert sandbox.counters["calls"] == again + 2


@pytest.mark.parametrize("request_number", [3, 11])
def test_a_killed_walk_goes_on_after_its_finished_slices(
    chain: Chain, thousand: str, kill: Kill, request_number: int
) -> None:
    """Finished slices are not walked again."""
    sandbox = chain.sandbox
    until, spent = DAY.start, 0
    for part, count in walked(sandbox, thousand, DAY):
        spent += count
        if spent < request_number and part:
            until = part.end
    kill("extract", request=request_number, constants=IN_JOBS)
    killed_at = dt.datetime.now(dt.UTC)
    chain.spent()

    calls = str(chain.extract().returned)
    assert sandbox.counters["calls"] == cost(sandbox, thousand, Interval(until, DAY.end))
    manifest, rows = staged(calls)
    assert sorted(rows) == ids(sandbox)
    [walk] = manifest.agents
    assert walk.calls == 1_000
    assert (walk.began_at < killed_at) == (until > DAY.start)
    assert walk.ended_at > killed_at
    chain.load(calls)
    chain.assert_table_is_truth(details=False)


def test_an_hour_that_is_too_short_for_a_walk(chain: Chain) -> None:
    """Other users of the key leave few requests: slices get shorter, until one fits."""
    sandbox = chain.sandbox
    sandbox.reset(
        days=1, agents=1, calls_per_day=1_000, requests_per_hour=7, hour_seconds=long_window()
    )
    tries, method, calls = 0, "execute", None
    while calls is None:
        tries += 1
        assert tries < 20, "it would go on for ever"
        chain.reset_quota()
        try:
            ended = chain.extract(method=method, deferrable=True, defer_after=dt.timedelta(0, 2))
            calls = str(ended.returned)
        except TaskDeferred as deferred:
            method = deferred.method_name
    assert tries > 5
    manifest, rows = staged(calls)
    assert sorted(rows) == ids(sandbox)
    assert manifest.requests == {kind: sandbox.counters[kind] for kind in ("agents", "calls")}, (
        "requests of unfinished tries count too"
    )


@pytest.mark.usefixtures("short")
def test_a_list_that_cannot_be_cut_waits_in_the_worker(chain: Chain, connect: Connect) -> None:
    """If the hour has fewer requests than the list has pages, a deferral would never end."""
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=1, calls_per_day=0, requests_per_hour=4, hour_seconds=1.5)
    connect()
    for _ in range(550):
        sandbox.store.insert_late(sandbox.store.agent_ids[0], "2026-03-16T12:00:30Z")
    extracted = chain.extract(
        start="2026-03-16T12:00:00",
        end="2026-03-16T12:01:00",
        agent_ids=sandbox.store.agent_ids,
        deferrable=True,
        defer_after=dt.timedelta(milliseconds=1),
    )
    assert extracted.xcoms["summary"]["calls"] == 550
    assert sandbox.counters["calls"] - sandbox.counters["refused"] == 6


@pytest.mark.usefixtures("short")
def test_several_agents_one_half_done(chain: Chain) -> None:
    """The unfinished agent goes on first; the list of agents may have changed meanwhile."""
    sandbox = chain.sandbox
    sandbox.reset(days=1, agents=3, calls_per_day=1_500)
    agents = [agent["id"] for agent in sandbox.store.agents]
    first, second = (cost(sandbox, agent_id, DAY) for agent_id in agents[:2])
    sandbox.faults.add("no_pagination", kind="calls", after=first + second // 2)
    with pytest.raises(AirflowFailException):
        chain.extract()
    agent_id, until = unfinished(chain)
    assert agent_id == agents[1]
    newcomer = sandbox.store.add_agent()
    sandbox.store.insert_late(newcomer, "2026-03-16T12:00:00Z")
    chain.spent()

    manifest, rows = staged(chain.extract().returned)
    assert sorted(rows) == ids(sandbox)
    assert sorted(walk.agent_id for walk in manifest.agents) == sorted([*agents, newcomer])
    assert sum(walk.calls for walk in manifest.agents) == 1_501
    rest = cost(sandbox, agents[1], Interval(until, DAY.end))
    assert sandbox.counters["calls"] == rest + cost(sandbox, agents[2], DAY) + 1


@pytest.mark.parametrize(("began", "last", "taken"), [(9, 1, True), (9, 7, False)])
def test_work_that_takes_long_is_not_old(
    chain: Chain, thousand: str, began: int, last: int, taken: bool
) -> None:
    """The moment when a task last worked on it counts, not the moment when it began."""
    sandbox = chain.sandbox
    sandbox.faults.add("no_pagination", kind="calls", after=7)
    with pytest.raises(AirflowFailException):
        chain.extract()
    _, until = unfinished(chain)
    found = json.loads(checkpoint(chain).read_text())
    now = dt.datetime.now(dt.UTC)
    found["started_at"] = (now - dt.timedelta(hours=began)).isoformat()
    found["worked_at"] = (now - dt.timedelta(hours=last)).isoformat()
    checkpoint(chain).write_text(json.dumps(found))
    chain.spent()
    chain.summaries()
    rest = Interval(until, DAY.end) if taken else DAY
    assert sandbox.counters["calls"] == cost(sandbox, thousand, rest)
    chain.assert_table_is_truth(details=False)
