"""After a walk was loaded and cleaned, no staged file has a call that is purged or erased."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError
from airflow_provider_talkpilot.sandbox.api.faults import FaultName
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.enrich.details import DetailBatches
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, Kill, age, day, local, names, refused, staged_files
from tests.integration.test_performance import made_record
from tests.integration.test_performance import rows as records
from tests.integration.test_performance import stage as stage_records
from tests.support.jobs import Death

pytestmark = pytest.mark.slow

STATES = ["purged", "erased"]


class Caller:
    """A call whose caller has a name that nobody else has."""

    def __init__(self, chain: Chain, state: str, number: int = 5) -> None:
        self.chain, self.state = chain, state
        self.name = f"Zaphod-{uuid4().hex}"
        self.call_id = chain.truth()[number]["id"]
        chain.sandbox.store.edit(
            self.call_id,
            customer_name=self.name,
            transcript=[{"role": "user", "text": f"My name is {self.name}."}],
        )

    def leave(self) -> None:
        """Be purged or erased at TalkPilot."""
        if self.state == "purged":
            self.chain.sandbox.store.purge(self.call_id)
        else:
            self.chain.sandbox.store.erase(self.call_id)

    def files(self) -> list[str]:
        """Return the staged files that name the caller."""
        return [name for name in names(self.chain.staging_uri) if self.name in self._text(name)]

    def transcripts(self) -> list[str]:
        """Return the staged files that have the caller's words."""
        return [name for name in names(self.chain.staging_uri) if "My name" in self._text(name)]

    def _text(self, name: str) -> str:
        content: bytes = parse_uri(self.chain.staging_uri).fs.cat_file(name)
        return content.decode()


def requested(chain: Chain) -> Counter[str]:
    """Return how often the detail of each call was requested."""
    paths = (r.path.rpartition("/")[2] for r in chain.sandbox.requests if r.kind == "detail")
    return Counter(paths)


def stage(chain: Chain, dag_id: str = "failed", **extract: Any) -> str:
    """Extract and enrich in another DAG, which loads nothing; return the manifest of calls."""
    calls = str(chain.extract(dag_id=dag_id, **extract).returned)
    chain.enrich(calls, dag_id=dag_id)
    return calls


def clean_run(chain: Chain, dag_id: str = "second", **extract: Any) -> Any:
    """Run a whole DAG and clean; return the counts."""
    calls = str(chain.extract(dag_id=dag_id, **extract).returned)
    chain.load(calls, dag_id=dag_id)
    details = str(chain.enrich(calls, dag_id=dag_id).returned)
    chain.load(details, dag_id=dag_id)
    return chain.clean(calls, details, dag_id=dag_id).returned


def test_a_failed_run_of_another_dag(anywhere: Chain) -> None:
    """Its files lose the calls, and it can still go on: it brings nothing back into any table."""
    chain = anywhere
    callers = [Caller(chain, state, number) for number, state in enumerate(STATES, 5)]
    failed = stage(chain)
    files = len(names(chain.staging_uri))
    for caller in callers:
        assert len(caller.files()) == 2
        caller.leave()
    chain.spent()
    # The failed run's details are used again, but for the one of the purged call.
    assert clean_run(chain) == {"loaded": 5, "purged": 2, "expired": 0}
    assert [caller.files() for caller in callers] == [[], []]
    assert len(names(chain.staging_uri)) == files
    assert chain.spent() == {"agents": 1, "calls": 2, "detail": 1}
    chain.assert_table_is_truth()

    chain.load(failed)
    chain.load(str(chain.enrich(failed, dag_id="failed").returned))
    assert chain.details_requested() == 0
    chain.assert_table_is_truth()

    chain.table += "_2"
    chain.load(failed)
    rows = {row["id"]: row for row in chain.rows()}
    assert not any(caller.name in str(rows) for caller in callers)
    assert rows.keys() == {call["id"] for call in chain.truth()}
    assert rows[callers[0].call_id]["is_purged"] is True
    chain.load(str(chain.enrich(failed, dag_id="failed").returned))
    assert "My name is" not in str(chain.rows())


def test_every_folder_that_can_hold_the_call(chain: Chain) -> None:
    """Other DAGs, agents, intervals that overlap, selections, and other connections."""
    chain.interval = "2026-03-16T00:00:00", "2026-03-16T12:00:00"
    caller = Caller(chain, "purged")
    for options in (
        {"dag_id": "another"},
        {"agent_ids": chain.sandbox.store.agent_ids},
        {"start": "2026-03-15", "end": "2026-03-18"},
        {"start": "2026-03-16", "end": "2026-03-16T12:00:00.000001"},
        {"search": "Zaphod"},
    ):
        chain.enrich(str(chain.extract(**options).returned), table=None)
    assert len(caller.files()) == 10
    caller.leave()
    chain.spent()
    clean_run(chain)
    assert caller.files() == []
    assert chain.details_requested() == 1
    chain.assert_table_is_truth()


