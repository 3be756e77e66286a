"""Loads beside other loads: who loses to another runs again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from google.api_core.exceptions import BadRequest, Forbidden
from google.cloud.bigquery import QueryJob

from airflow_provider_talkpilot.bigquery import jobs
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from tests.integration.chain import Chain, day
from tests.support.tables import tables


def error(kind: Any, message: str, reason: str) -> Exception:
    """What Google's client raises for a failed job."""
    item = {"reason": reason, "location": "query", "message": message}
    raised: Exception = kind(message, errors=[item])
    return raised


SERIALIZE = error(
    BadRequest, "Could not serialize access to table a:b.c due to concurrent update", "invalidQuery"
)
TOO_MANY = error(
    BadRequest, "Too many DML statements outstanding against table a:b.c", "resourcesExceeded"
)
RATE = error(Forbidden, "Exceeded rate limits", "rateLimitExceeded")
OTHER = error(BadRequest, "Unrecognized name", "invalidQuery")
BYTES = error(BadRequest, "Query exceeded limit", "bytesBilledLimitExceeded")


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Errors for the next MERGEs, one each; no emulator knows Google's conflicts."""
    errors: list[Exception] = []
    real = QueryJob.result

    def result(self: QueryJob, *args: Any, **kwargs: Any) -> Any:
        if errors and "MERGE" in (self.query or ""):
            raise errors.pop(0)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(QueryJob, "result", result)
    monkeypatch.setattr(jobs, "_BUSY_PAUSE", 0)
    return errors


@pytest.mark.parametrize("lost", [SERIALIZE, TOO_MANY, RATE], ids=["update", "many", "rate"])
def test_a_merge_that_lost_runs_again(
    chain: Chain, losing: list[Exception], lost: Exception
) -> None:
    manifest = chain.extract().returned
    losing += [lost] * 3
    result = chain.load(manifest).returned
    assert not losing
    assert result["merge_job_id"].endswith("-3"), "three attempts lost"
    chain.assert_table_is_truth(details=False)


def test_another_error_does_not(chain: Chain, losing: list[Exception]) -> None:
    manifest = chain.extract().returned
    losing += [OTHER, OTHER]
    with pytest.raises(Exception, match="invalidQuery at query"):
        chain.load(manifest)
    assert len(losing) == 1


def test_too_many_bytes_name_the_cure(chain: Chain, losing: list[Exception]) -> None:
    manifest = chain.extract().returned
    losing.append(BYTES)
    with pytest.raises(AirflowFailException, match="raise that, or load a shorter interval"):
        chain.load(manifest, maximum_bytes_billed=1)


def test_the_cap_is_sent(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    caps: list[int | None] = []
    real = QueryJob.result

    def result(self: QueryJob, *args: Any, **kwargs: Any) -> Any:
        caps.append(self.maximum_bytes_billed)
        return real(self, *args, **kwargs)

    manifest = chain.extract().returned
    monkeypatch.setattr(QueryJob, "result", result)
    chain.load(manifest, maximum_bytes_billed=10**9)
    assert set(caps) == {10**9}
    assert len(caps) >= 3, "two looks at the table and the MERGE"


def test_killed_it_cancels_the_job_that_runs(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """No emulator has a job that still runs when it has answered."""
    cancelled: list[str | None] = []
    real = QueryJob.result
    operator = TalkPilotLoadCallsOperator(task_id="load", manifest_uri="", table="")

    def result(self: QueryJob, *args: Any, **kwargs: Any) -> Any:
        if "MERGE" in (self.query or ""):
            operator.on_kill()
        return real(self, *args, **kwargs)

    manifest = chain.extract().returned
    monkeypatch.setattr(QueryJob, "result", result)
    monkeypatch.setattr(QueryJob, "cancel", lambda self, **_: cancelled.append(self.job_id))
    merge = chain.load(manifest).returned["merge_job_id"]
    assert cancelled == [merge]
    operator.on_kill()
    assert cancelled == [merge], "nothing runs any more"


def test_overlapping_loads_at_once(chain: Chain) -> None:
    """A backfill of two days beside the daily run of one, calls and details."""
    daily = chain.extract().returned
    both = (day(0)[0], day(1)[1])
    backfill = chain.extract(interval=both).returned
    chain.sandbox.edit(chain.sandbox.truth(*day(0))[0]["id"], note="edited between")
    newest = chain.extract(interval=both).returned
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(chain.load, (daily, backfill, newest)))
    details = [chain.enrich(manifest).returned for manifest in (daily, newest)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(chain.load, details))
    chain.assert_table_is_truth(day(0), day(1))
    assert tables(chain.bigquery, chain.table) == ["calls"]
