"""Wrong settings and broken surroundings: what a user reads, and that nothing is harmed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import DEFAULT_RETRY, Client
from google.cloud.exceptions import NotFound

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError, TalkPilotTaskFailError
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.integration.chain import Chain, local, staged_files
from tests.support.jobs import Jobs
from tests.support.ports import held_port
from tests.unit.api.raw_server import RawServer

KEY = {
    "type": "service_account",
    "client_email": "loader@demo.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
    "private_key": "-----BEGIN PRIVATE KEY-----\nunsaid\n-----END PRIVATE KEY-----",
}
LATER, NEVER = TalkPilotTaskError, TalkPilotTaskFailError
"""A retry can help; none can, before somebody mends something."""


def contents(uri: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in staged_files(uri)}


def state_of(bigquery: Client, table: str) -> Any:
    try:
        bigquery.get_table(table)
        return sorted(map(repr, bigquery.query(f"SELECT * FROM `{table}`").result()))
    except NotFound:
        return []  # a load makes the table before anything else


def assert_message(
    error: tuple[type[BaseException], str], kind: type[BaseException], *cures: str
) -> None:
    """The right exception, one line, and in it what to do; no secret."""
    assert issubclass(error[0], kind), error
    assert issubclass(error[0], NEVER) == (kind is NEVER), error
    assert error[1]
    assert len(error[1].splitlines()) == 1, error[1]
    assert "tp_live_" not in error[1].replace("tp_live_ and 32 hex digits", ""), error[1]
    assert "unsaid" not in error[1], error[1]
    for cure in cures:
        assert cure in error[1]


class Refusals:
    """Watches a task fail."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    @contextmanager
    def expect(self, kind: type[BaseException], *cures: str) -> Iterator[None]:
        """The task fails as told, loads nothing, and loses nothing that was staged."""
        chain, table = self.chain, self.chain.table
        staged, before = contents(chain.staging_uri), state_of(chain.bigquery, table)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its type is checked below
            yield
        assert_message((type(caught.value), str(caught.value)), kind, *cures)
        assert state_of(chain.bigquery, table) == before
        now = contents(chain.staging_uri)
        assert {path: now.get(path) for path in staged} == staged


@pytest.fixture
def refusals(chain: Chain) -> Refusals:
    """Something is staged already when the task fails."""
    chain.extract(start="2026-03-17", end="2026-03-17T12:00:00")
    return Refusals(chain)


