"""Wrong settings and broken surroundings: the user reads a cure, and nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import DEFAULT_RETRY, Client
from google.cloud.exceptions import NotFound

from airflow_provider_talkpilot.exceptions import TalkPilotTaskError, TalkPilotTaskFailError
from tests.integration.chain import Chain, assert_message, local, staged_files
from tests.integration.sensing import Connect
from tests.support.jobs import Jobs
from tests.support.ports import held_port
from tests.unit.api.raw_server import RawServer

KEY = {
    "type": "service_account",
    "client_email": "loader@demo.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
    "private_key": "-----BEGIN PRIVATE KEY-----\nunsaid\n-----END PRIVATE KEY-----",
}
RETRY, FAIL = TalkPilotTaskError, TalkPilotTaskFailError
"""The next try can succeed; the user must change something first."""
# Checks that a task fails in a way, with parts of its message.
Fails = Callable[..., AbstractContextManager[None]]


def contents(uri: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in staged_files(uri)}


def manifests_of(chain: Chain) -> list[Path]:
    return [path for path in staged_files(chain.staging_uri) if "-manifest-" in path.name]


def state_of(bigquery: Client, table: str) -> Any:
    try:
        bigquery.get_table(table)
        return sorted(map(repr, bigquery.query(f"SELECT * FROM `{table}`").result()))
    except NotFound:
        return []  # a load makes the table before anything else


@pytest.fixture
def fails(chain: Chain) -> Fails:
    """Check that a task fails as expected, loads nothing, and loses nothing that was staged."""
    chain.extract(start="2026-03-17", end="2026-03-17T12:00:00")

    @contextmanager
    def fails(kind: type[TalkPilotTaskError], *cures: str) -> Iterator[None]:
        staged, rows = contents(chain.staging_uri), state_of(chain.bigquery, chain.table)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its type is checked below
            yield
        assert_message((type(caught.value), str(caught.value)), kind, *cures)
        assert state_of(chain.bigquery, chain.table) == rows
        assert contents(chain.staging_uri).items() >= staged.items()

    return fails


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Set the TalkPilot connection, with two tries."""
    return partial(connect, extra={"tries": 2})


def test_no_server_listens(chain: Chain, fails: Fails, connect: Connect) -> None:
    with held_port() as port:
        for host in (f"http://127.0.0.1:{port}/v1", "https://no-such-project.invalid/v1"):
            connect(host=host)
            with fails(RETRY, "No response", "connection's host"):
                chain.extract()


def test_a_connection_that_cannot_work(chain: Chain, fails: Fails, connect: Connect) -> None:
    chain.sandbox.reset_counters()
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
        with fails(FAIL, cure):
            chain.extract()
    assert not chain.sandbox.counters


def test_the_key_is_refused(chain: Chain, fails: Fails, connect: Connect) -> None:
    calls = chain.extract().returned
    connect(password=chain.sandbox.add_key("refused", active=False))
    for task in (partial(chain.extract), partial(chain.enrich, calls)):
        with fails(FAIL, "401", "unknown, inactive or expired", "renew", "req_"):
            task()


@pytest.mark.parametrize("permission", ["agents:read", "calls:read"])
def test_no_permission(chain: Chain, fails: Fails, connect: Connect, permission: str) -> None:
    others = [each for each in ("agents:read", "calls:read") if each != permission]
    connect(password=chain.sandbox.add_key("narrow", permissions=others))
    with fails(FAIL, "403", permission, "Grant", "req_"):
        chain.extract()


def test_named_agents_need_no_permission_for_agents(chain: Chain, connect: Connect) -> None:
    connect(password=chain.sandbox.add_key("narrow", permissions=["calls:read"]))
    calls = chain.extract(agent_ids=chain.sandbox.store.agent_ids)
    assert calls.xcoms["summary"]["calls"] == 46