@pytest.mark.parametrize(("state", "keep"), [("purged", True), ("erased", False)])
def test_an_earlier_run_of_the_same_folder(chain: Chain, state: str, keep: bool) -> None:
    """No call of it comes back into the table, with staged files that are kept by choice too."""
    caller = Caller(chain, state)
    calls = str(chain.extract().returned)
    chain.enrich(calls)
    caller.leave()
    chain.spent()
    manifests = chain.run()
    assert chain.details_requested() == (1 if state == "purged" else 0)
    chain.assert_table_is_truth()
    chain.clean(*manifests, keep_staged=keep)
    # TalkPilot keeps the name of a purged call, and so does the walk that is kept.
    assert (caller.files() == []) == (state == "erased" or not keep)
    assert caller.transcripts() == []
    chain.run()
    chain.assert_table_is_truth()


def test_without_versions_too(chain: Chain) -> None:
    """Without ``updated_at`` in the API, a staged detail from before the purge counts as known."""
    chain.sandbox.settings.patch(list_has_updated_at=False, detail_has_updated_at=False)
    caller = Caller(chain, "purged")
    chain.enrich(str(chain.extract().returned))
    caller.leave()
    chain.clean(*chain.run())
    [row] = [row for row in chain.rows() if row["id"] == caller.call_id]
    assert (row["transcript"], row["phone_number"], row["is_purged"]) == ([], None, True)
    assert caller.files() == []


def test_only_what_it_must_is_taken_out(chain: Chain) -> None:
    """Files about which the walk proves nothing stay as they are, byte for byte."""
    sandbox, agents = chain.sandbox, chain.sandbox.store.agent_ids
    first, second = (
        next(call for call in chain.truth() if call["agent_id"] == agent) for agent in agents
    )
    tomorrow = sandbox.store.truth(*day(1))[3]
    for options in ({}, {"interval": day(1)}, {"agent_ids": agents[1:]}):
        stage(chain, "another", **options)
    before = {path: path.read_bytes() for path in staged_files(chain.staging_uri)}

    # The walk proves only that the first one is gone: of another agent and day it proves nothing.
    for call in (first, second, tomorrow):
        sandbox.store.erase(call["id"])
    # A selection does not show which calls are gone.
    chain.extract_options |= {"agent_ids": agents[:1], "done": False}
    assert chain.clean(*chain.run()).returned["purged"] == 0
    assert {path: path.read_bytes() for path in staged_files(chain.staging_uri)} == before

    del chain.extract_options["done"]
    assert chain.clean(*chain.run()).returned["purged"] == 2
    changed = [path for path in before if not path.exists()]
    assert [path.name[:7] for path in changed] == ["calls-0", "details"]
    for path in changed:
        [new] = path.parent.glob(f"{path.name[:7]}*.jsonl")
        assert set(new.read_bytes().splitlines()) < set(before[path].splitlines())
        assert len(new.read_bytes().splitlines()) == len(before[path].splitlines()) - 1


def test_a_selection_shows_a_purge(chain: Chain) -> None:
    caller = Caller(chain, "purged")
    stage(chain)
    caller.leave()
    clean_run(chain, search=caller.name)
    assert caller.files() == []


def test_rejects(chain: Chain) -> None:
    """A record that did not fit is data of a caller too."""
    sandbox = chain.sandbox
    sandbox.reset(days=1)
    first = sandbox.store.agents[0]["id"]
    agents = [call["agent_id"] for call in chain.truth()]
    position = max(number for number, agent in enumerate(agents) if agent == first)
    faults: list[tuple[str, FaultName]] = [("one", "no_start"), ("two", "no_id")]
    for dag_id, fault in faults:
        caller = Caller(chain, "purged", position)
        sandbox.faults.add(fault, kind="calls")
        with pytest.raises(AirflowFailException):
            chain.extract(dag_id=dag_id)
        assert len(caller.files()) == 1
    caller.leave()
    clean_run(chain)
    [left] = [path for path in staged_files(chain.staging_uri) if path.name.startswith("rejects")]
    assert "/two/" in str(left), "it has no id: it goes when it expires"
    age(*staged_files(chain.staging_uri))
    chain.clean()
    assert names(chain.staging_uri) == []


