"""The exceptions of tasks: subclasses of Airflow's own, so that Airflow treats them alike.

In a callback or a ``try`` around a hook's method of the ``api`` package, the typed error of the
API says more: see :mod:`airflow_provider_talkpilot.api.errors`. A task's exception has it as
``error``.
"""

from __future__ import annotations

from airflow_provider_talkpilot.compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
)


class TalkPilotTaskError(AirflowException):
    """A task failed in a way that the next try can mend: network, TalkPilot, storage, BigQuery.

    :param message: one line that says what happened and what to do; no call content, no key.
    :param error: the typed error of the API, of staging or of BigQuery, where there is one.
    """

    def __init__(self, message: str = "", error: Exception | None = None) -> None:
        super().__init__(message)
        self.error = error


class TalkPilotTaskFailError(TalkPilotTaskError, AirflowFailException):
    """A task failed, and a user must change something first: it is not tried again."""


class TalkPilotArgumentError(TalkPilotTaskFailError, ValueError):
    """An argument of an operator, a sensor or a task group can never work."""


class TalkPilotSensorTimeoutError(AirflowSensorTimeout):
    """The calls were not done when the sensor's time was up."""