@pytest.mark.parametrize(("era", "agents", "more"), [("spring", 4, ""), ("now", 24, " and 3 more")])
def test_several_agents_that_the_key_may_not_see(
    chain: Chain, fails: Fails, connect: Connect, era: Any, agents: int, more: str
) -> None:
    """One error names them all and costs one request. The next try reads no other agent again."""
    sandbox = chain.sandbox
    sandbox.reset(**sandbox.settings.model_dump() | {"era": era, "agents": agents})
    seen, *hidden = sandbox.store.agent_ids
    connect(password=sandbox.add_key("one agent", allowed_agent_ids=[seen]))
    named = f"which the run names: {', '.join(hidden[:20])}{more}."
    with fails(FAIL, named):
        chain.extract(agent_ids=[seen, *hidden])
    assert chain.spent() == {"calls": 2, "agents": 1}
    with fails(FAIL, named):
        chain.extract(agent_ids=[seen, *hidden])
    assert chain.spent() == {"calls": 1, "agents": 1}


def test_an_agent_taken_off_the_keys_list(chain: Chain, fails: Fails, connect: Connect) -> None:
    """That is not the same as calls that vanished: no detail counts as gone."""
    calls = chain.extract().returned
    connect(password=chain.sandbox.add_key("blind", allowed_agent_ids=[]))
    told = "403 AGENT_NOT_ACCESSIBLE", "talkpilot_agent_ids"
    with fails(FAIL, *told):
        chain.extract(agent_ids=chain.sandbox.store.agent_ids[:1])
    for task in (chain.enrich, chain.performance):
        with fails(FAIL, *told, "clear the task that staged the calls"):
            task(calls)


def test_an_agent_that_is_deleted_after_the_list_was_read(chain: Chain, fails: Fails) -> None:
    """The run named no agents, so the next try reads the list without it."""
    chain.sandbox.faults.add("status", kind="calls", status=404)
    with fails(RETRY, "/calls responded 404 NOT_FOUND)", "the next try reads the list"):
        chain.extract()
    chain.extract()


def test_a_key_that_can_see_no_agent(
    chain: Chain, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connect(password=chain.sandbox.add_key("blind", allowed_agent_ids=[]))
    chain.extract()
    assert "The key can see no agent, so there are no calls." in caplog.text


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (200, b"<!doctype html>\n<body>Welcome</body>\n", RETRY, "HTML"),
        # That is not the same as an agent that does not exist, or as calls that vanished.
        (404, b'{"message":"no Route"}', FAIL, "There is no TalkPilot API at this address"),
        (403, b"<title>Just a moment...</title>", RETRY, "Just a moment. This says nothing"),
        (540, b'{"message":"Project paused"}', FAIL, "Project paused. TalkPilot's hosting has st"),
    ],
)
def test_refused_in_front_of_talkpilot(
    chain: Chain,
    fails: Fails,
    connect: Connect,
    status: int,
    body: bytes,
    kind: type[TalkPilotTaskError],
    message: str,
) -> None:
    calls = chain.extract().returned
    with RawServer(body, status) as server:
        connect(host=server.url)
        for task in (partial(chain.extract), partial(chain.enrich, calls)):
            with fails(kind, message):
                task()


def test_the_interval_cannot_be_read(chain: Chain, fails: Fails) -> None:
    chain.sandbox.reset_counters()
    for interval, cure in (
        (("2026-03-16", "2026-03-16"), "CronDataIntervalTimetable"),
        (("2026-03-16", "2099-01-01"), "earlier end"),
        (None, "data_interval_start"),
    ):
        with fails(FAIL, cure):
            chain.extract(interval=interval)
    assert not chain.sandbox.counters


def test_staging_in_a_bucket_that_is_missing(chain: Chain, fails: Fails, bucket: str) -> None:
    with fails(RETRY, "staging URI exists"):
        chain.extract(staging_uri=bucket.replace("@test-", "@missing-"))