def purge_elsewhere(chain: Chain, caller: Caller) -> None:
    """Purge or erase the caller; then another DAG walks, loads and cleans."""
    caller.leave()
    walk = str(chain.extract(dag_id="quick").returned)
    chain.load(walk)
    chain.clean(walk)


def of_the_first_agent(chain: Chain, state: str) -> Caller:
    """Return a caller of the agent that is walked first."""
    agent_ids = [call["agent_id"] for call in chain.truth()]
    return Caller(chain, state, agent_ids.index(chain.sandbox.store.agents[0]["id"]))


@pytest.mark.parametrize(("state", "number"), [("purged", 5), ("erased", -6)])
def test_while_another_run_fetches_details(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, state: str, number: int
) -> None:
    """It ends with all calls that are left, and requests no detail twice."""
    chain.sandbox.reset(days=1, calls_per_day=120)
    caller = Caller(chain, state, number)
    calls = str(chain.extract(dag_id="slow").returned)
    flush, times = DetailBatches.flush, list[DetailBatches]()

    def flush_and_purge(batches: DetailBatches, **how: Any) -> None:
        flush(batches, **how)
        times.append(batches)
        if len(times) == 1:
            assert 0 < len(requested(chain)) < 120
            purge_elsewhere(chain, caller)

    monkeypatch.setattr(DetailBatches, "flush", flush_and_purge)
    details = str(chain.enrich(calls, dag_id="slow", concurrency=1).returned)
    assert caller.transcripts() == []
    spent = requested(chain)
    assert max(times for call, times in spent.items() if call != caller.call_id) == 1
    assert spent[caller.call_id] <= 2, "once before and once after the purge"
    chain.load(calls)
    chain.load(details)
    chain.assert_table_is_truth()
    chain.clean(calls, details)
    assert names(chain.staging_uri) == []


