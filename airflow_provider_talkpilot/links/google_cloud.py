"""Links from a task's page to Google Cloud's console, made of what the task returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_talkpilot.compat import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import BaseOperator, TaskInstanceKey

CONSOLE = "https://console.cloud.google.com"


class _ReturnedLink(BaseOperatorLink):
    """A link that follows from what a task returned; none before that."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give the address, or nothing where there is none."""
        return self.url(XCom.get_value(key="return_value", ti_key=ti_key))

    def url(self, returned: Any) -> str:
        """Make the address of what a task returned."""
        raise NotImplementedError


class BigQueryTableLink(_ReturnedLink):
    """The target table."""

    name = "BigQuery table"

    def url(self, returned: Any) -> str:
        """Make the address of the ``table`` that a load returned."""
        names = str(_get(returned, "table")).split(".")
        if len(names) != 3:
            return ""
        project, dataset, table = names
        query = {"project": project, "p": project, "d": dataset, "t": table, "page": "table"}
        return f"{CONSOLE}/bigquery?{urlencode(query)}"


class BigQueryJobLink(_ReturnedLink):
    """The merge of a load, or its load job where there was no merge."""

    name = "BigQuery job"

    def url(self, returned: Any) -> str:
        """Make the address of the job that a load returned."""
        job = _get(returned, "merge_job_id") or _get(returned, "load_job_id")
        project, location = _get(returned, "project"), _get(returned, "location")
        if not (job and project and location):
            return ""
        project, job, location = (quote(str(each), safe="") for each in (project, job, location))
        return (
            f"{CONSOLE}/bigquery?project={project}&page=queryresults"
            f"&ws=!1m5!1m4!1m3!1s{project}!2s{job}!3s{location}"
        )


class StagingLink(_ReturnedLink):
    """Where a task staged, if that is in Cloud Storage. It is gone once it is loaded."""

    name = "Staging"

    def url(self, returned: Any) -> str:
        """Make the address of the folder whose manifest a task returned."""
        uri = urlsplit(returned if isinstance(returned, str) else "")
        if uri.scheme not in ("gs", "gcs") or not uri.hostname:
            return ""
        folder = uri.path.rpartition("/")[0]
        # The name before the @ is the connection's.
        return f"{CONSOLE}/storage/browser/{uri.hostname}{quote(folder)}"


def _get(returned: Any, name: str) -> Any:
    return (returned.get(name) if isinstance(returned, Mapping) else None) or ""
