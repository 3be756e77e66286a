"""The inbox has all webhooks that the sandbox delivers to a receiver in another process."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_talkpilot.sandbox import Sandbox, StorageEmulator
from airflow_provider_talkpilot.staging.inbox import Event
from tests.support.deliveries import CALL_ENDED, PATH_SECRET, SECRET, body_of, signed, stored
from tests.support.receivers import PROGRAM, container_command, running

START, END = "2026-03-16", "2026-03-18"
SIGNING = {"TALKPILOT_WEBHOOK_SECRET": SECRET}
TROUBLE = {f"webhooks_{name}": 0.2 for name in ("lost", "repeated", "forged", "old")}


def send_to(sandbox: Sandbox, *urls: str) -> None:
    """Set the addresses of the two agents' webhooks."""
    for agent_id, url in zip(sandbox.store.agent_ids, urls * 2, strict=False):
        sandbox.store.edit_agent(agent_id, post_call_webhook_url=url)


def deliver(sandbox: Sandbox, url: str, **settings: Any) -> dict[str, list[int]]:
    """Send all webhooks of the sandbox; return the statuses of each kind."""
    send_to(sandbox, url)
    sandbox.settings.patch(**settings)
    statuses: dict[str, list[int]] = {}
    for sent in sandbox.deliver_webhooks(START, END):
        statuses.setdefault(sent.trouble or sent.event, []).extend(sent.statuses)
    return statuses


def events(root: Path) -> list[Event]:
    """Return the events in the inbox; each must be in its folder."""
    found = []
    for path, record in stored(root).items():
        event = Event.parse(json.dumps(record))
        assert path.startswith(f"{event.agent_id}/{event.day}/{event.call_id}-")
        found.append(event)
    return found


def assert_inbox_is_truth(sandbox: Sandbox, root: Path) -> None:
    """Check that the inbox has each call whose webhook arrived, once, under its day."""
    truth = {call["call_id"]: call for call in sandbox.store.truth(START, END)}
    found = [event for event in events(root) if event.type != "call_started"]
    assert Counter(event.call_id for event in found).most_common(1)[0][1] == 1
    assert len(truth) * 0.6 < len(found) < len(truth)
    for event in found:
        call = truth[event.call_id]
        assert event.agent_id == call["agent_id"]
        turns = event.call["transcript"]
        # Without a turn, the time of sending tells it within seconds.
        assert event.day.isoformat() == call["created_at"][:10] or not turns
        if isinstance(turns, str):
            assert turns == call["transcript"]
        elif turns:
            said = [(turn["role"], turn["text"]) for turn in turns if "text" in turn]
            wanted = [(turn["role"], turn["text"]) for turn in json.loads(call["transcript"])]
            assert said == [(role.replace("agent", "assistant"), text) for role, text in wanted]
            assert {"tool_call_invocation", "tool_call_result"} <= {turn["role"] for turn in turns}
        assert "recording_url" not in event.call


@pytest.mark.parametrize(
    ("headers", "era"),
    [("signature", "now"), pytest.param("secret", "spring", marks=pytest.mark.slow)],
)
def test_signed_deliveries(sandbox: Sandbox, tmp_path: Path, headers: str) -> None:
    with running(PROGRAM, str(tmp_path), SIGNING) as receiver:
        statuses = deliver(
            sandbox, receiver.url, webhook_secret=SECRET, webhook_headers=headers, **TROUBLE
        )
    wrong = {name: set(statuses.pop(name, [401])) for name in ("forged", "old")}
    assert wrong == {"forged": {401}, "old": {401}}
    assert {status for some in statuses.values() for status in some} == {200}
    assert len(statuses["repeated"]) > 10
    assert_inbox_is_truth(sandbox, tmp_path)


def test_a_container_without_a_signing_secret(
    sandbox: Sandbox, storage_emulator: StorageEmulator, bucket: str
) -> None:
    uri = bucket.replace("google_cloud_default@", "")
    settings = {"TALKPILOT_WEBHOOK_PATH_SECRET": PATH_SECRET, **storage_emulator.environment}
    with running(container_command(), uri, settings) as receiver:
        statuses = deliver(sandbox, receiver.url + PATH_SECRET, **TROUBLE)
        log = receiver.log
    assert set(statuses.pop("forged")) == {401}
    assert {status for some in statuses.values() for status in some} == {200}
    assert_inbox_is_truth(sandbox, storage_emulator.gcs_root / uri.removeprefix("gs://"))
    assert PATH_SECRET not in log


def test_several_receivers_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.settings.patch(webhook_secret=SECRET, **TROUBLE)
    with (
        running(PROGRAM, str(tmp_path), SIGNING) as one,
        running(container_command(), str(tmp_path), SIGNING) as other,
    ):
        for urls in ((one.url, other.url), (other.url, one.url)):
            send_to(sandbox, *urls)
            sandbox.deliver_webhooks(START, END)
    assert_inbox_is_truth(sandbox, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_sigkill_loses_no_event_that_got_200(
    kind: str, tmp_path: Path, storage_emulator: StorageEmulator, bucket: str
) -> None:
    uri, root = str(tmp_path), tmp_path
    if kind == "bucket":
        uri = bucket.replace("google_cloud_default@", "")
        root = storage_emulator.gcs_root / uri.removeprefix("gs://")
    settings = {**SIGNING, **storage_emulator.environment}
    rng, accepted, sent = random.Random(4711), set[str](), set[str]()

    def send(url: str, name: str, goal: int, reached: threading.Event) -> None:
        with httpx.Client(timeout=20, trust_env=False) as client:
            for number in itertools.count():
                call_id = f"call_{name}_{number}"
                body = body_of(CALL_ENDED | {"call_id": call_id})
                sent.add(call_id)
                try:
                    status = client.post(url, content=body, headers=signed(body)).status_code
                except httpx.HTTPError:
                    return
                if status == 200:
                    accepted.add(call_id)
                if len(accepted) >= goal:
                    reached.set()

    for kill in range(8):
        reached = threading.Event()
        goal = len(accepted) + rng.randrange(1, 80)
        with running(PROGRAM, uri, settings) as receiver, ThreadPoolExecutor(4) as clients:
            for number in range(4):
                clients.submit(send, receiver.url, f"{kill}_{number}", goal, reached)
            assert reached.wait(120), receiver.log
            receiver.kill()
    found = {event.call_id for event in events(root)}
    assert len(accepted) > 50
    assert accepted <= found
    assert len(sent) > len(accepted)