@pytest.mark.parametrize("moment", [4, 8], ids=["a checkpoint", "the manifest"])
def test_while_another_walks(chain: Chain, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """A part of an unfinished walk is rewritten: the walk fails, and the next try walks again."""
    chain.sandbox.reset(agents=6)
    monkeypatch.setattr("airflow_provider_talkpilot.staging.extract.walker.PART_SECONDS", 0.0)
    caller = of_the_first_agent(chain, "erased")
    put, stored = storage.put_text, list[str]()

    def purge_and_put(text: str, target: Any, **how: Any) -> None:
        stored.append(target.name)
        if len(stored) == moment:
            assert len(caller.files()) == 1
            purge_elsewhere(chain, caller)
        put(text, target, **how)

    monkeypatch.setattr(storage, "put_text", purge_and_put)
    walk = partial(chain.extract, dag_id="slow")
    refused(walk, "The next try stages them again", kind=TalkPilotTaskError)
    assert caller.files() == []
    chain.clean(*chain.run())
    chain.assert_table_is_truth()


def test_while_another_run_loads(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that it is about to load is rewritten: the next try loads the new one."""
    caller, walk = Caller(chain, "purged"), str(chain.extract(dag_id="slow").returned)

    def rewrite(*_: object) -> None:
        monkeypatch.setattr(ListManifest, "require_parts", require_parts)
        purge_elsewhere(chain, caller)
        require_parts(*_)

    require_parts: Any = ListManifest.require_parts
    monkeypatch.setattr(ListManifest, "require_parts", rewrite)
    refused(partial(chain.load, walk), "gone", kind=TalkPilotTaskError)
    chain.load(walk)
    chain.assert_table_is_truth(details=False)


def test_a_walk_that_was_interrupted_goes_on(chain: Chain) -> None:
    """Its checkpoint names the rewritten part: finished agents are not walked again."""
    sandbox = chain.sandbox
    sandbox.reset(agents=6)
    caller = of_the_first_agent(chain, "purged")
    sandbox.faults.add("no_pagination", kind="calls", after=4)
    with pytest.raises(AirflowFailException):
        chain.extract(dag_id="failed")
    purge_elsewhere(chain, caller)
    assert caller.files() == []
    sandbox.reset_counters()
    calls = str(chain.extract(dag_id="failed").returned)
    assert sandbox.counters["calls"] == 2
    chain.load(calls)
    chain.assert_table_is_truth(details=False)


STORAGE = "airflow_provider_talkpilot.staging.storage"


@pytest.mark.parametrize(
    ("state", "function", "call"),
    [
        ("purged", "put", 1),
        ("erased", "put_text", 1),
        ("purged", "delete", 1),
        ("erased", "put", 2),
    ],
)
def test_killed_and_redone(chain: Chain, kill: Kill, state: str, function: str, call: int) -> None:
    caller = Caller(chain, state)
    failed = stage(chain)
    caller.leave()
    manifests = chain.run()
    chain.spent()
    kill("clean", *manifests, keep_staged=True, death=Death(f"{STORAGE}:{function}", call=call))
    chain.clean(*manifests)
    assert caller.files() == []
    chain.load(failed)
    chain.load(chain.enrich(failed, dag_id="failed").returned)
    assert chain.details_requested() == 0
    chain.assert_table_is_truth()


@pytest.mark.parametrize("columns", [None, {"call_id": "drop"}])
def test_records_of_calls_that_the_walk_cannot_know_stay(
    chain: Chain, columns: dict[str, str] | None
) -> None:
    """One was written after midnight, or the walk lacks the ``call_id`` by choice."""
    chain.summaries()
    call = next(call for call in chain.truth() if not call["is_purged"])
    if not columns:
        chain.interval = day(1)
    record = made_record(call, 1, extracted_variables={"name": "Zaphod"})
    record["created_at"] = f"{chain.interval[0]}T{'12:00:00' if columns else '00:00:20'}Z"
    staged = stage_records(chain, chain.summaries(), record)
    own, chain.table = chain.table, f"{chain.table}_2"
    walk = str(chain.extract(dag_id="second", columns=columns).returned)
    chain.load(walk)
    chain.clean(walk)
    chain.table = own
    chain.load(staged)
    [row] = records(chain)
    assert (row["call_id"], row["purged_at"]) == (call["call_id"], None)
    assert row["extracted_variables"] == {"name": "Zaphod"}


def test_an_unfinished_file(chain: Chain, kill: Kill) -> None:
    """A killed try left it. It has no name yet, but it has callers."""
    caller = Caller(chain, "purged")
    kill("extract", dag_id="failed", death=Death("pathlib:Path.replace"))
    [unfinished] = staged_files(chain.staging_uri)
    assert caller.files() == [str(unfinished)]
    torn = unfinished.with_name(unfinished.name[:-8] + "01234567")
    torn.write_bytes(unfinished.read_bytes()[:99])
    caller.leave()
    clean_run(chain)
    assert staged_files(chain.staging_uri) == [torn], "a task may be writing it"
    age(torn, by=timedelta(minutes=6))
    chain.clean(*chain.run(), keep_staged=True)
    assert torn not in staged_files(chain.staging_uri)


def test_a_part_that_is_not_whole_is_not_made_to_look_whole(chain: Chain) -> None:
    """No task can load it, and it may hold the caller: it is deleted."""
    caller = Caller(chain, "purged")
    failed = stage(chain)
    far = str(chain.extract(dag_id="failed", interval=day(1)).returned)
    for manifest in (failed, far):
        for part in local(manifest).parent.glob("*-0*.jsonl"):
            part.write_bytes(part.read_bytes()[:-9])
    caller.leave()
    clean_run(chain)
    assert caller.files() == []
    assert not list(local(failed).parent.glob("*-0*.jsonl"))
    assert list(local(far).parent.glob("*-0*.jsonl")), "the walk says nothing of that day"
    with pytest.raises(TalkPilotTaskError, match=r"gone.* again"):
        chain.load(failed)
    clean_run(chain, "failed")
    chain.assert_table_is_truth()


def test_another_folder_that_cannot_be_read(
    chain: Chain, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are cleaned, and the log names the folder that was not."""
    caller = Caller(chain, "purged")
    for dag_id in ("a", "b", "c"):
        chain.extract(dag_id=dag_id)
    caller.leave()
    listed = storage.list_entries

    def fail(folder: Any, dag_id: str) -> Any:
        if f"/{dag_id}/talkpilot_default/all/" in str(folder):
            raise StagingError(f"Cannot list {folder}.")
        return listed(folder)

    monkeypatch.setattr(storage, "list_entries", partial(fail, dag_id="b"))
    clean_run(chain)
    [left] = caller.files()
    assert "/b/" in left
    assert "It is left alone." in caplog.text
    assert "/b/" in caplog.text
    # Its own folder must be readable.
    monkeypatch.setattr(storage, "list_entries", partial(fail, dag_id="calls"))
    own = partial(chain.clean, chain.summaries())
    refused(own, "Cannot list", "/calls/", kind=TalkPilotTaskError)
