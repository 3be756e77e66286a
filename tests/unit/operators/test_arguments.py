"""Arguments as users and templates give them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import (
    ConfigurationError,
    IntervalError,
    QuotaExhaustedError,
    ServerError,
)
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.operators.base import (
    airflow_errors,
    is_true,
    resolve_agents,
    resolve_interval,
)
from airflow_provider_talkpilot.staging.errors import ManifestError, StagingError

A, B = "7b0a2f0c-0000-4000-8000-000000000001", "7b0a2f0c-0000-4000-8000-000000000002"
WHOLE = Interval(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC))


@pytest.mark.parametrize(
    ("given", "agents"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ([], None),
        ("[]", None),
        ("null", None),
        ([A, B], [A, B]),
        ((A,), [A]),
        (f'["{A}", "{B}"]', [A, B]),
        (A, [A]),
    ],
)
def test_agents(given: Any, agents: list[str] | None) -> None:
    assert resolve_agents(given) == agents


@pytest.mark.parametrize("given", [["x"], "x", "{}x", [None], '{"a": "b"}', 5, {"a": 1}])
def test_no_agents(given: Any) -> None:
    with pytest.raises(ConfigurationError):
        resolve_agents(given)


@pytest.mark.parametrize(
    ("context", "start", "end"),
    [
        ({}, "2026-03-16", "2026-03-17"),
        ({}, "2026-03-16T00:00:00Z", "2026-03-17T01:00:00+01:00"),
        ({}, "2026-03-16 00:00", "2026-03-17 00:00:00.000"),
        ({"data_interval_start": WHOLE.start, "data_interval_end": WHOLE.end}, None, None),
        ({"data_interval_start": WHOLE.start, "data_interval_end": WHOLE.end}, "", ""),
        (
            {
                "data_interval_start": pendulum.datetime(2026, 3, 16),
                "data_interval_end": pendulum.datetime(2026, 3, 17, 9, tz="Asia/Tokyo"),
            },
            None,
            None,
        ),
        ({"data_interval_start": 1, "data_interval_end": 2}, "2026-03-16", "2026-03-17"),
    ],
)
def test_intervals(context: Any, start: str | None, end: str | None) -> None:
    found = resolve_interval(context, start, end)
    assert found == WHOLE
    assert type(found.start) is datetime


@pytest.mark.parametrize("context", [{}, {"data_interval_start": None, "data_interval_end": None}])
def test_no_interval(context: Any) -> None:
    with pytest.raises(IntervalError, match="data_interval_start and data_interval_end"):
        resolve_interval(context, None, None)


@pytest.mark.parametrize("given", [True, "True", "true", " yes ", "1"], ids=repr)
def test_flags_that_are_set(given: Any) -> None:
    assert is_true(given)


@pytest.mark.parametrize("given", [False, None, "False", "", "None", "0"], ids=repr)
def test_flags_that_are_not(given: Any) -> None:
    assert not is_true(given)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigurationError("x"), AirflowFailException),
        (ServerError("x", status=500), AirflowException),
        (StagingError("x"), AirflowException),
        (ManifestError("x"), AirflowFailException),
        (BigQueryLoadError("x"), AirflowFailException),
        (BigQueryLoadError("x", retryable=True), AirflowException),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_errors(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, airflow_errors():
        raise error
    assert type(caught.value) is kind
    assert str(caught.value) == "x"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_other_errors_come_through() -> None:
    for error in (QuotaExhaustedError("x", resume_at=WHOLE.end), KeyError("x")):
        with pytest.raises(type(error)), airflow_errors():
            raise error
