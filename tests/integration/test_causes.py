"""Google's errors: a retry follows those that can pass, the others fail at once with a cure."""

from __future__ import annotations

import json
from functools import partial

import pytest
from google.cloud.bigquery import DEFAULT_RETRY

from airflow_provider_talkpilot.bigquery import client, jobs
from airflow_provider_talkpilot.exceptions import TalkPilotTaskError, TalkPilotTaskFailError
from tests.integration.chain import Chain, refused
from tests.support.bigquery_gateway import Gateway
from tests.unit.api.raw_server import RawServer

LOAD, MERGE = "talkpilot-load-", "talkpilot-merge-"
LATER, NEVER = TalkPilotTaskError, TalkPilotTaskFailError
# Google's messages quote the values that caused an error.
RECORD = "Ms Secret, +49 30 123456"

REFUSED: list[tuple[str, str, type[TalkPilotTaskError], str]] = [
    ("accessDenied", "Permission bigquery.tables.updateData denied on table", NEVER,
     "lacks bigquery.tables.updateData"),
    ("accessDenied", "a@b does not have storage.objects.list access", NEVER,
     "lacks storage.objects.list"),
    ("invalid", "Cannot read and write in different locations: source: US, destination: EU", NEVER,
     "bucket of the dataset's location"),
    ("accessDenied", "User has no permission to access policy tag x", NEVER, "Fine-Grained Reader"),
    ("billingNotEnabled", "DML queries are not allowed in the free tier", NEVER, "enable billing"),
    ("accessDenied", "Billing has not been enabled for this project.", NEVER, "enable billing"),
    ("invalidQuery", "DML queries are not allowed in the free tier.", NEVER, "enable billing"),
    ("invalid", "demo:a.b is not allowed for this operation because it is currently a VIEW.", NEVER,
     "no table whose rows"),
    ("invalidQuery", "MERGE is not supported over external tables", NEVER, "no table whose rows"),
    ("accessDenied", "BigQuery: Permission denied on Cloud KMS key: give the role", NEVER, "CMEK"),
    ("invalid", "Cannot use the CryptoKey: it is disabled", NEVER, "CMEK"),
    ("quotaExceeded", "Custom quota exceeded", LATER, "A quota of the project is used up"),
    ("bytesBilledLimitExceeded", "Query exceeded limit", NEVER, "raise that, or load a shorter"),
    ("resourcesExceeded", "Resources exceeded during query execution", NEVER, "a shorter interval"),
    ("blocked", "", NEVER, "Google's support"),
    ("backendError", "", LATER, ""),
    ("internalError", "", LATER, ""),
    ("jobInternalError", "", LATER, ""),
    ("jobRateLimitExceeded", "", LATER, ""),
    ("rateLimitExceeded", "", LATER, ""),
    ("tableUnavailable", "", LATER, ""),
    ("invalidQuery", "Transaction is aborted due to concurrent update against table", LATER, ""),
    ("resourcesExceeded", "Too many DML statements outstanding against table a:b.c", LATER, ""),
    ("notFound", "Not found: Table staging", LATER, "job history"),
    ("invalidQuery", "Bad double value", LATER, "job history"),
    ("somethingNew", "Nobody knows", LATER, "job history"),
]  # fmt: skip


@pytest.mark.slow
def test_a_job_that_fails(chain: Chain, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names Google's reason, and quotes nothing of its message."""
    monkeypatch.setattr(jobs, "BUSY_SECONDS", 0)
    load = partial(chain.load, chain.extract().returned)
    for reason, text, kind, cure in REFUSED:
        gateway.fail(MERGE, (reason, f"{text} {RECORD}"))
        message = refused(load, f"({reason} at query)", cure, kind=kind)
        assert "Secret" not in message
        # The emulator has run the merge that the gateway shows as refused.
        chain.bigquery.query(f"DELETE FROM `{chain.table}` WHERE TRUE").result()
    load()
    chain.assert_table_is_truth(details=False)


def test_no_response_comes(chain: Chain, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = chain.extract().returned
    monkeypatch.setattr(client, "RESPONSE_SECONDS", 5)
    gateway.hold_back("BEGIN TRANSACTION", times=1)
    assert chain.load(manifest).returned["changed"] == 46
    chain.assert_table_is_truth(details=False)


@pytest.mark.parametrize("for_ever", [False, True])
def test_a_submitted_job_that_is_not_found(
    chain: Chain, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, for_ever: bool
) -> None:
    monkeypatch.setattr(jobs, "FIND_SECONDS" if for_ever else "FIND_PAUSE", 0)
    manifest = chain.extract().returned
    gateway.hidden, gateway.hidden_for = MERGE, 100 if for_ever else 3
    if for_ever:
        refused(lambda: chain.load(manifest), "409 duplicate", "next try", kind=LATER)
        gateway.hidden = "-"
    result = chain.load(manifest).returned
    assert for_ever or (result["changed"], result["merge_job_id"][-2:]) == (46, "-0")
    chain.assert_table_is_truth(details=False)


def test_a_request_that_is_refused(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFAULT_RETRY, "_timeout", 0.2)  # ten minutes
    calls = chain.extract().returned
    json_type = {"Content-Type": "application/json"}
    for status, reason, kind in (
        (403, "accessDenied", NEVER),
        (400, "invalid", NEVER),
        (403, "rateLimitExceeded", LATER),
        (403, "quotaExceeded", LATER),
        (429, "tooMany", LATER),
        (503, "backendError", LATER),
    ):
        errors = [{"reason": reason, "message": "Access Denied:\nno"}]
        body = {"error": {"code": status, "message": "Access Denied:\nno", "errors": errors}}
        with RawServer(json.dumps(body).encode(), status, json_type) as server:
            monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url.removesuffix("/v1"))
            extract = partial(chain.extract, table=chain.table)
            for task in (partial(chain.load, calls), partial(chain.enrich, calls), extract):
                refused(task, f"{status} ({reason})", "'google_cloud_default'", kind=kind)
