"""A load task beside the least that would do: one load job and one MERGE of the same rows.

``python -m benchmarks.load [ROWS]`` prints both, in turn, and their ratio.
"""

from __future__ import annotations

import io
import logging
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import ObjectStoragePath
from google.cloud.bigquery import (
    Client,
    LoadJobConfig,
    SourceFormat,
    Table,
    TimePartitioning,
    WriteDisposition,
)

from airflow_provider_talkpilot.api import CallFilters, Interval
from airflow_provider_talkpilot.bigquery.load import Load
from airflow_provider_talkpilot.bigquery.schema import staging_schema, target_schema
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.sandbox import BigQueryEmulator
from airflow_provider_talkpilot.staging.manifests import ListManifest, WalkedAgent
from airflow_provider_talkpilot.staging.names import interval_folder
from airflow_provider_talkpilot.staging.parts import PartWriter
from airflow_provider_talkpilot.staging.rows.columns import Source, call_columns
from airflow_provider_talkpilot.staging.storage import parse_uri

RUNS = 3
ROWS = 100_000
DAY = Interval.parse("2026-03-16", "2026-03-17")
AGENT = "00000000-0000-4000-8000-000000000001"


def main(rows: int) -> None:
    """Measure both in turn and print the medians."""
    logging.disable(logging.WARNING)
    times: dict[str, list[float]] = {"bare": [], "task": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        BigQueryEmulator() as emulator,
        emulator.client() as client,
    ):
        client.create_dataset("demo.bench")
        for number in range(RUNS):
            text, manifest, path = _staged(Path(folder, str(number)), rows)
            started = time.perf_counter()
            _bare(client, text, number)
            times["bare"].append(time.perf_counter() - started)
            started = time.perf_counter()
            target = TableId.parse(f"demo.bench.task_{number}")
            result = Load(client, path, manifest, target).run()
            times["task"].append(time.perf_counter() - started)
            if result.live != rows:
                raise RuntimeError(f"{result.live} rows live in the table, not {rows}")
    bare, task = (statistics.median(times[name]) for name in ("bare", "task"))
    print(f"{rows:,} rows, medians of {RUNS} runs in turn")
    print(f"one load job and one MERGE, bare   {bare:8.2f} s")
    print(f"the load task                      {task:8.2f} s    ratio {task / bare:.2f}")


def _staged(folder: Path, rows: int) -> tuple[bytes, ListManifest, ObjectStoragePath]:
    """Make one day's rows as text, and as parts with their manifest."""
    path = interval_folder(
        parse_uri(folder.as_uri()),
        dag_id="bench",
        connection_id="bench",
        agent_ids=None,
        filters=CallFilters(),
        interval=DAY,
    )
    now = datetime.now(UTC)
    records = [_row(number, now) for number in range(rows)]
    with PartWriter(path, "calls") as writer:
        writer.write(records)
        part = writer.flush()
    if part is None:
        raise ValueError("at least one row is needed")
    walk = WalkedAgent(agent_id=AGENT, calls=rows, began_at=now, ended_at=now)
    manifest = ListManifest(
        start=DAY.start, end=DAY.end, agents=[walk], parts=[part], started_at=now
    )
    manifest.save(path)
    return (path / part.name).read_bytes(), manifest, path


def _row(number: int, now: datetime) -> dict[str, object]:
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "agent_id": AGENT,
        "created_at": DAY.start + timedelta(milliseconds=number),
        "updated_at": DAY.start + timedelta(hours=30),
        "customer_name": f"Caller {number}",
        "phone_number": f"+49 30 {number:08}",
        "call_summary": "Wants to know when the order arrives. " * 3,
        "duration": number % 600,
        "done": number % 2 == 0,
        "is_purged": False,
        "synced_at": now,
    }


def _bare(client: Client, text: bytes, number: int) -> None:
    staging, target = (f"demo.bench.{name}_{number}" for name in ("staging", "bare"))
    table = Table(target, schema=target_schema())
    table.time_partitioning = TimePartitioning(field="created_at")
    client.create_table(table)
    config = LoadJobConfig(
        schema=staging_schema("calls"),
        source_format=SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition=WriteDisposition.WRITE_TRUNCATE,
    )
    client.load_table_from_file(io.BytesIO(text), staging, job_config=config).result()
    columns = call_columns(Source.KEY, Source.LIST)
    statement = (
        f"MERGE `{target}` AS T USING `{staging}` AS S ON T.id = S.id "
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f'{c} = S.{c}' for c in columns if c != 'id')} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}) "
        f"VALUES ({', '.join(f'S.{c}' for c in columns)})"
    )
    client.query(statement).result()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else ROWS)
