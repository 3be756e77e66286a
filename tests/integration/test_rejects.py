"""Records without an id or a start are kept aside, counted, and never loaded unnoticed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from google.cloud.exceptions import NotFound

from tests.integration.chain import Chain, local, refused


def newest(chain: Chain) -> dict[str, Any]:
    """Return the call that the sandbox spoils: the first row of the first list."""
    agent_id = chain.sandbox.store.agents[0]["id"]
    return chain.sandbox.store.truth(*chain.interval, [agent_id])[-1]


@pytest.fixture(params=["no_id", "no_start"])
def spoiled(chain: Chain, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A call that comes without ``id``, or without ``created_at``."""
    chain.sandbox.reset(days=1)
    chain.sandbox.faults.add(request.param, kind="calls")
    return newest(chain)


def rejects(chain: Chain) -> list[dict[str, Any]]:
    [path] = local(chain.staging_uri).rglob("rejects-*.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_the_task_fails_and_names_the_file(chain: Chain, spoiled: dict[str, Any]) -> None:
    message = refused(chain.extract, "max_rejects")
    [path] = local(chain.staging_uri).rglob("rejects-*.jsonl")
    assert str(path) in message
    [reject] = rejects(chain)
    assert reject["agent_id"] == spoiled["agent_id"]
    for name in ("call_id", "customer_name", "call_summary", "duration"):
        assert reject["record"][name] == spoiled[name]
    assert reject["reason"].startswith(("id: ", "created_at: "))
    values = [v for k, v in spoiled.items() if isinstance(v, str) and k != "agent_id"]
    assert not [value for value in values if value in reject["reason"] + message]
    assert not list(local(chain.staging_uri).rglob("*manifest*"))
    with pytest.raises(NotFound):
        chain.bigquery.get_table(chain.table)
    # The next try requests it again.
    chain.summaries()
    chain.assert_table_is_truth(details=False)


def test_allowed_rejects(chain: Chain, spoiled: dict[str, Any]) -> None:
    chain.extract_options["max_rejects"] = 1
    staged = chain.extract()
    chain.load(staged.returned)
    loaded = {row["id"] for row in chain.rows()}
    assert loaded == {call["id"] for call in chain.truth()} - {spoiled["id"]}
    summary = staged.xcoms["summary"]
    assert (summary["calls"], summary["rejected"]) == (len(loaded), 1)
    assert rejects(chain)


def test_one_more_than_allowed(chain: Chain) -> None:
    chain.sandbox.reset(days=1)
    chain.sandbox.faults.add("no_start", kind="calls", times=2)
    with pytest.raises(AirflowFailException, match=r"^2 record\(s\).*1 allowed"):
        chain.extract(max_rejects=1)


def test_a_detail_that_does_not_fit(chain: Chain) -> None:
    """The task fails without showing a value, and keeps what it has fetched."""
    calls = chain.summaries()
    chain.sandbox.faults.add("no_start", kind="detail", after=20)
    refused(lambda: chain.enrich(calls, concurrency=1))
    chain.spent()
    chain.load(chain.enrich(calls).returned)
    assert chain.details_requested() <= 46 - 20
    chain.assert_table_is_truth()
