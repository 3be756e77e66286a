"""History by month, newest first: triggered by hand, with the first month and the last.

One month after the other, so that months do not share the quota and each is there as early as can
be. Calls that an earlier run brought cost their list requests and no more.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator

STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"

with DAG(
    dag_id="talkpilot_months",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={
        "first": Param("2026-01", type="string", pattern=r"^\d{4}-\d{2}$", title="First month"),
        "last": Param("2026-03", type="string", pattern=r"^\d{4}-\d{2}$", title="Last month"),
    },
    tags=["talkpilot"],
    doc_md=__doc__,
):

    @task
    def months(params: Any = None) -> list[dict[str, str]]:
        """Start and end of each month."""
        first, last = (date.fromisoformat(f"{params[name]}-01") for name in ("first", "last"))
        found = []
        while last >= first:
            end = (last + timedelta(days=31)).replace(day=1)
            found.append({"start": last.isoformat(), "end": end.isoformat()})
            last = (last - timedelta(days=1)).replace(day=1)
        return found

    extract = TalkPilotExtractCallsOperator.partial(
        task_id="extract_calls",
        staging_uri=STAGING,
        deferrable=True,
        max_active_tis_per_dagrun=1,
    ).expand_kwargs(months())
    load_calls = TalkPilotLoadCallsOperator.partial(
        task_id="load_calls", table=TABLE, max_active_tis_per_dagrun=1
    ).expand(manifest_uri=extract.output)
    enrich = TalkPilotEnrichCallsOperator.partial(
        task_id="enrich_calls",
        table=TABLE,
        deferrable=True,
        max_active_tis_per_dagrun=1,
    ).expand(manifest_uri=extract.output)
    load_details = TalkPilotLoadCallsOperator.partial(
        task_id="load_details", table=TABLE, max_active_tis_per_dagrun=1
    ).expand(manifest_uri=enrich.output)
    clean = TalkPilotCleanStagingOperator(
        task_id="clean_staging",
        staging_uri=STAGING,
        manifest_uris=[extract.output, enrich.output],
    )
    load_calls >> load_details >> clean
