"""BigQuery jobs with deterministic ids: a try goes on with the job that an earlier try started."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import tenacity
from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, RetryError
from google.cloud.bigquery import (
    ArrayQueryParameter,
    Client,
    LoadJob,
    QueryJob,
    QueryJobConfig,
    ScriptOptions,
)
from requests.exceptions import RequestException

from airflow_provider_talkpilot.bigquery.errors import BigQueryError, refusal_of

log = logging.getLogger(__name__)

LABELS = {"source": "talkpilot"}

Job = TypeVar("Job", LoadJob, QueryJob)

_CANCEL_SECONDS = 10.0
# A deferral itself takes about as long: a job that is done sooner is not worth one.
SECONDS_BEFORE_DEFERRAL = 5.0

BUSY_SECONDS, BUSY_PAUSE = 900.0, 60.0
# BigQuery may not find at once a job that another client has submitted.
FIND_SECONDS, FIND_PAUSE = 60.0, 5.0
_CANCELLED = "stopped"


class JobRunsError(Exception):
    """A job takes so long that the task can defer until it is done.

    :param job_id: the job's id.
    :param location: where it runs.
    """

    def __init__(self, job_id: str, location: str | None) -> None:
        super().__init__(f"The job {job_id} still runs.")
        self.job_id, self.location = job_id, location


class _RunAgainError(BigQueryError):
    """The job lost to another job on the same table, or the task's earlier try cancelled it."""


