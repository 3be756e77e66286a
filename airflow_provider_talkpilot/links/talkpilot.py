"""Links from a task's page to Google Cloud's console and to TalkPilot, made of its XComs."""

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
    """A link that follows from an XCom of the task; none before that."""

    key = "return_value"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return self.url(XCom.get_value(key=self.key, ti_key=ti_key))

    @abstractmethod
    def url(self, found: Any) -> str:
        """Make the address; nothing where the XCom leads nowhere."""


class BigQueryTableLink(_XComLink):
    """The target table."""

    name = "BigQuery table"

    def url(self, found: Any) -> str:
        names = str(_get(found, "table")).split(".")
        if len(names) != 3:
            return ""
        project, dataset, table = names
        query = {"project": project, "p": project, "d": dataset, "t": table, "page": "table"}
        return f"{CONSOLE}/bigquery?{urlencode(query)}"


class BigQueryJobLink(_XComLink):
    """The merge of a load, or its load job where there was no merge."""

    name = "BigQuery job"

    def url(self, found: Any) -> str:
        job = _get(found, "merge_job_id") or _get(found, "load_job_id")
        project, location = _get(found, "project"), _get(found, "location")
        if not (job and project and location):
            return ""
        project, job, location = (quote(str(each), safe="") for each in (project, job, location))
        return (
            f"{CONSOLE}/bigquery?project={project}&page=queryresults"
            f"&ws=!1m5!1m4!1m3!1s{project}!2s{job}!3s{location}"
        )


class StagingLink(_XComLink):
    """Where a task staged, if that is in Cloud Storage. It is gone once it is loaded."""

    name = "Staging"

    def url(self, found: Any) -> str:
        uri = urlsplit(found if isinstance(found, str) else "")
        if uri.scheme not in ("gs", "gcs") or not uri.hostname:
            return ""
        folder = uri.path.rpartition("/")[0]
        # The name before the @ is the connection's.
        return f"{CONSOLE}/storage/browser/{uri.hostname}{quote(folder)}"


class DashboardLink(_XComLink):
    """TalkPilot's dashboard, where the connection says its address."""

    name = "TalkPilot dashboard"
    key = "summary"

    def url(self, found: Any) -> str:
        return str(_get(found, DASHBOARD_KEY))


def _get(found: Any, name: str) -> Any:
    return (found.get(name) if isinstance(found, Mapping) else None) or ""
