"""What TalkPilot purges or erases is in no staged file once the interval was walked and loaded."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_talkpilot.sandbox.api.faults import FaultName
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.enrich.details import DetailBatches
from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.manifests import WalksManifest
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.integration.chain import Chain, Kill, age, day, local, names, staged_files
from tests.support.jobs import Death

pytestmark = pytest.mark.slow

STATES = ["purged", "erased"]


class Caller:
    """One call whose caller can be told from everybody else, and its end."""

    def __init__(self, chain: Chain, state: str, number: int = 5) -> None:
        self.chain, self.state = chain, state
        self.name = f"Zaphod-{uuid4().hex}"
        self.call_id = chain.sandbox.truth(*chain.interval)[number]["id"]
        chain.sandbox.edit(
            self.call_id,
            customer_name=self.name,
            transcript=[{"role": "user", "text": f"My name is {self.name}."}],
        )

    def leave(self) -> None:
        """Be purged or erased at TalkPilot."""
        if self.state == "purged":
            self.chain.sandbox.purge(self.call_id)
        else:
            self.chain.sandbox.erase(self.call_id)

    def is_in(self, *uris: str) -> list[str]:
        """The files below the staging URIs that name the caller."""
        return [name for uri in uris for name in names(uri) if self.name in text(uri, name)]


def text(uri: str, name: str) -> str:
    content: bytes = parse_uri(uri).fs.cat_file(name)
    return content.decode()


def requested(chain: Chain) -> Counter[str]:
    """How often the detail of each call was requested."""
    paths = (r.path.rpartition("/")[2] for r in chain.sandbox.requests if r.kind == "detail")
    return Counter(paths)


def clean_run(chain: Chain, dag_id: str = "calls", **extract: Any) -> Any:
    """A whole run of a DAG, and its clean; gives the counts."""
    calls = str(chain.extract(dag_id=dag_id, **extract).returned)
    chain.load(calls, dag_id=dag_id)
    details = str(chain.enrich(calls, dag_id=dag_id).returned)
    chain.load(details, dag_id=dag_id)
    return chain.clean(calls, details, dag_id=dag_id).returned


def test_files_of_a_failed_run_of_another_dag(anywhere: Chain) -> None:
    chain = anywhere
    callers = [Caller(chain, state, number) for number, state in enumerate(STATES, 5)]
    failed = chain.extract(dag_id="failed").returned
    chain.enrich(str(failed), dag_id="failed")
    files = len(names(chain.staging_uri))
    for caller in callers:
        assert len(caller.is_in(chain.staging_uri)) == 2
        caller.leave()
    chain.sandbox.reset_counters()
    # The failed run's details are taken over, all but one that is of before the purge.
    assert clean_run(chain, "second") == {"loaded": 5, "purged": 2, "expired": 0}
    assert [caller.is_in(chain.staging_uri) for caller in callers] == [[], []]
    assert len(names(chain.staging_uri)) == files
    spent = chain.sandbox.counters
    assert (spent["agents"], spent["calls"], spent["detail"]) == (1, 2, 1)
    chain.assert_table_is_truth()


@pytest.mark.parametrize("state", STATES)
def test_the_failed_run_can_still_be_gone_on_with(chain: Chain, table: str, state: str) -> None:
    """It requests no detail that was staged, and brings nothing back into any table."""
    caller = Caller(chain, state)
    failed = str(chain.extract(dag_id="failed").returned)
    chain.enrich(failed, dag_id="failed")
    caller.leave()
    clean_run(chain, "second")
    chain.assert_table_is_truth()

    chain.sandbox.reset_counters()
    chain.load(failed)
    details = chain.enrich(failed, dag_id="failed").returned
    chain.load(details)
    assert chain.sandbox.counters["detail"] == 0
    chain.assert_table_is_truth()

    chain.table = f"{table}_2"
    chain.load(failed)
    rows = {row["id"]: row for row in chain.rows()}
    assert caller.name not in str(rows)
    assert rows.keys() == {call["id"] for call in chain.sandbox.truth(*chain.interval)}
    assert state == "erased" or rows[caller.call_id]["is_purged"] is True
    chain.load(chain.enrich(failed, dag_id="failed").returned)
    assert "My name is" not in str(chain.rows())


def test_every_folder_that_can_hold_the_call(chain: Chain) -> None:
    """Other DAGs, agents, intervals that overlap, selections, and other connections."""
    sandbox, agents = chain.sandbox, chain.sandbox.store.agent_ids
    chain.interval = "2026-03-16T00:00:00", "2026-03-16T12:00:00"
    caller = Caller(chain, "purged")
    for options in (
        {"dag_id": "another"},
        {"agent_ids": agents},
        {"start": "2026-03-15", "end": "2026-03-18"},
        {"start": "2026-03-16", "end": "2026-03-16T12:00:00.000001"},
        {"search": "Zaphod"},
    ):
        chain.enrich(str(chain.extract(**options).returned), table=None)
    assert len(caller.is_in(chain.staging_uri)) == 10
    caller.leave()
    spent = sandbox.counters["detail"]
    clean_run(chain, "second")
    assert caller.is_in(chain.staging_uri) == []
    assert sandbox.counters["detail"] - spent == 1
    chain.assert_table_is_truth()


@pytest.mark.parametrize(("state", "keep"), [("purged", True), ("erased", False)])
def test_an_earlier_run_of_the_same_folder(chain: Chain, state: str, keep: bool) -> None:
    """Nothing of it comes back into the table, neither now nor with what was kept by choice."""
    caller = Caller(chain, state)
    calls = str(chain.extract().returned)
    chain.enrich(calls)
    caller.leave()
    chain.sandbox.reset_counters()
    manifests = chain.run()
    assert chain.sandbox.counters["detail"] == (1 if state == "purged" else 0)
    chain.assert_table_is_truth()
    chain.clean(*manifests, keep=keep)
    # TalkPilot itself keeps the name beside a purged call, and so does its own walk.
    left = [name for name in caller.is_in(chain.staging_uri) if state == "erased" or not keep]
    assert left == []
    assert all("My name is" not in text(chain.staging_uri, n) for n in names(chain.staging_uri))
    chain.run()
    chain.assert_table_is_truth()


def test_without_versions_too(chain: Chain) -> None:
    """The API tells no ``updated_at``: a staged detail of before the purge counts as known."""
    sandbox = chain.sandbox
    sandbox.settings.patch(list_has_updated_at=False, detail_has_updated_at=False)
    caller = Caller(chain, "purged")
    chain.enrich(str(chain.extract().returned))
    caller.leave()
    chain.clean(*chain.run())
    [row] = [row for row in chain.rows() if row["id"] == caller.call_id]
    assert (row["transcript"], row["phone_number"], row["is_purged"]) == ([], None, True)
    assert caller.is_in(chain.staging_uri) == []


def test_only_what_it_must_is_taken_out(chain: Chain) -> None:
    """What the walk does not tell anything about stays as it is, byte for byte."""
    sandbox, agents = chain.sandbox, chain.sandbox.store.agent_ids
    first = next(c for c in sandbox.truth(*chain.interval) if c["agent_id"] == agents[0])
    second = next(c for c in sandbox.truth(*chain.interval) if c["agent_id"] == agents[1])
    tomorrow = sandbox.truth(*day(1))[3]
    chain.enrich(str(chain.extract(dag_id="another").returned))
    chain.enrich(str(chain.extract(dag_id="another", interval=day(1)).returned))
    chain.enrich(str(chain.extract(dag_id="another", agent_ids=agents[1:]).returned))
    before = {path: path.read_bytes() for path in staged_files(chain.staging_uri)}

    # Erased: of an agent, and of a day, that is not walked.
    sandbox.erase(second["id"])
    sandbox.erase(tomorrow["id"])
    chain.extract_options["agent_ids"] = agents[:1]
    assert chain.clean(*chain.run()).returned["purged"] == 0
    assert {path: path.read_bytes() for path in staged_files(chain.staging_uri)} == before

    # A selection does not show who is gone.
    sandbox.erase(first["id"])
    chain.extract_options["done"] = False
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
    chain.enrich(str(chain.extract(dag_id="failed").returned))
    caller.leave()
    clean_run(chain, "second", search=caller.name)
    assert caller.is_in(chain.staging_uri) == []


def test_rejects(chain: Chain) -> None:
    """A record that did not fit is data of a caller too."""
    sandbox = chain.sandbox
    sandbox.reset(days=1)
    first = sandbox.store.agents[0]["id"]
    spoiled = [c["id"] for c in sandbox.truth(*chain.interval) if c["agent_id"] == first][-1]
    position = [c["id"] for c in sandbox.truth(*chain.interval)].index(spoiled)
    faults: list[tuple[str, FaultName]] = [("one", "no_start"), ("two", "no_id")]
    for dag_id, fault in faults:
        caller = Caller(chain, "purged", position)
        sandbox.faults.add(fault, kind="calls")
        with pytest.raises(AirflowFailException):
            chain.extract(dag_id=dag_id)
        assert len(caller.is_in(chain.staging_uri)) == 1
    caller.leave()
    clean_run(chain, "second")
    [left] = [path for path in staged_files(chain.staging_uri) if path.name.startswith("rejects")]
    assert "/two/" in str(left), "it has no id: it goes when it expires"
    age(*staged_files(chain.staging_uri))
    chain.clean()
    assert names(chain.staging_uri) == []


# Beside runs that are at work


def purge_elsewhere(chain: Chain, caller: Caller) -> None:
    """The caller leaves, and another DAG walks, loads and cleans."""
    caller.leave()
    walk = str(chain.extract(dag_id="quick").returned)
    chain.load(walk)
    chain.clean(walk)


def of_the_first_agent(chain: Chain, state: str) -> Caller:
    """A caller of the agent that is walked first."""
    agent_ids = [call["agent_id"] for call in chain.sandbox.truth(*chain.interval)]
    return Caller(chain, state, agent_ids.index(chain.sandbox.store.agents[0]["id"]))


@pytest.mark.parametrize(("state", "number"), [("purged", 5), ("erased", -6)])
def test_while_another_run_fetches_details(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, state: str, number: int
) -> None:
    """It ends with all that is left, and requests nothing twice."""
    sandbox = chain.sandbox
    sandbox.reset(days=1, calls_per_day=120)
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
    assert "My name is" not in "".join(text(chain.staging_uri, n) for n in names(chain.staging_uri))
    spent = requested(chain)
    assert max(times for call, times in spent.items() if call != caller.call_id) == 1
    assert spent[caller.call_id] <= 2, "once before and once after the purge"
    chain.load(calls)
    chain.load(details)
    chain.assert_table_is_truth()
    chain.clean(calls, details)
    assert names(chain.staging_uri) == []


def test_while_another_run_walks(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk cannot be mended from outside while it is made: it is made again."""
    sandbox = chain.sandbox
    sandbox.reset(agents=6)
    monkeypatch.setattr("airflow_provider_talkpilot.staging.extract.walker.PART_SECONDS", 0.0)
    caller = of_the_first_agent(chain, "erased")
    save, times = WalksManifest.save_checkpoint, list[str]()

    def save_and_purge(manifest: WalksManifest, folder: Any) -> None:
        save(manifest, folder)
        times.append(manifest.kind)
        if len(times) == 3:
            assert len(caller.is_in(chain.staging_uri)) == 1
            purge_elsewhere(chain, caller)

    monkeypatch.setattr(WalksManifest, "save_checkpoint", save_and_purge)
    with pytest.raises(AirflowException, match="The next try walks again") as raised:
        chain.extract(dag_id="slow")
    assert not isinstance(raised.value, AirflowFailException)
    assert caller.is_in(chain.staging_uri) == []
    chain.clean(*chain.run())
    chain.assert_table_is_truth()


