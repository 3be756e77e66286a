"""Links lead to what a task made, and there is none before."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_talkpilot.get_provider_info import get_provider_info
from airflow_provider_talkpilot.links.talkpilot import (
    BigQueryJobLink,
    BigQueryTableLink,
    DashboardLink,
    StagingLink,
)
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import TalkPilotExtractCallsOperator

RETURNED: dict[str, Any] = {
    "table": "my-project.talkpilot.calls",
    "project": "paying-project",
    "location": "EU",
    "load_job_id": "talkpilot-load-1-0",
    "merge_job_id": "talkpilot-merge-1-0",
}
TABLE = "https://console.cloud.google.com/bigquery?project=my-project&p=my-project&d=talkpilot&t=calls&page=table"
JOB = "https://console.cloud.google.com/bigquery?project=paying-project&page=queryresults&ws=!1m5!1m4!1m3!1spaying-project!2s{}!3sEU"
FOLDER = "https://console.cloud.google.com/storage/browser/bucket/talk%20pilot/x"


@pytest.mark.parametrize(
    ("link", "xcom", "url"),
    [
        (BigQueryTableLink(), RETURNED, TABLE),
        (BigQueryJobLink(), RETURNED, JOB.format("talkpilot-merge-1-0")),
        (BigQueryJobLink(), RETURNED | {"merge_job_id": None}, JOB.format("talkpilot-load-1-0")),
        (StagingLink(), "gs://bucket/talk pilot/x/m.json", FOLDER),
        (StagingLink(), "gs://conn@bucket/talk pilot/x/m.json", FOLDER),
        *(
            (link, xcom, "")
            for link in (BigQueryTableLink(), BigQueryJobLink(), StagingLink())
            for xcom in (None, 7, "file:///srv/x/m.json", {"table": "calls"})
        ),
    ],
)
def test_a_link_is_built_from_the_xcom(link: Any, xcom: Any, url: str) -> None:
    assert link.url(xcom) == url


def test_provider_info_names_the_links_of_operators() -> None:
    """Airflow shows no others."""
    load, extract = TalkPilotLoadCallsOperator, TalkPilotExtractCallsOperator
    links = {type(link) for link in (*load.operator_extra_links, *extract.operator_extra_links)}
    assert links == {BigQueryTableLink, BigQueryJobLink, StagingLink, DashboardLink}
    named = set(get_provider_info()["extra-links"])
    assert named == {f"{link.__module__}.{link.__qualname__}" for link in links}
