"""Links lead where a task's work is, and are not there before it."""

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
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)

RETURNED: dict[str, Any] = {
    "table": "my-project.talkpilot.calls",
    "project": "paying-project",
    "location": "EU",
    "load_job_id": "talkpilot-load-1-0",
    "merge_job_id": "talkpilot-merge-1-0",
}
JOB = "https://console.cloud.google.com/bigquery?project=paying-project&page=queryresults&ws=!1m5!1m4!1m3!1spaying-project!2s{}!3sEU"


def test_the_table() -> None:
    assert BigQueryTableLink().url(RETURNED) == (
        "https://console.cloud.google.com/bigquery"
        "?project=my-project&p=my-project&d=talkpilot&t=calls&page=table"
    )


def test_the_job() -> None:
    assert BigQueryJobLink().url(RETURNED) == JOB.format("talkpilot-merge-1-0")
    loaded = RETURNED | {"merge_job_id": None}
    assert BigQueryJobLink().url(loaded) == JOB.format("talkpilot-load-1-0")


@pytest.mark.parametrize(
    "uri",
    ["gs://bucket/talk pilot/x/calls-manifest-1.json", "gs://conn@bucket/talk pilot/x/m.json"],
)
def test_staging(uri: str) -> None:
    assert StagingLink().url(uri) == (
        "https://console.cloud.google.com/storage/browser/bucket/talk%20pilot/x"
    )


@pytest.mark.parametrize("link", [BigQueryTableLink(), BigQueryJobLink(), StagingLink()])
@pytest.mark.parametrize("returned", [None, 7, "file:///srv/x/m.json", {"table": "calls"}])
def test_nothing_leads_nowhere(link: Any, returned: Any) -> None:
    assert link.url(returned) == ""


def test_operators_have_them_and_airflow_knows_them() -> None:
    """Airflow shows no link of a class that provider info does not name."""
    has = {
        type(link)
        for operator in (
            TalkPilotLoadCallsOperator,
            TalkPilotExtractCallsOperator,
            TalkPilotEnrichCallsOperator,
        )
        for link in operator.operator_extra_links
    }
    assert has == {BigQueryTableLink, BigQueryJobLink, StagingLink, DashboardLink}
    named = set(get_provider_info()["extra-links"])
    assert named == {f"{link.__module__}.{link.__qualname__}" for link in has}
