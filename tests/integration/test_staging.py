"""Staging: any object storage, compressed or not, and every byte of every text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.integration.chain import Chain, staged_files

TEXT = (
    'Größe "42"\\ \u2028 LS \u2029 PS \x85 NEL \x0b VT \x0c FF \x1c FS \r\n CRLF \n LF \t TAB '
    "🙂 👩\u200d🔬 e\u0301 \u202ertl\u202c \ufeff \x7f NULL:\\u0000 {} [] , ' ` </script> %s"
)


def test_texts_survive_unchanged(chain: Chain) -> None:
    sandbox = chain.sandbox
    call_id = sandbox.insert_late(
        sandbox.store.agent_ids[0],
        "2026-03-16T11:11:11.111111Z",
        note=TEXT,
        customer_name=TEXT[::-1],
        transcript=[{"role": "agent", "text": TEXT}, {"role": "user\u2028", "text": ""}],
    )
    chain.run()
    [row] = [row for row in chain.rows() if row["id"] == call_id]
    assert row["note"] == TEXT
    assert row["customer_name"] == TEXT[::-1]
    assert row["transcript"] == [
        {"role": "agent", "text": TEXT},
        {"role": "user\u2028", "text": ""},
    ]
    chain.assert_table_is_truth()


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("where", ["folder", "bucket", "path"])
def test_the_same_table_from_anywhere(
    chain: Chain, request: pytest.FixtureRequest, tmp_path: Path, where: str, compress: bool
) -> None:
    if where == "bucket":
        chain.staging_uri = request.getfixturevalue("bucket")
    elif where == "path":
        chain.staging_uri = str(tmp_path / "no scheme, with ümlaut and space")
    chain.extract_options["compress"] = chain.enrich_options["compress"] = compress
    chain.run()
    chain.assert_table_is_truth()
    spent = chain.sandbox.counters["detail"]
    chain.run()
    chain.assert_table_is_truth()
    assert chain.sandbox.counters["detail"] == spent


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_a_part_is_one_json_record_a_line(chain: Chain, compress: bool) -> None:
    calls = chain.extract(compress=compress).returned
    chain.enrich(calls, compress=compress)
    suffix = ".jsonl.gz" if compress else ".jsonl"
    parts = [path for path in staged_files(chain.staging_uri) if path.name.endswith(suffix)]
    assert len(parts) == 2
    for path in parts:
        content = gzip.decompress(path.read_bytes()) if compress else path.read_bytes()
        lines = content.removesuffix(b"\n").split(b"\n")
        assert len(lines) == 46
        assert all("id" in json.loads(line) for line in lines)


def test_a_bucket_is_loaded_by_bigquery_itself(chain: Chain, bucket: str) -> None:
    chain.staging_uri = bucket
    chain.summaries()
    loads = [job for job in chain.bigquery.list_jobs() if job.job_type == "load"]
    uris = [uri for job in loads for uri in job.source_uris or []]
    name = bucket.partition("@")[2].partition("/")[0]
    assert any(uri.startswith(f"gs://{name}/talkpilot/") for uri in uris)


def test_another_dag_connection_agents_interval_or_filter_stages_elsewhere(chain: Chain) -> None:
    agents = chain.sandbox.store.agent_ids
    uris = [
        chain.extract(**options).returned
        for options in (
            {},
            {"dag_id": "other"},
            {"agent_ids": agents},
            {"agent_ids": agents[:1]},
            {"start": "2026-03-16", "end": "2026-03-16T12:00:00"},
            {"done": True},
            {"done": False},
            {"search": "a"},
        )
    ]
    folders = [uri.rpartition("/")[0] for uri in uris]
    assert len(set(folders)) == len(folders)


def test_the_order_of_agents_makes_no_difference(chain: Chain) -> None:
    agents = chain.sandbox.store.agent_ids
    first, second = (chain.extract(agent_ids=ids).returned for ids in (agents, agents[::-1]))
    assert first.rpartition("/")[0] == second.rpartition("/")[0]


def test_a_selection_loads_what_it_selects_and_leaves_the_rest(chain: Chain) -> None:
    chain.run()
    before = chain.rows()
    chain.extract_options["done"] = False
    chain.run()
    assert chain.rows() == before


def test_a_selection_into_an_empty_table(chain: Chain) -> None:
    chain.extract_options["done"] = False
    chain.summaries()
    wanted = {c["id"] for c in chain.sandbox.truth(*chain.interval) if c["done"] is False}
    assert wanted
    assert {row["id"] for row in chain.rows()} == wanted