def test_staging_in_a_folder_that_is_read_only(chain: Chain, fails: Fails, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # root; the kernel refuses even that in its own folders
        folder = Path("/sys/kernel")
    with fails(RETRY, "may read and write"):
        chain.extract(staging_uri=folder.as_uri())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "file_bytes"), [("extract", 0), ("extract", 5_000), ("enrich", 5_000), ("load", 5_000)]
)
def test_the_disk_is_full(chain: Chain, jobs: Jobs, task: str, file_bytes: int) -> None:
    manifest = []
    if task != "extract":
        manifest = [chain.summaries() if task == "enrich" else str(chain.extract().returned)]
    manifests, rows = manifests_of(chain), state_of(chain.bigquery, chain.table)
    ended = jobs.run(file_bytes=file_bytes, **chain.arguments(task, *manifest))
    assert ended.error
    assert_message(ended.error, RETRY, "space left")
    assert manifests_of(chain) == manifests
    assert state_of(chain.bigquery, chain.table) == rows

    chain.run()
    chain.assert_table_is_truth()


def test_the_manifest_is_none(chain: Chain, fails: Fails) -> None:
    calls = str(chain.extract().returned)
    for content in ("", '{"version":2}', None):
        local(calls).write_text(content) if content is not None else local(calls).unlink()
        for task in (chain.enrich, chain.load):
            with fails(FAIL, "no manifest", "again"):
                task(calls)
    details = chain.enrich(chain.extract().returned).returned
    with fails(FAIL, "is no manifest of calls"):
        chain.enrich(details)


@pytest.mark.parametrize("harm", ["gone", "shorter", "altered"])
def test_a_part_is_not_what_the_manifest_says(chain: Chain, fails: Fails, harm: str) -> None:
    calls = str(chain.extract().returned)
    [part] = local(calls).parent.glob("calls-0*.jsonl")
    content = part.read_bytes()
    if harm == "gone":
        part.unlink()
    else:
        changed = {"shorter": content[:-10], "altered": content.replace(b"true", b"null", 1)}[harm]
        part.write_bytes(changed)
    # A clean may have put another in the place of one that is gone: the next try finds that.
    how = RETRY if harm == "gone" else FAIL
    with fails(how, part.name, "again"):
        chain.load(calls)
    if harm != "altered":
        with fails(how, part.name, "again"):
            chain.enrich(calls)


def test_bigquery_is_down(chain: Chain, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFAULT_RETRY, "_timeout", 0.2)  # ten minutes
    calls = chain.extract().returned
    with held_port() as port:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        for task in (chain.load, chain.enrich):
            with fails(RETRY, "BigQuery"):
                task(calls)


def test_wrong_certificates_or_proxy_for_bigquery(
    chain: Chain, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = chain.extract().returned
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "https://bigquery.invalid")
    for name, value, cure in (
        ("REQUESTS_CA_BUNDLE", "/missing.pem", "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE) cannot be"),
        ("HTTPS_PROXY", "http://proxy:port", "HTTPS_PROXY is http://proxy:3128"),
        ("HTTPS_PROXY", "socks5://proxy", "HTTPS_PROXY is http://proxy:3128"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            with fails(FAIL, cure):
                chain.load(calls)


def test_the_google_connection_cannot_be_used(
    chain: Chain, fails: Fails, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line names the connection and its field, and shows nothing of a key."""
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
    calls = chain.extract().returned
    pem = tmp_path / "pem.json"
    pem.write_text("-----BEGIN PRIVATE KEY-----\nunsaid")
    adc = tmp_path / "adc.json"
    adc.write_text('{"type": "authorized_user", "client_id": "a", "client_secret": "unsaid", '
                   '"refresh_token": "unsaid"}')  # fmt: skip
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    load = partial(chain.load, calls)
    tasks = [load, partial(chain.enrich, calls), partial(chain.extract, table=chain.table)]
    for extra, message in wrong:
        with pytest.MonkeyPatch.context() as patch:
            connection = {"conn_type": "google_cloud_platform", "extra": extra}
            given = json.dumps(connection).replace("PEM", str(pem)).replace("ADC", str(adc))
            patch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", given)
            if extra is None:
                patch.delenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT")
            elif {*extra} & {"impersonation_chain", "quota_project_id"}:
                patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(adc))
            for task in tasks if extra is None else [load]:
                with fails(FAIL if extra else RETRY, "connection 'google_cloud_default'", message):
                    task()
