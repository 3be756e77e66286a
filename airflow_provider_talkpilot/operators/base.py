"""What the operators share: errors as Airflow understands them, arguments as users give them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_talkpilot.api import Interval, require_uuid
from airflow_provider_talkpilot.api.errors import (
    ConfigurationError,
    IntervalError,
    QuotaExhaustedError,
    TalkPilotError,
)
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.staging.errors import StagingError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise our errors as one line, and without retries where a retry cannot help.

    :raises AirflowFailException: for what somebody must mend first.
    :raises AirflowException: for what can work at the next try.
    """
    try:
        yield
    except QuotaExhaustedError:
        raise  # not a failure: operators defer on it
    except (TalkPilotError, StagingError, BigQueryLoadError) as error:
        kind = AirflowException if error.retryable else AirflowFailException
        raise kind(str(error)) from None


def resolve_interval(context: Context, start: str | None, end: str | None) -> Interval:
    """Choose the interval of a run.

    :param context: the task's context.
    :param start: explicit start; with it, ``end`` must be given too.
    :param end: explicit end.
    :return: the explicit interval, else the run's data interval.
    :raises IntervalError: when there is neither, or the interval can hold no call.
    """
    if start or end:
        return Interval.parse(start, end)
    first, last = context.get("data_interval_start"), context.get("data_interval_end")
    if first is None or last is None:
        raise IntervalError(
            "This run has no data interval (it was triggered by hand, by REST or by an asset "
            "without one): trigger it with data_interval_start and data_interval_end, or with the "
            "params start and end."
        )
    return Interval.parse(first, last)


def resolve_agents(agent_ids: Sequence[str] | str | None) -> list[str] | None:
    """Read the agents as users give them.

    :param agent_ids: UUIDs, or a JSON list of them; nothing means every agent.
    :return: the UUIDs; None for every agent that the key can see.
    :raises ConfigurationError: when it is no list of UUIDs.
    """
    given: Any = agent_ids
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else None
        except ValueError:
            given = [given]
    if not given:
        return None
    if not isinstance(given, list | tuple):
        raise ConfigurationError(
            "agent_ids is no list: give a JSON list of agent ids, or nothing for every agent."
        )
    return [require_uuid("agent id", agent_id) for agent_id in given]


def is_true(value: Any) -> bool:
    """Read a flag that may have been rendered from a template."""
    return value.strip().lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)


def push_summary(
    context: Context,
    kind: str,
    *,
    scope: str,
    interval: Interval | None = None,
    manifest: object = None,
    **figures: Any,
) -> None:
    """Push the XCom ``summary``: what a task works on, and what it did, never a record.

    A task pushes it once when it knows what it works on, without figures, so that a task that
    runs or failed can be told too; and again, with the figures, when it has done its work.

    :param kind: ``calls`` (extract), ``details`` (enrich), ``load``, ``clean`` or ``resync``.
    :param scope: connection and agents: with the interval, it tells which tasks did the same work.
    :param interval: the interval, ``{"start", "end"}`` in ISO 8601.
    :param manifest: the manifest's URI that the task staged, or took.
    :param figures: more entries, small and free of call content.
    """
    summary: dict[str, Any] = {"kind": kind, "scope": scope}
    if interval is not None:
        bounds = {"start": interval.start.isoformat(), "end": interval.end.isoformat()}
        summary["interval"] = bounds
    if manifest is not None:
        summary["manifest"] = str(manifest)
    context["ti"].xcom_push(key="summary", value=summary | figures)
