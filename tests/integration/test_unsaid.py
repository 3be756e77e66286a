"""What TalkPilot's documentation leaves open: the table is the same under every reading."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.chain import Chain
from tests.integration.sensing import Connect

pytestmark = pytest.mark.slow

EXTRA: dict[str, Any] = {
    "sentiment": "positiv \u2028 🙂",
    "tags": ["a", {"b": None}],
    "cost": 0.25,
    "transcript_url": None,
    "with space": 1,
    "Ünïcode": "ß",
    "a.b": [],
    "": "empty",
}


@pytest.mark.parametrize(("in_list", "in_detail"), [(True, False), (False, True), (False, False)])
def test_without_updated_at(chain: Chain, in_list: bool, in_detail: bool) -> None:
    chain.sandbox.settings.patch(list_has_updated_at=in_list, detail_has_updated_at=in_detail)
    calls = chain.summaries()
    chain.assert_table_is_truth(details=False, list_has_version=in_list)

    chain.load(chain.enrich(calls).returned)
    chain.assert_table_is_truth(list_has_version=in_list, detail_has_version=in_detail)
    chain.spent()
    before = chain.rows()

    chain.run()
    assert chain.details_requested() == 0, "no version shows a change: nothing to fetch again"
    assert chain.rows() == before


def test_an_edit_arrives_without_updated_at(chain: Chain) -> None:
    chain.sandbox.settings.patch(list_has_updated_at=False, detail_has_updated_at=False)
    chain.run()
    chain.sandbox.store.edit(chain.truth()[5]["id"], note="edited later")
    chain.run()
    chain.assert_table_is_truth(list_has_version=False, detail_has_version=False)


def test_unknown_fields(chain: Chain) -> None:
    chain.sandbox.settings.patch(extra_list_fields=EXTRA, extra_detail_fields=EXTRA)
    calls = chain.summaries()
    chain.assert_table_is_truth(details=False, extra=EXTRA)
    chain.load(chain.enrich(calls).returned)
    chain.assert_table_is_truth(extra=EXTRA)


@pytest.mark.parametrize(("era", "counted"), [("spring", True), ("now", True), ("now", False)])
def test_refused_requests(chain: Chain, counted: bool, connect: Connect) -> None:
    sandbox = chain.sandbox
    sandbox.settings.patch(requests_per_minute=40, minute_seconds=2, refused_requests_count=counted)
    connect()
    sandbox.spend(25)  # other software on the same key
    chain.run()
    chain.assert_table_is_truth()


def test_random_faults(chain: Chain, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = chain.sandbox
    no_pause = SimpleNamespace(uniform=lambda low, high: 0.0)
    monkeypatch.setattr("tenacity.wait.random", no_pause)
    # Threads share the faults: at times one request has seven in a row.
    connect(extra={"tries": 20})
    sandbox.settings.patch(random_fault_rate=0.15, random_fault_seed=1)
    chain.run()
    assert sandbox.counters["faults"] > 0
    sandbox.settings.random_fault_rate = 0
    chain.assert_table_is_truth()