def test_a_walk_that_was_interrupted_goes_on(chain: Chain) -> None:
    """Its checkpoint names what was written anew: finished agents are not walked again."""
    sandbox = chain.sandbox
    sandbox.reset(agents=6)
    caller = of_the_first_agent(chain, "purged")
    sandbox.faults.add("no_pagination", kind="calls", after=4)
    with pytest.raises(AirflowFailException):
        chain.extract(dag_id="failed")
    purge_elsewhere(chain, caller)
    assert caller.is_in(chain.staging_uri) == []
    sandbox.reset_counters()
    calls = str(chain.extract(dag_id="failed").returned)
    assert sandbox.counters["calls"] == 2
    chain.load(calls)
    chain.assert_table_is_truth(details=False)


# Killed, torn, unfinished

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
def test_killed_and_done_again(
    chain: Chain, kill: Kill, state: str, function: str, call: int
) -> None:
    caller = Caller(chain, state)
    failed = str(chain.extract(dag_id="failed").returned)
    chain.enrich(failed, dag_id="failed")
    caller.leave()
    manifests = chain.run()
    chain.sandbox.reset_counters()
    kill("clean", *manifests, keep=True, death=Death(f"{STORAGE}:{function}", call=call))
    chain.clean(*manifests)
    assert caller.is_in(chain.staging_uri) == []
    chain.load(failed)
    chain.load(chain.enrich(failed, dag_id="failed").returned)
    assert chain.sandbox.counters["detail"] == 0
    chain.assert_table_is_truth()


