"""The ledger: what processes of a connection learn of each other's requests."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api.quota import LedgerEntry
from airflow_provider_talkpilot.staging.ledger import StagedLedger

SLOT = 10.0
NOW = 1_773_619_200.0


def ledger(folder: Path) -> StagedLedger:
    return StagedLedger(ObjectStoragePath(folder.as_uri()))


def entry(writer: str, requests: int, *, at: float = NOW, closed: bool = False) -> LedgerEntry:
    slots = {int(at // SLOT): requests} if requests else {}
    usual = {"written_at": at, "slot_seconds": SLOT, "hour_limit": 1000}
    return LedgerEntry.model_validate(usual | {"writer": writer, "slots": slots, "is_last": closed})


def test_each_process_reads_what_the_others_wrote_last(tmp_path: Path) -> None:
    one, two = ledger(tmp_path), ledger(tmp_path)
    assert list(one.sync(entry("one", 5))) == []
    assert list(two.sync(entry("two", 7))) == [entry("one", 5)]
    one.sync(entry("one", 6))
    assert list(two.sync(entry("two", 7))) == [entry("one", 6)]


def test_a_process_that_sent_nothing_leaves_nothing_behind(tmp_path: Path) -> None:
    ledger(tmp_path).sync(entry("one", 0))
    assert list(tmp_path.rglob("*.*")) == []


def test_a_file_older_than_an_hour_is_deleted(tmp_path: Path) -> None:
    ledger(tmp_path).sync(entry("old", 5, at=NOW - 3700, closed=True))
    ledger(tmp_path).sync(entry("late", 5, at=NOW - 3500, closed=True))
    others = ledger(tmp_path).sync(entry("new", 1))
    assert [other.writer for other in others] == ["late"]
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["late", "new"]


@pytest.mark.parametrize("content", ["", "[]", '{"writer": 1}'])
def test_a_torn_file_hides_no_other(tmp_path: Path, content: str) -> None:
    ledger(tmp_path).sync(entry("good", 5))
    (tmp_path / "torn.json").write_text(content)
    others = ledger(tmp_path).sync(entry("own", 1))
    assert [other.writer for other in others] == ["good"]


def test_storage_that_fails_is_logged_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "file").write_text("in the way of the folder")
    broken = ledger(tmp_path / "file")
    for _ in range(3):
        assert list(broken.sync(entry("own", 1))) == []
    assert len(caplog.records) == 1
    assert "refused" in caplog.text
