"""SIGKILL at any moment: the next try makes the table right, and repeats next to nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from airflow_provider_talkpilot.staging.enrich.details import BATCH_ROWS
from tests.integration.chain import Chain, Kill, local
from tests.support.jobs import Death
from tests.support.tables import tables

pytestmark = pytest.mark.slow

# Every finished walk is staged at once, as it is after a minute of work.
AT_ONCE = {"airflow_provider_talkpilot.staging.extract.walker:PART_SECONDS": 0.0}


@pytest.mark.both_eras
@pytest.mark.parametrize("request_number", [1, 4])
def test_extract_killed(chain: Chain, kill: Kill, request_number: int) -> None:
    """Finished agents are not walked again."""
    chain.sandbox.reset(agents=6)
    kill("extract", request=request_number, constants=AT_ONCE)
    chain.spent()
    staged = chain.extract()
    assert chain.spent()["calls"] == 6 - (request_number - 1)
    assert staged.xcoms["summary"]["agents"] == 6
    chain.load(staged.returned)
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("pages", [1, 3])
def test_extract_killed_in_the_middle_of_a_walk(chain: Chain, kill: Kill, pages: int) -> None:
    """Half a walk counts for nothing."""
    chain.sandbox.reset(agents=1, calls_per_day=250)
    kill("extract", request=pages, constants=AT_ONCE)
    assert not list(local(chain.staging_uri).rglob("*.json*"))
    chain.summaries()
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("content", ["", '{"version": 1}'])
def test_a_broken_checkpoint_is_no_checkpoint(chain: Chain, content: str) -> None:
    calls = str(chain.extract().returned)
    for kind in ("calls", "details"):
        local(calls).with_name(f"{kind}-checkpoint.json").write_text(content)
    chain.run()
    chain.assert_table_is_truth()


@pytest.mark.both_eras
@pytest.mark.parametrize("kills", [[1], [150], [249], [120, 120]], ids=str)
def test_enrich_killed(chain: Chain, kill: Kill, kills: list[int]) -> None:
    """Each kill costs at most a batch of details, and what was in flight."""
    chain.sandbox.reset(days=1, calls_per_day=300)
    calls = chain.summaries()
    for request_number in kills:
        kill("enrich", calls, request=request_number, kinds="detail")
    chain.load(chain.enrich(calls).returned)
    chain.assert_table_is_truth()
    requested = Counter(r.path for r in chain.sandbox.requests if r.kind == "detail")
    assert len(requested) == 300
    assert sum(requested.values()) - len(requested) <= BATCH_ROWS * len(kills)
    assert max(requested.values()) <= 1 + len(kills)


@pytest.mark.parametrize(("task", "replacement"), [("extract", 1), ("extract", 2), ("enrich", 3)])
def test_killed_while_it_writes(chain: Chain, kill: Kill, task: str, replacement: int) -> None:
    """An unfinished file is never taken for a finished one."""
    manifests = [chain.extract().returned] if task == "enrich" else []
    kill(task, *manifests, death=Death("pathlib:Path.replace", call=replacement))
    assert [path for path in local(chain.staging_uri).rglob(".*") if path.is_file()]
    chain.run()
    chain.assert_table_is_truth()


def test_a_kill_leaves_no_calls_on_the_disk(anywhere: Chain, kill: Kill, tmp_path: Path) -> None:
    own = tmp_path / "tmp"
    own.mkdir()
    death = Death("airflow_provider_talkpilot.staging.storage:put")
    kill("extract", death=death, constants={"tempfile:tempdir": str(own)})
    assert list(own.iterdir()) == []
    anywhere.summaries()
    anywhere.assert_table_is_truth(details=False)


def test_a_torn_part_of_details_is_requested_again(chain: Chain) -> None:
    calls = chain.summaries()
    chain.enrich(calls)
    [part] = local(calls).parent.glob("details-0*.jsonl*")
    part.write_bytes(part.read_bytes()[:-100])
    chain.spent()
    chain.load(chain.enrich(calls).returned)
    assert chain.details_requested() == len(chain.truth())
    chain.assert_table_is_truth()


CLIENT = "google.cloud.bigquery:Client"
SUBMITTED = [
    Death(f"{CLIENT}.load_table_from_file", after=True),
    Death(f"{CLIENT}.query", after=True),
    Death(f"{CLIENT}.delete_table", after=True),
]
DEATHS = [
    *SUBMITTED,
    Death(f"{CLIENT}.create_dataset"),
    Death(f"{CLIENT}.create_table", call=1),
    Death(f"{CLIENT}.create_table", call=2),
    Death(f"{CLIENT}.load_table_from_file"),
    Death(f"{CLIENT}.query"),
    Death(f"{CLIENT}.query", call=2, after=True),
    Death(f"{CLIENT}.query", call=3),
    Death(f"{CLIENT}.query", call=3, after=True),
    Death(f"{CLIENT}.delete_table"),
]


@pytest.mark.parametrize(
    ("kind", "death"),
    [*(("calls", death) for death in DEATHS), *(("details", death) for death in SUBMITTED)],
    ids=str,
)
def test_load_killed(chain: Chain, kill: Kill, kind: str, death: Death) -> None:
    manifest = str(chain.extract().returned)
    if kind == "details":
        chain.load(manifest)
        manifest = str(chain.enrich(manifest).returned)
    kill("load", manifest, death=death)
    chain.load(manifest)
    chain.assert_table_is_truth(details=kind == "details")
    assert tables(chain.bigquery, chain.table) == ["calls"]


@pytest.mark.parametrize("query", [1, 2])
def test_killed_while_it_erases(chain: Chain, kill: Kill, query: int) -> None:
    """The first query compares, the second merges."""
    chain.run()
    gone = chain.truth()[:3]
    for call in gone:
        chain.sandbox.store.erase(call["id"])
    calls = chain.extract().returned
    kill("load", calls, death=Death(f"{CLIENT}.query", call=query, after=True))
    chain.load(calls)
    chain.assert_table_is_truth(erased=gone)
    assert tables(chain.bigquery, chain.table) == ["calls"]