def test_an_unfinished_file(chain: Chain, kill: Kill) -> None:
    """A killed try left it; it has no name yet, but callers in it."""
    caller = Caller(chain, "purged")
    kill("extract", dag_id="failed", death=Death("pathlib:Path.replace"))
    [unfinished] = staged_files(chain.staging_uri)
    assert caller.is_in(chain.staging_uri) == [str(unfinished)]
    torn = unfinished.with_name(unfinished.name[:-8] + "01234567")
    torn.write_bytes(unfinished.read_bytes()[:99])
    caller.leave()
    clean_run(chain, "second")
    assert staged_files(chain.staging_uri) == [torn], "a task may be writing it"
    age(torn, by=timedelta(minutes=6))
    chain.clean(*chain.run(), keep=True)
    assert torn not in staged_files(chain.staging_uri)


def test_a_part_that_is_not_whole_is_not_made_to_look_whole(chain: Chain) -> None:
    """No task can load it, and it may hold the caller: it goes."""
    caller = Caller(chain, "purged")
    failed = str(chain.extract(dag_id="failed").returned)
    chain.enrich(failed, dag_id="failed")
    far = str(chain.extract(dag_id="failed", interval=day(1)).returned)
    for manifest in (failed, far):
        for part in local(manifest).parent.glob("*-0*.jsonl"):
            part.write_bytes(part.read_bytes()[:-9])
    caller.leave()
    clean_run(chain, "second")
    assert caller.is_in(chain.staging_uri) == []
    assert not list(local(failed).parent.glob("*-0*.jsonl"))
    assert list(local(far).parent.glob("*-0*.jsonl")), "the walk says nothing of that day"
    with pytest.raises(AirflowFailException, match=r"gone.* again"):
        chain.load(failed)
    clean_run(chain, "failed")
    chain.assert_table_is_truth()


def test_another_folder_that_cannot_be_read(
    chain: Chain, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is done, and the log says what was not."""
    caller = Caller(chain, "purged")
    for dag_id in ("a", "b", "c"):
        chain.extract(dag_id=dag_id)
    caller.leave()
    listed = storage.list_entries

    def fail_for_b(folder: Any) -> Any:
        if "/b/talkpilot_default/all/" in str(folder):
            raise StagingError(f"Cannot list {folder}.")
        return listed(folder)

    monkeypatch.setattr(storage, "list_entries", fail_for_b)
    clean_run(chain, "second")
    [left] = caller.is_in(chain.staging_uri)
    assert "/b/" in left
    assert "It is left alone." in caplog.text
    assert "/b/" in caplog.text
