"""docs/lineage.md: its assets, extras and names are the code's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_talkpilot.bigquery.load import LoadResult
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.lineage.assets import event_extra, table_asset
from airflow_provider_talkpilot.staging.manifests import CallsManifest
from airflow_provider_talkpilot.staging.names import Kind
from airflow_provider_talkpilot.staging.storage import parse_uri
from tests.support.docs import DOCS, code, section, table

TEXT = (DOCS / "lineage.md").read_text(encoding="utf-8")
TABLE = TableId("my-project", "talkpilot", "calls")
KINDS: tuple[Kind, ...] = ("calls", "details")


def test_the_assets() -> None:
    told = {row[0]: row[1] for row in table(section(TEXT, "Assets")) if len(row) == 3}
    assert told == {
        f"talkpilot_{kind}": table_asset(TABLE, kind)
        .uri.replace("my-project", "<project>")
        .replace("/talkpilot/calls", "/<dataset>/<table>")
        for kind in KINDS
    }


def test_the_extra() -> None:
    told = [row[0] for row in table(section(TEXT, "Assets")) if len(row) == 2]
    now = datetime.now(UTC)
    manifest = CallsManifest(start=now, end=now, started_at=now)
    path = parse_uri("/staging/dag/connection/all/interval/manifest.json")
    assert told == list(event_extra(path, manifest, TABLE, LoadResult(rows=0)))


@pytest.mark.airflow3  # Airflow 2 looks for the alias in its database, and unit tests have none
def test_the_example_is_two_dags() -> None:
    [source] = code(TEXT, "python")
    made: list[DAG] = []

    class Noted(DAG):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    lines = source.replace("import DAG, ", "import ").splitlines()
    exec(compile("\n".join(lines), "lineage.md", "exec"), {"DAG": Noted})
    assert [dag.dag_id for dag in made] == ["by_alias", "by_asset"]
    assert {type(dag.timetable).__name__ for dag in made} <= {
        "AssetTriggeredTimetable",
        "DatasetTriggeredTimetable",
    }
    assert table_asset(TABLE, "details").uri in source
