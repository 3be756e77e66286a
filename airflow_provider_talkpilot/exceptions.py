"""The exceptions that tasks raise: subclasses of Airflow's own, so that Airflow handles them.

The attribute ``error`` has the typed error behind one. The hook's methods raise the typed errors
themselves.
"""

from __future__ import annotations

from airflow_provider_talkpilot.api.errors import TalkPilotError
from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
)
from airflow_provider_talkpilot.staging.errors import StagingError

TYPED_ERRORS = (TalkPilotError, StagingError, BigQueryError)
"""The errors of the API, of staging and of BigQuery; the message of each is one line."""


class TalkPilotTaskError(AirflowException):
    """A task failed, and the next try can succeed: network, TalkPilot, storage or BigQuery.

    :param message: one line that says what happened and what to do; no call content, no key.
    :param error: the typed error of the API, of staging or of BigQuery, if there is one.
    """

    def __init__(self, message: str = "", error: Exception | None = None) -> None:
        super().__init__(message)
        self.error = error


class TalkPilotTaskFailError(TalkPilotTaskError, AirflowFailException):
    """A task failed, and the user must change something first: Airflow does not try it again."""


class TalkPilotArgumentError(TalkPilotTaskFailError, ValueError):
    """An argument of an operator, a sensor or a task group can never work."""


class TalkPilotSensorTimeoutError(AirflowSensorTimeout):
    """The calls were not done before the sensor timed out."""