class Jobs:
    """Runs the jobs of one load, one after the other.

    :param client: BigQuery.
    :param location: where they run: where the dataset is.
    :param maximum_bytes_billed: a statement that would read more fails; None for no such limit.
    :param deferrable: whether to raise :class:`JobRunsError` instead of waiting for long.
    :param resumed_job: id of the job that the task deferred for. Its outcome is used, and no new
        job is started in its place.
    """

    bytes_processed = 0
    """How many bytes the statements have read."""

    def __init__(
        self,
        client: Client,
        location: str | None = None,
        *,
        maximum_bytes_billed: int | None = None,
        deferrable: bool = False,
        resumed_job: str | None = None,
    ) -> None:
        self.client, self.location = client, location
        self._maximum_bytes_billed = maximum_bytes_billed
        self._deferrable, self._resumed_job = deferrable, resumed_job
        self._running: LoadJob | QueryJob | None = None

    def run_job(
        self,
        name: str,
        submit: Callable[[str], Job],
        *,
        deferrable: bool = True,
        reuse_result: bool = False,
    ) -> Job:
        """Run a job, or wait for it if an earlier try has left it running.

        BigQuery never accepts an id twice, so every attempt has its own suffix. A job that is done
        runs again, because the table may have changed since: all our jobs may run twice. A job that
        lost to another job on the same table runs again, for a quarter of an hour.

        :param name: the job's id without its suffix; the same for the same work.
        :param submit: starts the job with the id that it is given.
        :param deferrable: False for a job that the task always waits for.
        :param reuse_result: use an earlier job that succeeded, because its result still exists.
        :return: the job, done.
        :raises BigQueryError: when it failed.
        :raises JobRunsError: when the task can defer for it.
        """
        job: Job = _retrying(name)(self._attempt, name, submit, deferrable, reuse_result)
        log.info("The job %s is done.", job.job_id)
        return job

    def run_statement(
        self,
        name: str,
        statement: str,
        labels: Mapping[str, object] | None = None,
        *,
        deferrable: bool = True,
    ) -> QueryJob:
        """Run a statement that changes tables, as :meth:`run_job` does.

        :param name: as in :meth:`run_job`.
        :param statement: a statement or a script.
        :param labels: labels of the job, besides our own; their values become texts.
        :param deferrable: as in :meth:`run_job`.
        """
        texts = {name: str(value) for name, value in (labels or {}).items()}
        config = self._query_config(labels={**LABELS, **texts})

        def submit(job_id: str) -> QueryJob:
            return self.client.query(
                statement,
                job_id=job_id,
                location=self.location,
                job_config=config,
                job_retry=None,  # run_job() decides about another attempt
            )

        job = self.run_job(name, submit, deferrable=deferrable)
        self.bytes_processed += job.total_bytes_processed or 0
        return job

    def query(self, statement: str, parameters: Sequence[ArrayQueryParameter] = ()) -> QueryJob:
        """Run a statement that may run twice, under an id that BigQuery chooses.

        A job that lost to another job on the same table runs again, as in :meth:`run_job`.

        :raises BigQueryError: when it failed.
        """
        config = self._query_config(query_parameters=parameters)

        def attempt() -> QueryJob:
            job = self.client.query(statement, location=self.location, job_config=config)
            done: QueryJob = self._wait(job)
            return done

        job = _retrying("of a query")(attempt)
        self.bytes_processed += job.total_bytes_processed or 0
        return job

    def _query_config(self, **options: Any) -> QueryJobConfig:
        if (most := self._maximum_bytes_billed) is not None:
            # The documented limit of a script is the budget of each of its statements. Source:
            # cloud.google.com/bigquery/docs/reference/rest/v2/Job#ScriptOptions
            budget = ScriptOptions(statement_byte_budget=most)
            options |= {"maximum_bytes_billed": most, "script_options": budget}
        return QueryJobConfig(**{"labels": LABELS, **options})

    def cancel(self) -> None:
        """Cancel the job that runs, if one does; the next try runs it again."""
        if job := self._running:
            log.info("Cancelling the job %s.", job.job_id)
            with suppress(GoogleAPICallError, RetryError, RequestException):
                job.cancel(retry=None, timeout=_CANCEL_SECONDS)

    def _attempt(
        self, name: str, submit: Callable[[str], Job], deferrable: bool, reuse_result: bool
    ) -> Any:
        """Wait for the first job of this name that is not done, or submit the next one."""
        number = 0
        while True:
            job_id = f"{name}-{number}"
            job = self._find(job_id)
            if job is None:
                try:
                    return self._wait(submit(job_id), deferrable=deferrable)
                except Conflict:  # another task has submitted it since
                    job = self._find_submitted(job_id)
                    return self._wait(job, deferrable=deferrable, submitted_here=False)
            if job_id == self._resumed_job:
                self._resumed_job = None  # if it failed, the next attempt is a new job
                return self._wait(job)
            if job.state != "DONE":
                log.info("Waiting for the job %s of an earlier try.", job_id)
                return self._wait(job, deferrable=deferrable, submitted_here=False)
            if reuse_result and not job.error_result:
                return job
            number += 1

    def _find(self, job_id: str) -> Any:
        try:
            return self.client.get_job(job_id, location=self.location)
        except NotFound:
            return None

    def _find_submitted(self, job_id: str) -> Any:
        """Find a job of another client, which BigQuery may show a little later."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda job: job is None),
            wait=tenacity.wait_exponential(multiplier=0.5, max=FIND_PAUSE),
            stop=tenacity.stop_after_delay(FIND_SECONDS),
            retry_error_callback=lambda _: None,
        )
        job = retrying(self._find, job_id)
        if job is None:
            raise BigQueryError(
                f"BigQuery says that the job {job_id} exists (409 duplicate), and does not find "
                "it: the next try looks again.",
                retryable=True,
            )
        return job

    def _wait(self, job: Any, *, deferrable: bool = False, submitted_here: bool = True) -> Any:
        """Wait for a job; ``submitted_here`` says whether this try has submitted it."""
        self._running = job
        try:
            if deferrable and self._deferrable:
                job.exception(timeout=SECONDS_BEFORE_DEFERRAL)
            job.result()
        except TimeoutError:
            raise JobRunsError(str(job.job_id), self.location) from None
        except GoogleAPICallError as error:
            raise _job_error(job, error, submitted_here) from None
        finally:
            self._running = None
        return job


def _retrying(name: str) -> tenacity.Retrying:
    """Run a job again that lost to another job on the same table, for a quarter of an hour."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_RunAgainError),
        wait=tenacity.wait_random_exponential(multiplier=1, max=BUSY_PAUSE),
        stop=tenacity.stop_after_delay(BUSY_SECONDS),
        before_sleep=lambda _: log.info("The job %s has to run again.", name),
        reraise=True,
    )


def _job_error(
    job: LoadJob | QueryJob, error: GoogleAPICallError, submitted_here: bool
) -> BigQueryError:
    """Describe why a job failed: by Google's reasons, because its message can quote a record."""
    items = job.errors or error.errors or []
    refusal = refusal_of(items, error.message)
    places = {
        f"{item.get('reason', 'unknown')} at {item.get('location') or 'no place'}" for item in items
    } or {type(error).__name__}
    text = f"The BigQuery job {job.job_id} failed ({', '.join(sorted(places))})."
    if refusal.cure:
        return BigQueryError(f"{text} {refusal.cure}", retryable=refusal.later)
    cancelled_before = _CANCELLED in refusal.reasons and not submitted_here
    kind = _RunAgainError if refusal.retryable or cancelled_before else BigQueryError
    return kind(f"{text} Look at it in BigQuery's job history.", retryable=True)
