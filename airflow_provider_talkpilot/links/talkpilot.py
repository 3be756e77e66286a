"""Links from a task's page to Google Cloud's console and to TalkPilot, built from its XComs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_talkpilot.compat import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import BaseOperator, TaskInstanceKey

CONSOLE = "https://console.cloud.google.com"
DASHBOARD_KEY = "dashboard_url"


class _XComLink(BaseOperatorLink):
    """A link that is built from an XCom of the task; there is none before the XCom."""

    key = "return_value"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return self.url(XCom.get_value(key=self.key, ti_key=ti_key))

    @abstractmethod
    def url(self, value: Any) -> str:
        """Build the address from the XCom's value; an empty text if there is none."""


class BigQueryTableLink(_XComLink):
    """The target table."""

    name = "BigQuery table"

    def url(self, value: Any) -> str:
        names = str(_get(value, "table")).split(".")
        if len(names) != 3:
            return ""
        project, dataset, table = names
        query = {"project": project, "p": project, "d": dataset, "t": table, "page": "table"}
        return f"{CONSOLE}/bigquery?{urlencode(query)}"


class BigQueryJobLink(_XComLink):
    """The merge of a load, or its load job if there was no merge."""

    name = "BigQuery job"

    def url(self, value: Any) -> str:
        job = _get(value, "merge_job_id") or _get(value, "load_job_id")
        project, location = _get(value, "project"), _get(value, "location")
        if not (job and project and location):
            return ""
        project, job, location = (quote(str(part), safe="") for part in (project, job, location))
        return (
            f"{CONSOLE}/bigquery?project={project}&page=queryresults"
            f"&ws=!1m5!1m4!1m3!1s{project}!2s{job}!3s{location}"
        )


class StagingLink(_XComLink):
    """The folder of what a task staged, if it is in Cloud Storage. A load empties it."""

    name = "Staging"

    def url(self, value: Any) -> str:
        uri = urlsplit(value if isinstance(value, str) else "")
        if uri.scheme not in ("gs", "gcs") or not uri.hostname:
            return ""
        folder = uri.path.rpartition("/")[0]
        # The name before the @ is the connection's.
        return f"{CONSOLE}/storage/browser/{uri.hostname}{quote(folder)}"


class DashboardLink(_XComLink):
    """TalkPilot's dashboard, if the connection has its address."""

    name = "TalkPilot dashboard"
    key = "summary"

    def url(self, value: Any) -> str:
        return str(_get(value, DASHBOARD_KEY))


def _get(value: Any, name: str) -> Any:
    return (value.get(name) if isinstance(value, Mapping) else None) or ""
