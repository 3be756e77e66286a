"""Which deliveries the receiver takes, where it stores events, and what it never shows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from upath import UPath

from airflow_provider_talkpilot.webhook.__main__ import main
from airflow_provider_talkpilot.webhook.app import MAX_BYTES, make_app
from airflow_provider_talkpilot.webhook.settings import ReceiverSettings
from tests.support.deliveries import (
    AGENT,
    CALL_COMPLETED,
    CALL_ENDED,
    PATH_SECRET,
    SAMPLE_SIGNATURE,
    SAMPLE_TIME,
    SECRET,
    body_of,
    signed,
    stored,
)

NEXT_SECRET = "that replaces the other one"
SAMPLE = body_of(CALL_ENDED)
SIGNED = {"X-TalkPilot-Timestamp": str(SAMPLE_TIME), "X-TalkPilot-Signature": SAMPLE_SIGNATURE}
RIGHT, WRONG = {"X-TalkPilot-Secret": SECRET}, {"X-TalkPilot-Secret": "guessed"}

Receive = Callable[..., TestClient]


@pytest.fixture
def receiver(tmp_path: Path) -> Receive:
    """Make a receiver that stores in the test's folder; its clock stands at the sample's time."""

    def make(secrets: tuple[str, ...] = (SECRET,), **settings: Any) -> TestClient:
        receiver_settings = ReceiverSettings(secrets, **settings)
        app = make_app(receiver_settings, UPath(tmp_path), clock=lambda: SAMPLE_TIME)
        return TestClient(app, raise_server_exceptions=False)

    return make


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(SIGNED, 200, id="the-vendors-test-vector"),
        pytest.param(signed(SAMPLE, at=SAMPLE_TIME - 300), 200, id="as-old-as-may-be"),
        pytest.param(signed(SAMPLE, at=SAMPLE_TIME - 301), 401, id="too-old"),
        pytest.param(signed(SAMPLE, at=SAMPLE_TIME + 301), 401, id="too-new"),
        pytest.param(signed(SAMPLE + b" ", at=SAMPLE_TIME), 401, id="of-another-body"),
        pytest.param(signed(SAMPLE, NEXT_SECRET, SAMPLE_TIME), 200, id="the-next-secret"),
        pytest.param(signed(SAMPLE, "guessed", SAMPLE_TIME), 401, id="another-secret"),
        pytest.param(SIGNED | {"X-TalkPilot-Timestamp": "now"}, 401, id="no-time"),
        pytest.param({"X-TalkPilot-Signature": SAMPLE_SIGNATURE}, 401, id="time-missing"),
        pytest.param(SIGNED | {"X-TalkPilot-Signature": "sha256=ü"}, 401, id="no-ascii"),
        pytest.param(RIGHT, 200, id="the-secret-itself"),
        pytest.param(WRONG, 401, id="a-wrong-secret"),
        pytest.param({}, 401, id="nothing"),
        pytest.param(
            signed(SAMPLE, "guessed", SAMPLE_TIME) | RIGHT, 401, id="a-wrong-signature-counts"
        ),
    ],
)
def test_who_may_deliver(
    receiver: Receive, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    response = receiver((SECRET, NEXT_SECRET)).post("/", content=SAMPLE, headers=encoded)
    assert response.status_code == status
    assert len(stored(tmp_path)) == (status == 200)


@pytest.mark.parametrize(
    ("secrets", "path", "headers", "status"),
    [
        ((), f"/{PATH_SECRET}", {}, 200),
        ((), "/", {}, 401),
        ((), "/another-in-the-address", {}, 401),
        ((), f"/{PATH_SECRET}/", {}, 401),
        ((), f"/?secret={PATH_SECRET}", {}, 401),
        ((SECRET,), f"/{PATH_SECRET}", SIGNED, 200),
        ((SECRET,), f"/{PATH_SECRET}", {}, 401),
        ((SECRET,), "/", SIGNED, 401),
    ],
)
def test_a_secret_in_the_address(
    receiver: Receive, secrets: tuple[str, ...], path: str, headers: dict[str, str], status: int
) -> None:
    client = receiver(secrets, path_secret=PATH_SECRET)
    assert client.post(path, content=SAMPLE, headers=headers).status_code == status


def changed(**fields: Any) -> bytes:
    return body_of(CALL_ENDED | fields)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"no JSON", b"[]", b"null", b'"call_ended"', b"\xff\xfe", b"[" * 100_000),
        body_of({"event": "call.completed", "call": None}),
        changed(event="employee.forwarding_created"),
        changed(event=["call_ended"]),
        *(changed(agent_id=value) for value in (None, "", "../../other", f"{AGENT}/..", 7)),
        *(changed(call_id=value) for value in (None, "", 7, ["a"], "a" * 1001)),
    ],
)
def test_a_body_that_is_no_event_is_refused(receiver: Receive, tmp_path: Path, body: bytes) -> None:
    assert receiver().post("/", content=body, headers=RIGHT).status_code == 400
    assert stored(tmp_path) == {}


def test_other_requests_are_refused(receiver: Receive, tmp_path: Path) -> None:
    client = receiver()
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE"):
        response = client.request(method, "/", headers=RIGHT)
        assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert client.get("/health").json() == {"status": "ok"}
    assert client.post("/docs", headers=RIGHT).status_code == 401
    full = b'{"a":"' + b"x" * (MAX_BYTES - 8) + b'"}'
    assert client.post("/", content=full, headers=RIGHT).status_code == 400  # no event, but read
    assert client.post("/", content=full + b" ", headers=RIGHT).status_code == 413
    pieces = (b"x" * 100_000 for _ in range(60))
    assert client.post("/", content=pieces, headers=RIGHT).status_code == 413
    assert stored(tmp_path) == {}


def test_more_than_the_rate_is_refused(receiver: Receive) -> None:
    client = receiver(rate=1)
    statuses = [client.post("/", content=SAMPLE, headers=RIGHT).status_code for _ in range(6)]
    assert statuses[0] == 200
    assert 429 in statuses


def test_storage_that_fails_gets_503(receiver: Receive, tmp_path: Path) -> None:
    tmp_path.joinpath("inbox").write_text("no folder", encoding="utf-8")
    response = receiver().post("/", content=SAMPLE, headers=SIGNED)
    assert response.status_code == 503
    assert "Retry-After" in response.headers
    tmp_path.joinpath("inbox").unlink()
    assert receiver().post("/", content=SAMPLE, headers=SIGNED).status_code == 200


def test_logs_and_responses_have_nothing_of_a_delivery(
    receiver: Receive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = ""
    client = receiver((SECRET,), path_secret=PATH_SECRET)
    for path in (f"/{PATH_SECRET}", "/"):
        for headers in (SIGNED, WRONG):
            for body in (SAMPLE, SAMPLE[:-1], changed(agent_id="Hans Meier")):
                shown += client.post(path, content=body, headers=headers).text
    tmp_path.joinpath("inbox").rename(tmp_path / "away")
    tmp_path.joinpath("inbox").touch()
    shown += client.post(f"/{PATH_SECRET}", content=SAMPLE, headers=SIGNED).text
    ours = [record for record in caplog.records if not record.name.startswith("httpx")]
    shown += "\n".join(logging.Formatter().format(record) for record in ours)
    assert "refused with 503" in shown
    for secret in (SECRET, PATH_SECRET, "Rechnung", "Meier", "Erika", "491701234567", "3f9a1c7e"):
        assert secret not in shown


def test_where_events_are_stored(receiver: Receive, tmp_path: Path) -> None:
    client = receiver()
    names = ("call_id", "caller_phone", "agent_id", "timestamp", "pre_call_variables")
    started = {"event": "call_started"} | {name: CALL_ENDED[name] for name in names}
    address = {"recording_url": "https://storage.example/signed"}
    completed = CALL_COMPLETED | address | {"call": CALL_COMPLETED["call"] | address}
    for event in (CALL_ENDED, completed, started):
        assert client.post("/", content=body_of(event), headers=RIGHT).status_code == 200
    events = stored(tmp_path)
    assert [path.rpartition("-")[0] for path in events] == [
        f"{AGENT}/2026-03-22/lk_call_abc123",
        *[f"{AGENT}/2026-09-07/call_3f9a1c7e2b8d4e6f"] * 2,
    ]
    [ended] = [event for event in events.values() if event["event"] == "call_ended"]
    kept = CALL_ENDED.keys() - {"recording_url", "recording_multi_channel_url", "public_log_url"}
    assert ended == {name: CALL_ENDED[name] for name in kept}
    assert CALL_COMPLETED in events.values()


@pytest.mark.parametrize(
    "call_id", ["../../../outside", "a/b", "a\x00b", " ", "ä", ".hidden", "x" * 999]
)
def test_no_id_leads_out_of_the_inbox(receiver: Receive, tmp_path: Path, call_id: str) -> None:
    body = changed(call_id=call_id, agent_id=AGENT.upper())
    assert receiver().post("/", content=body, headers=RIGHT).status_code == 200
    [path] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.parent == tmp_path / "inbox" / AGENT / "2026-09-07"
    assert not path.name.startswith("."), "as an unfinished file"
    assert json.loads(path.read_bytes())["call_id"] == call_id


def sent_at(timestamp: str, duration: Any = 63, turns: Any = ()) -> dict[str, Any]:
    return {"timestamp": timestamp, "duration_seconds": duration, "transcript": turns}


@pytest.mark.parametrize(
    ("fields", "day"),
    [
        pytest.param({}, "2026-09-07", id="first-turn"),
        pytest.param(sent_at("2026-09-08T00:01:02Z"), "2026-09-07", id="minus-the-duration"),
        pytest.param(sent_at("2026-09-08T01:00:00+02:00"), "2026-09-07", id="in-utc"),
        pytest.param(sent_at("2026-09-08T00:00:00Z", None, None), "2026-09-08", id="no-duration"),
        # The day on which the event came.
        pytest.param(sent_at("2026-02-02T09:00:00Z", "63", ["?"]), "2026-09-07", id="no-number"),
        pytest.param(
            sent_at("2026-02-02T09:00:00Z", 1e300, {}), "2026-09-07", id="too-long-a-call"
        ),
    ],
)
def test_day_of_a_call(receiver: Receive, tmp_path: Path, fields: dict[str, Any], day: str) -> None:
    assert receiver().post("/", content=changed(**fields), headers=RIGHT).status_code == 200
    [path] = stored(tmp_path)
    assert path.split("/")[1] == day


def test_an_event_that_comes_three_times_is_stored_once(receiver: Receive, tmp_path: Path) -> None:
    for second in (42, 52, 59):
        body = changed(timestamp=f"2026-09-07T10:15:{second}+00:00")
        headers = signed(body, at=SAMPLE_TIME + second)
        assert receiver().post("/", content=body, headers=headers).status_code == 200
    assert len(stored(tmp_path)) == 1
    receiver().post("/", content=changed(duration_seconds=64), headers=RIGHT)
    assert len(stored(tmp_path)) == 2


@pytest.mark.parametrize(
    ("environment", "cure"),
    [
        ({}, "TALKPILOT_WEBHOOK_SECRET"),
        ({"WEBHOOK_SECRET": " \n "}, "TALKPILOT_WEBHOOK_PATH_SECRET"),
        ({"WEBHOOK_PATH_SECRET": "with/a/slash/in/it"}, "token_urlsafe"),
        ({"WEBHOOK_PATH_SECRET": "fifteen-letters"}, "token_urlsafe"),
        ({"WEBHOOK_SECRET_FILE": "{folder}/nothing"}, "cannot be read"),
        ({"WEBHOOK_SECRET_FILE": "{folder}/empty"}, "empty file"),
        ({"WEBHOOK_SECRET": "a", "WEBHOOK_SECRET_FILE": "{folder}/secret"}, "leave one"),
        ({"WEBHOOK_SECRET": "a", "WEBHOOK_RATE": "0"}, "RATE"),
        ({"WEBHOOK_SECRET": "a", "WEBHOOK_RATE": "ten"}, "RATE"),
        ({"WEBHOOK_SECRET": "a"}, "TALKPILOT_STAGING_URI"),
        ({"WEBHOOK_SECRET": "a", "STAGING_URI": "relative"}, "staging URI"),
    ],
)
def test_wrong_settings_do_not_start(
    environment: dict[str, str],
    cure: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tmp_path.joinpath("empty").touch()
    for name, value in environment.items():
        monkeypatch.setenv(f"TALKPILOT_{name}", value.replace("{folder}", str(tmp_path)))
    assert main([]) == 2
    error = capsys.readouterr().err
    assert cure in error
    assert error.count("\n") == 1


def test_secrets_from_files(tmp_path: Path) -> None:
    environment = {}
    for name, text in (("SECRET", f"{SECRET}\n\nthe next one"), ("PATH_SECRET", PATH_SECRET)):
        tmp_path.joinpath(name).write_text(f"{text}\n", encoding="utf-8")
        environment[f"TALKPILOT_WEBHOOK_{name}_FILE"] = str(tmp_path / name)
    settings = ReceiverSettings.from_environment(environment)
    assert (settings.secrets, settings.path_secret) == ((SECRET, "the next one"), PATH_SECRET)
    assert not any(secret in repr(settings) for secret in (SECRET, PATH_SECRET))
