"""Google's own BigQuery and Cloud Storage, in the project of ``make test-google``."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from typing import Any

from google.cloud.bigquery import Client, Dataset, QueryJobConfig

# A query bills at least 10 MB for each table that it reads; no test reads more.
MAX_BYTES = 100 * 2**20
# JSON of environment variables to set: the tests remove all others that concern Google.
VARIABLES = "TALKPILOT_TEST_GOOGLE"


@dataclass(frozen=True)
class GoogleProject:
    """Google in place of the emulators, with the same methods.

    :param project: has the datasets, and pays.
    :param location: of the datasets.
    :param bucket: name of a bucket; the tests use folders of their own in it.
    """

    project: str
    location: str
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """The Google connection, with the machine's default credentials."""
        extra = {"project": self.project, "location": self.location}
        connection = {"conn_type": "google_cloud_platform", "extra": extra}
        given: dict[str, str] = json.loads(os.environ.get(VARIABLES) or "{}")
        return {"AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(connection), **given}

    def client(self) -> Client:
        """A client of BigQuery."""
        os.environ |= self.environment
        return Client(project=self.project, location=self.location)

    def create_dataset(self, name: str) -> None:
        """Create a test's dataset, with a label to find it by if the test is killed."""
        dataset = Dataset(name)
        dataset.location = self.location
        dataset.labels = {"talkpilot": "test"}
        self.client().create_dataset(dataset)


def cap_bytes() -> None:
    """Limit the bytes that each query of this process may bill."""
    query = Client.query
    if hasattr(query, "__wrapped__"):
        return

    @functools.wraps(query)
    def capped(self: Client, statement: str, job_config: Any = None, **options: Any) -> Any:
        config = job_config or QueryJobConfig()
        config.maximum_bytes_billed = config.maximum_bytes_billed or MAX_BYTES
        return query(self, statement, job_config=config, **options)

    Client.query = capped  # type: ignore[assignment,method-assign]
