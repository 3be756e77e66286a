"""Where a run stages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_talkpilot.api import CallFilters, Interval
from airflow_provider_talkpilot.staging.area import interval_folder

DAY = Interval(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC))


def folder(root: Path, columns: dict[str, str] | None = None, search: str | None = None) -> str:
    found = interval_folder(
        str(root),
        dag_id="calls",
        connection_id="talkpilot_default",
        agent_ids=None,
        filters=CallFilters(search=search),
        interval=DAY,
        columns=columns,
    )
    return found.path.removeprefix(f"{root}/")


def test_all_kept_is_the_plain_folder(tmp_path: Path) -> None:
    plain = "calls/talkpilot_default/all/20260316T000000Z_20260317T000000Z"
    assert folder(tmp_path) == folder(tmp_path, {}) == plain


def test_other_choices_have_other_folders(tmp_path: Path) -> None:
    choices: list[dict[str, str]] = [
        {},
        {"note": "drop"},
        {"note": "hash-11111111"},
        {"note": "hash-22222222"},
        {"note": "drop", "employee": "drop"},
    ]
    folders = {folder(tmp_path, columns, search) for columns in choices for search in (None, "x")}
    assert len(folders) == 2 * len(choices)
    assert folder(tmp_path, {"employee": "drop", "note": "drop"}) in folders, "in any order"
