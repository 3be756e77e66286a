"""This package through to the table: list, load, details, load, clean, as the DAG's tasks do it.

``python -m benchmarks.ours_loaded KIND BASE_URL API_KEY FOLDER FROM TO``; BigQuery is the emulator
that ``BIGQUERY_EMULATOR_HOST`` names. What the table has then is in ``table.jsonl``.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from airflow.providers.common.compat.sdk import ObjectStoragePath
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from airflow_provider_talkpilot.api import CallFilters, Interval, TalkPilotClient
from airflow_provider_talkpilot.bigquery.load import Load
from airflow_provider_talkpilot.bigquery.queries import known_details
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.staging.clean.cleanup import clean_staging
from airflow_provider_talkpilot.staging.enrich.enrichment import enrich_calls
from airflow_provider_talkpilot.staging.enrich.options import EnrichOptions
from airflow_provider_talkpilot.staging.extract.extraction import extract_calls
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions
from airflow_provider_talkpilot.staging.names import interval_folder
from airflow_provider_talkpilot.staging.storage import parse_uri
from benchmarks.figures import IN_FLIGHT, measured


def main(kind: str, base_url: str, api_key: str, root: str, start: str, end: str) -> None:
    """Run an interval.

    :param kind: ``loaded``; with ``uncleaned`` the last task does not run, as if it was killed.
    """
    logging.disable(logging.WARNING)
    interval, staging = Interval.parse(start, end), f"file://{root}/staging"
    folder = interval_folder(
        parse_uri(staging),
        dag_id="bench",
        connection_id="bench",
        agent_ids=None,
        filters=CallFilters(),
        interval=interval,
    )
    bigquery = Client(
        project="demo",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": os.environ["BIGQUERY_EMULATOR_HOST"]},
    )
    # Nothing outside of the folder is kept but the table, which has its name.
    table = TableId.parse(f"demo.bench.t_{Path(root).name}")
    with measured(), TalkPilotClient(base_url, api_key) as client:
        calls, listed = extract_calls(client, folder, ExtractOptions(interval))
        Load(bigquery, folder, calls, table).run()
        details, enriched = enrich_calls(
            client,
            listed,
            known=lambda lists: known_details(bigquery, table, interval, lists.columns),
            options=EnrichOptions(concurrency=IN_FLIGHT),
        )
        Load(bigquery, folder, details, table).run()
        if kind != "uncleaned":
            clean_staging(ObjectStoragePath(staging), [listed, enriched])
    rows = bigquery.query(f"SELECT TO_JSON_STRING(t) FROM `{table}` AS t").result()
    Path(root, "table.jsonl").write_text("".join(f"{row[0]}\n" for row in rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
