"""Jobs with deterministic ids: a try that died left its job to the next one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound
from google.cloud.bigquery import Client, LoadJob, QueryJob

from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError

log = logging.getLogger(__name__)

Job = TypeVar("Job", LoadJob, QueryJob)

_ATTEMPTS = 100


def run_job(client: Client, name: str, location: str | None, submit: Callable[[str], Job]) -> Job:
    """Run a job once, or wait for it where an earlier try has it running.

    A finished job's id cannot be used again, and the table may have changed since: then the next
    attempt's suffix is taken. All our jobs give the same result when run twice.

    :param client: BigQuery.
    :param name: the job's id without its attempt, a function of what the job does.
    :param location: where the job runs.
    :param submit: starts the job with the id it is given.
    :return: the job, done.
    :raises BigQueryLoadError: when it failed.
    """
    for attempt in range(_ATTEMPTS):
        job_id = f"{name}-{attempt}"
        job: Job | None = _find(client, job_id, location)
        if job is not None and job.state == "DONE":
            continue
        if job is not None:
            log.info("Waiting for the job %s of an earlier try.", job_id)
            return _finished(job)
        try:
            return _finished(submit(job_id))
        except Conflict:  # started by another since we looked
            theirs: Job = _find(client, job_id, location)
            return _finished(theirs)
    raise BigQueryLoadError(f"The job {name} was tried {_ATTEMPTS} times: look at it in BigQuery.")


def _find(client: Client, job_id: str, location: str | None) -> Any:
    try:
        return client.get_job(job_id, location=location)
    except NotFound:
        return None


def _finished(job: Job) -> Job:
    try:
        job.result()
    except GoogleAPICallError as error:
        # The server's message can quote a record; its reasons and places cannot.
        reasons = {
            f"{item.get('reason', 'unknown')} at {item.get('location') or 'no place'}"
            for item in (job.errors or error.errors or [])
        } or {type(error).__name__}
        raise BigQueryLoadError(
            f"The BigQuery job {job.job_id} failed ({', '.join(sorted(reasons))}). Look at it in "
            "BigQuery's job history.",
            retryable=True,
        ) from None
    return job