@pytest.fixture
def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes the TalkPilot connection."""

    def change(**fields: Any) -> None:
        connection = {**sandbox.connection, "extra": {"tries": 2}, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_DEFAULT", json.dumps(connection))

    return change


# The base URL


def test_nobody_listens(refusals: Refusals, connect: Callable[..., None]) -> None:
    with held_port() as port:
        for host in (f"http://127.0.0.1:{port}/v1", "https://no-such-project.invalid/v1"):
            connect(host=host)
            with refusals.expect(LATER, "No response", "connection's host"):
                refusals.chain.extract()


def test_a_connection_that_cannot_work(refusals: Refusals, connect: Callable[..., None]) -> None:
    refusals.chain.sandbox.reset_counters()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"host": "http://example.com/functions/v1/api/v1"}, "plain http"),
        ({"host": None}, "base URL"),
        ({"extra": {"quota_share": 2}}, "quota_share"),
        ({"extra": {"timeout": "NaN"}}, "timeout"),
        ({"extra": "[1]"}, "no JSON object"),
        ({"password": None}, "connection's password"),
        ({"password": "tp_live_" + "0" * 31}, "connection's password"),
    ]
    for fields, cure in wrong:
        connect(**fields)
        with refusals.expect(NEVER, cure):
            refusals.chain.extract()
    assert not refusals.chain.sandbox.counters


# The key


def test_refused_key(refusals: Refusals, connect: Callable[..., None]) -> None:
    chain = refusals.chain
    calls = chain.extract().returned
    connect(password=chain.sandbox.add_key("refused", active=False))
    tasks: list[Callable[[], Any]] = [chain.extract, lambda: chain.enrich(calls)]
    for task in tasks:
        with refusals.expect(NEVER, "401", "unknown, inactive or expired", "renew", "req_"):
            task()


@pytest.mark.parametrize("permission", ["agents:read", "calls:read"])
def test_missing_permission(
    refusals: Refusals, connect: Callable[..., None], permission: str
) -> None:
    others = [each for each in ("agents:read", "calls:read") if each != permission]
    connect(password=refusals.chain.sandbox.add_key("narrow", permissions=others))
    with refusals.expect(NEVER, "403", permission, "Grant", "req_"):
        refusals.chain.extract()


def test_named_agents_need_no_permission_for_agents(
    chain: Chain, connect: Callable[..., None]
) -> None:
    connect(password=chain.sandbox.add_key("narrow", permissions=["calls:read"]))
    calls = chain.extract(agent_ids=chain.sandbox.store.agent_ids)
    assert calls.xcoms["summary"]["calls"] == 46


# The agents


@pytest.mark.parametrize("era", ["spring", "now"])
def test_several_agents_that_the_key_may_not_see(
    refusals: Refusals, connect: Callable[..., None], era: Any
) -> None:
    """One error names them all, for one request; the agents before them are not read again."""
    sandbox = refusals.chain.sandbox
    sandbox.reset(**sandbox.settings.model_dump() | {"era": era, "agents": 4})
    seen, *hidden = sandbox.store.agent_ids
    connect(password=sandbox.add_key("one agent", allowed_agent_ids=[seen]))
    named = f"which the run names: {', '.join(hidden)}."
    with refusals.expect(NEVER, named):
        refusals.chain.extract(agent_ids=[seen, *hidden])
    assert sandbox.counters == {"calls": 2, "agents": 1}
    sandbox.reset_counters()
    with refusals.expect(NEVER, named):
        refusals.chain.extract(agent_ids=[seen, *hidden])
    assert sandbox.counters == {"calls": 1, "agents": 1}


def test_an_agent_taken_off_the_keys_list(refusals: Refusals, connect: Callable[..., None]) -> None:
    """Not the same as calls that vanished: no detail counts as gone."""
    chain = refusals.chain
    calls = chain.extract().returned
    connect(password=chain.sandbox.add_key("blind", allowed_agent_ids=[]))
    agent_ids = chain.sandbox.store.agent_ids[:1]
    tasks: list[Callable[[], Any]] = [
        lambda: chain.extract(agent_ids=agent_ids),
        lambda: chain.enrich(calls),
    ]
    for task in tasks:
        with refusals.expect(NEVER, "403 AGENT_NOT_ACCESSIBLE", "talkpilot_agent_ids"):
            task()


def test_an_agent_that_is_deleted_after_the_list_was_read(refusals: Refusals) -> None:
    """The run named none: the next try reads the list without it."""
    chain = refusals.chain
    chain.sandbox.faults.add("status", kind="calls", status=404)
    with refusals.expect(LATER, "/calls responded 404 NOT_FOUND. The next try reads the list"):
        chain.extract()
    chain.extract()


def test_a_key_that_can_see_no_agent(
    chain: Chain, connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    connect(password=chain.sandbox.add_key("blind", allowed_agent_ids=[]))
    chain.extract()
    assert "The key can see no agent, so there are no calls." in caplog.text


# Something in front of TalkPilot


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (200, b"<!doctype html>\n<body>Welcome</body>\n", LATER, "HTML"),
        # Not the same as an agent that does not exist, or as calls that vanished.
        (404, b'{"message":"no Route"}', NEVER, "There is no TalkPilot API at this address"),
        (401, b'{"code":401,"message":"Invalid JWT"}', LATER, "Invalid JWT. This is no verdict"),
        (403, b"<title>Just a moment...</title>", LATER, "Just a moment. This is no verdict"),
        (402, b'{"message":"Service restricted"}', NEVER, "Service restricted. TalkPilot's host"),
        (540, b'{"message":"Project paused"}', NEVER, "Project paused. TalkPilot's hosting has st"),
        (
            546,
            b'{"code":"WORKER_LIMIT","message":"m"}',
            LATER,
            "546: WORKER_LIMIT: m. TalkPilot has a problem",
        ),
        (511, b"<h1>Guest network</h1>", NEVER, "Guest network. It was not TalkPilot"),
    ],
)
def test_refused_in_front_of_talkpilot(
    refusals: Refusals,
    connect: Callable[..., None],
    status: int,
    body: bytes,
    kind: type[BaseException],
    says: str,
) -> None:
    chain = refusals.chain
    calls = chain.extract().returned
    with RawServer(body, status) as server:
        connect(host=server.url)
        tasks: list[Callable[[], Any]] = [chain.extract, lambda: chain.enrich(calls)]
        for task in tasks:
            with refusals.expect(kind, says):
                task()


# The interval


def test_interval(refusals: Refusals) -> None:
    refusals.chain.sandbox.reset_counters()
    for interval, cure in (
        (("2026-03-16", "2026-03-16"), "CronDataIntervalTimetable"),
        (("2026-03-16", "2099-01-01"), "earlier end"),
        (None, "data_interval_start"),
    ):
        with refusals.expect(NEVER, cure):
            refusals.chain.extract(interval=interval)
    assert not refusals.chain.sandbox.counters


# Staging


def test_staging_in_a_bucket_that_is_missing(refusals: Refusals, bucket: str) -> None:
    with refusals.expect(LATER, "staging URI exists"):
        refusals.chain.extract(staging_uri=bucket.replace("@test-", "@missing-"))


def test_staging_where_nobody_may_write(refusals: Refusals, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # root; the kernel refuses even that in its own folders
        folder = Path("/sys/kernel")
    with refusals.expect(LATER, "may read and write"):
        refusals.chain.extract(staging_uri=folder.as_uri())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "file_bytes"), [("calls", 0), ("calls", 5_000), ("details", 5_000)]
)
def test_disk_full_while_staging(chain: Chain, jobs: Jobs, kind: str, file_bytes: int) -> None:
    task = ["extract"] if kind == "calls" else ["enrich", chain.summaries()]
    ended = jobs.run(file_bytes=file_bytes, **chain.arguments(*task))
    assert ended.error
    assert_message(ended.error, LATER, "space left")
    assert not list(local(chain.staging_uri).rglob(f"{kind}-manifest*"))

    chain.run()
    chain.assert_table_is_truth()


@pytest.mark.slow
def test_disk_full_while_loading(chain: Chain, jobs: Jobs) -> None:
    calls = chain.extract().returned
    ended = jobs.run(file_bytes=5_000, **chain.arguments("load", calls))
    assert ended.error
    assert_message(ended.error, LATER, "space left")
    assert state_of(chain.bigquery, chain.table) == []

    chain.load(calls)
    chain.assert_table_is_truth(details=False)


# What is staged


def test_manifest_that_is_none(refusals: Refusals) -> None:
    chain = refusals.chain
    calls = str(chain.extract().returned)
    for content in ("", '{"version":2}', None):
        local(calls).write_text(content) if content is not None else local(calls).unlink()
        for task in (chain.enrich, chain.load):
            with refusals.expect(NEVER, "no manifest", "again"):
                task(calls)


@pytest.mark.parametrize("harm", ["gone", "shorter", "altered"])
def test_part_that_is_not_what_the_manifest_says(refusals: Refusals, harm: str) -> None:
    chain = refusals.chain
    calls = str(chain.extract().returned)
    [part] = local(calls).parent.glob("calls-0*.jsonl")
    content = part.read_bytes()
    if harm == "gone":
        part.unlink()
    else:
        changed = {
            "shorter": content[:-10],
            "altered": content.replace(b"true", b"null", 1),
        }[harm]
        part.write_bytes(changed)
    with refusals.expect(NEVER, part.name, "again"):
        chain.load(calls)
    if harm != "altered":
        with refusals.expect(NEVER, part.name, "again"):
            chain.enrich(calls)


# BigQuery


def test_bigquery_is_down(refusals: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFAULT_RETRY, "_timeout", 0.2)  # ten minutes
    chain = refusals.chain
    calls = chain.extract().returned
    with held_port() as port:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        for task in (chain.load, chain.enrich):
            with refusals.expect(LATER, "BigQuery"):
                task(calls)


def test_certificates_or_a_proxy_that_bigquery_cannot_be_reached_with(
    refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = refusals.chain.extract().returned
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "https://bigquery.invalid")
    for name, value, cure in (
        ("REQUESTS_CA_BUNDLE", "/missing.pem", "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE) cannot be"),
        ("HTTPS_PROXY", "http://proxy:port", "HTTPS_PROXY is http://proxy:3128"),
        ("HTTPS_PROXY", "socks5://proxy", "HTTPS_PROXY is http://proxy:3128"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            with refusals.expect(NEVER, cure):
                refusals.chain.load(calls)


def test_google_connection_that_cannot_be_used(
    refusals: Refusals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line that names the connection and its field, and nothing of a key."""
    wrong: list[tuple[Any, str]] = [
        (None, "does not exist: create it, or correct gcp_conn_id"),
        ({}, "default credentials"),
        ({"is_anonymous": True}, "names no project"),
        ({"key_path": "/keys/missing.json"}, "key_path: /keys/missing.json: No such file"),
        ({"key_path": "PEM"}, "key_path: it is no JSON"),
        ({"key_path": "/keys/key.p12"}, "key_path: Legacy P12 key file"),
        ({"key_path": "/keys/key.pem"}, "key_path: Unrecognised extension"),
        ({"keyfile_dict": "{"}, "keyfile_dict: Invalid key JSON"),
        ({"keyfile_dict": {"type": "service_account"}}, "keyfile_dict: 'private_key' is missing"),
        ({"keyfile_dict": {"private_key": "unsaid"}}, "keyfile_dict: Service account info"),
        ({"keyfile_dict": KEY}, "keyfile_dict: it cannot be read"),
        ({"keyfile_dict": [1]}, "keyfile_dict: it cannot be read"),
        ({"credential_config_file": "{"}, "credential_config_file: "),
        ({"key_path": "/a.json", "keyfile_dict": {"a": 1}}, "mutually exclusive"),
        ({"key_path": "ADC"}, "key_path: Service account info was not in the expected format"),
        ({"impersonation_chain": "loader"}, "impersonation_chain: Could not extract"),
        ({"quota_project_id": "!"}, "quota_project_id: it cannot be read"),
        ([1], "its field extra: it cannot be read"),
        ("not JSON", "its field extra: it is no JSON"),
    ]
    chain = refusals.chain
    calls = chain.extract().returned
    pem = tmp_path / "pem.json"
    pem.write_text("-----BEGIN PRIVATE KEY-----\nunsaid")
    adc = tmp_path / "adc.json"
    adc.write_text('{"type": "authorized_user", "client_id": "a", "client_secret": "unsaid", '
                   '"refresh_token": "unsaid"}')  # fmt: skip
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    tasks: list[Callable[[], Any]] = [
        lambda: chain.load(calls),
        lambda: chain.enrich(calls),
        lambda: chain.extract(table=chain.table),
    ]
    for extra, said in wrong:
        with pytest.MonkeyPatch.context() as patch:
            connection = {"conn_type": "google_cloud_platform", "extra": extra}
            given = json.dumps(connection).replace("PEM", str(pem)).replace("ADC", str(adc))
            patch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", given)
            if extra is None:
                patch.delenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT")
            elif {*extra} & {"impersonation_chain", "quota_project_id"}:
                patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(adc))
            for task in tasks if extra is None else tasks[:1]:
                with refusals.expect(NEVER, "connection 'google_cloud_default'", said):
                    task()
