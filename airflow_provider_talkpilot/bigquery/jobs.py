"""Jobs with deterministic ids: a try that died left its job to the next one."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import tenacity
from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, RetryError
from google.cloud.bigquery import Client, LoadJob, QueryJob
from requests.exceptions import RequestException

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError

log = logging.getLogger(__name__)

LABELS = {"source": "talkpilot"}

Job = TypeVar("Job", LoadJob, QueryJob)

_ATTEMPTS = 100
_CANCEL_SECONDS = 10.0

# What this process waits for.
_waiting: list[LoadJob | QueryJob] = []

# Other statements change the table at this moment; BigQuery gives up on one of them. Source:
# cloud.google.com/bigquery/docs/data-manipulation-language#dml_statement_conflicts and
# cloud.google.com/bigquery/docs/error-messages.
_BUSY = re.compile(r"concurrent update|too many dml statements", re.IGNORECASE)
_BUSY_REASONS = {"backendError", "internalError", "jobRateLimitExceeded", "rateLimitExceeded"}
_BUSY_SECONDS, _BUSY_PAUSE = 900.0, 60.0


class _BusyError(BigQueryLoadError):
    """The job lost to others that work on the same table."""


def run_job(client: Client, name: str, location: str | None, submit: Callable[[str], Job]) -> Job:
    """Run a job once, or wait for it where an earlier try has it running.

    A finished job's id cannot be used again, and the table may have changed since: then the next
    attempt's suffix is taken. All our jobs give the same result when run twice. A job that lost to
    another on the same table is run again, for a quarter of an hour.

    :param client: BigQuery.
    :param name: the job's id without its attempt, a function of what the job does.
    :param location: where the job runs.
    :param submit: starts the job with the id it is given.
    :return: the job, done.
    :raises BigQueryLoadError: when it failed.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_BusyError),
        wait=tenacity.wait_random_exponential(multiplier=1, max=_BUSY_PAUSE),
        stop=tenacity.stop_after_delay(_BUSY_SECONDS),
        before_sleep=lambda _: log.info("The job %s lost to another; running it again.", name),
        reraise=True,
    )
    done: Job = retrying(_run, client, name, location, submit)
    log.info("The job %s is done.", done.job_id)
    return done


def _run(client: Client, name: str, location: str | None, submit: Callable[[str], Job]) -> Job:
    for attempt in range(_ATTEMPTS):
        job_id = f"{name}-{attempt}"
        job: Job | None = _find(client, job_id, location)
        if job is not None and job.state == "DONE":
            continue
        if job is not None:
            log.info("Waiting for the job %s of an earlier try.", job_id)
            return finished(job)
        try:
            return finished(submit(job_id))
        except Conflict:  # started by another since we looked
            theirs: Job = _find(client, job_id, location)
            return finished(theirs)
    raise BigQueryLoadError(f"The job {name} was tried {_ATTEMPTS} times: look at it in BigQuery.")


def _find(client: Client, job_id: str, location: str | None) -> Any:
    try:
        return client.get_job(job_id, location=location)
    except NotFound:
        return None


def finished(job: Job) -> Job:
    """Wait until a job is done.

    :raises BigQueryLoadError: when it failed.
    """
    _waiting.append(job)
    try:
        job.result()
    except GoogleAPICallError as error:
        raise _job_error(job, error) from None
    finally:
        _waiting.remove(job)
    return job


def cancel_waiting() -> None:
    """Cancel the jobs that this process waits for: nobody wants them any more."""
    for job in _waiting:
        log.info("Cancelling the job %s.", job.job_id)
        with suppress(GoogleAPICallError, RetryError, RequestException):
            job.cancel(retry=None, timeout=_CANCEL_SECONDS)


def _job_error(job: LoadJob | QueryJob, error: GoogleAPICallError) -> BigQueryLoadError:
    """What a failed job means. Its message can quote a record; its reasons and places cannot."""
    items = job.errors or error.errors or []
    reasons = {item.get("reason", "unknown") for item in items}
    said = {
        f"{i.get('reason', 'unknown')} at {i.get('location') or 'no place'}" for i in items
    } or {type(error).__name__}
    text = f"The BigQuery job {job.job_id} failed ({', '.join(sorted(said))})."
    if "bytesBilledLimitExceeded" in reasons:
        return BigQueryLoadError(
            f"{text} It would read more than maximum_bytes_billed allows: raise that, or load a "
            "shorter interval."
        )
    messages = " ".join([str(error.message), *(str(item.get("message")) for item in items)])
    kind = _BusyError if reasons & _BUSY_REASONS or _BUSY.search(messages) else BigQueryLoadError
    return kind(f"{text} Look at it in BigQuery's job history.", retryable=True)
