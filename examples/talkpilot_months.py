"""Load a history by month, the newest first; trigger it by hand with the first and last month.

Months run one after the other, so that each is complete as early as possible. Calls that an earlier
run brought cost only their list requests.
"""

from __future__ import annotations

from typing import Any

import pendulum

from airflow_provider_talkpilot.compat import DAG, Param, task, task_group
from airflow_provider_talkpilot.operators.task_group import (
    TalkPilotCallsTaskGroup,
    clean_behind,
)

STAGING = "{{ var.value.talkpilot_staging_uri }}"
TABLE = "{{ var.value.talkpilot_bigquery_table }}"

with DAG(
    dag_id="talkpilot_months",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={
        "first": Param("2026-01", type="string", pattern=r"^\d{4}-\d{2}$", title="First month"),
        "last": Param("2026-03", type="string", pattern=r"^\d{4}-\d{2}$", title="Last month"),
    },
    tags=["talkpilot"],
    doc_md=__doc__,
):

    @task
    def months(params: Any = None) -> list[dict[str, str]]:
        """List start and end of each month."""
        first, last = (pendulum.from_format(params[name], "YYYY-MM") for name in ("first", "last"))
        starts = reversed(list(pendulum.interval(first, last).range("months")))
        return [
            {"start": start.to_date_string(), "end": start.add(months=1).to_date_string()}
            for start in starts
        ]

    @task_group(prefix_group_id=False)
    def one_month(start: str, end: str) -> None:
        """Run the whole chain for a month."""
        TalkPilotCallsTaskGroup(
            prefix_group_id=False,
            staging_uri=STAGING,
            table=TABLE,
            start=start,
            end=end,
            clean=False,
            task_arguments={"extract_calls": {"max_active_tis_per_dag": 1}},
        )

    clean_behind(one_month.expand_kwargs(months()), staging_uri=STAGING)
