"""Sends the webhooks of the sandbox's calls, also lost, repeated, forged and old ones."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx

from airflow_provider_talkpilot.sandbox.api.state import State
from airflow_provider_talkpilot.sandbox.calls.data import Row
from airflow_provider_talkpilot.sandbox.calls.performance import performance_transcript
from airflow_provider_talkpilot.sandbox.calls.times import (
    SECOND,
    Micros,
    Moment,
    to_micros,
    to_text,
)

_TRIES, _SECONDS = 3, 10
_OLD_SECONDS = 3600
_GUESS = "a-secret-that-somebody-guessed"
_CALL_FIELDS = (
    *("id", "call_id", "customer_name", "customer_request", "phone_number", "duration", "done"),
    *("general_success", "disconnection_reason", "call_summary", "transcript", "employee"),
    *("agent_id", "created_at"),
)


class Delivery(NamedTuple):
    """One webhook and the responses to it.

    :param id: the call's ``id``.
    :param event: such as ``call_ended``.
    :param trouble: ``lost``, ``repeated``, ``forged`` or ``old``; None for TalkPilot's usual one.
    :param statuses: of the response to each try; 0 for a try without a response.
    """

    id: str
    event: str
    trouble: str | None
    statuses: tuple[int, ...]


def deliver(
    state: State,
    start: Moment,
    end: Moment,
    agent_ids: Iterable[str] | None = None,
    *,
    clients: int = 4,
) -> list[Delivery]:
    """Send the webhooks of all calls that start in ``[start, end)``.

    They go to the ``post_call_webhook_url`` of each call's agent, if it has one.

    :param agent_ids: only of these agents; None takes all.
    :param clients: how many calls' webhooks are sent at the same time.
    """
    agents = {agent["id"]: agent for agent in state.store.agents}
    calls = state.store.truth(start, end, agent_ids)

    def send(some: list[Row]) -> list[Delivery]:
        with httpx.Client(timeout=_SECONDS, trust_env=False) as client:
            sender = _Sender(client, state)
            return [sent for call in some for sent in sender.send(call, agents[call["agent_id"]])]

    with ThreadPoolExecutor(clients) as threads:
        sent = threads.map(send, [calls[n::clients] for n in range(clients)])
        return [delivery for some in sent for delivery in some]


class _Sender:
    def __init__(self, client: httpx.Client, state: State) -> None:
        self._client, self._settings, self._clock = client, state.settings, state.clock

    def send(self, call: Row, agent: Row) -> Iterator[Delivery]:
        """Send the events of one call, and the wrong ones that the settings add."""
        url, settings = agent["post_call_webhook_url"], self._settings
        if not url:
            return
        chance = random.Random(f"webhook {settings.seed} {call['id']}").random
        is_lost, is_repeated, is_forged, is_old = (
            chance() < share
            for share in (
                settings.webhooks_lost,
                settings.webhooks_repeated,
                settings.webhooks_forged,
                settings.webhooks_old,
            )
        )

        def sent(
            event: Row, trouble: str | None = None, tries: int = 1, first: int = 0
        ) -> Delivery:
            statuses = tuple(self._try(url, event, trouble, range(first, first + tries)))
            return Delivery(call["id"], event["event"], trouble, statuses)

        event: Row
        if settings.switches.webhooks == "call.completed":
            shown = {name: call[name] for name in _CALL_FIELDS}
            event, tries = {"event": "call.completed", "call": shown}, 1
            wrong: Row = {"event": "call.completed", "call": shown | {"transcript": _WRONG}}
        else:
            started = _call_started(call, agent)
            event, tries = _call_ended(started, call), _TRIES
            wrong = event | {"transcript": json.loads(_WRONG)}
            if settings.webhooks_started:
                yield sent(started)
        if is_forged:
            yield sent(wrong, "forged")
        # A secret that is sent itself has no time that could be old.
        if is_old and settings.webhook_secret and settings.webhook_headers != "secret":
            yield sent(wrong, "old")
        if is_lost:
            yield Delivery(call["id"], event["event"], "lost", ())
            return
        yield sent(event, tries=tries)
        if is_repeated:
            yield sent(event, "repeated", first=1)
            yield sent(event, "repeated", first=2)

    def _try(self, url: str, event: Row, trouble: str | None, tries: range) -> Iterator[int]:
        secret, old = self._settings.webhook_secret, _OLD_SECONDS * (trouble == "old")
        if trouble == "forged":
            # Without signatures, the address has the secret.
            secret, url = (_GUESS, url) if secret else (None, f"{url.rpartition('/')[0]}/{_GUESS}")
        for number in tries:
            if "timestamp" in event:
                moment = to_micros(event["timestamp"]) + number * SECOND
                event = event | {"timestamp": to_text(moment, "python")}
            body = json.dumps(
                event, ensure_ascii=False, sort_keys=True, separators=(",", ":")
            ).encode()
            headers = self._headers(secret, body, int(self._clock()) - old)
            try:
                status = self._client.post(url, content=body, headers=headers).status_code
            except httpx.HTTPError:
                status = 0
            yield status
            if 200 <= status < 300:
                return

    def _headers(self, secret: str | None, body: bytes, timestamp: int) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if not secret:
            return headers
        if self._settings.webhook_headers != "secret":
            signed = f"{timestamp}.".encode() + body
            digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
            headers["X-TalkPilot-Timestamp"] = str(timestamp)
            headers["X-TalkPilot-Signature"] = f"sha256={digest}"
        if self._settings.webhook_headers != "signature":
            headers["X-TalkPilot-Secret"] = secret
        return headers


# What must never reach a table.
_WRONG = json.dumps([{"role": "assistant", "text": "FORGED"}])


def _call_started(call: Row, agent: Row) -> Row:
    return {
        "event": "call_started",
        "call_id": call["call_id"],
        "caller_phone": call["phone_number"],
        "called_phone": agent["phone_number"],
        "agent_id": agent["id"],
        "agent_name": agent["name"],
        "pre_call_variables": {},
        "timestamp": to_text(to_micros(call["created_at"]), "python"),
    }


def _call_ended(started: Row, call: Row) -> Row:
    begin = to_micros(call["created_at"])
    transcript = [
        _timed(entry, begin) for entry in performance_transcript(call["transcript"]) or ()
    ]
    name = call["call_id"]
    return started | {
        "event": "call_ended",
        "duration_seconds": call["duration"],
        "transcript": transcript,
        "total_turns": len(transcript),
        "extracted_variables": {"anliegen": call["customer_request"]},
        "recording_url": f"https://storage.example/call_recordings/{name}.ogg",
        "recording_multi_channel_url": None,
        "public_log_url": f"https://talk.talkpilot.io/rooms/{name}",
        "disconnection_reason": call["disconnection_reason"],
        "latency": None,
        "max_response_gap_ms": 1450,
        "timestamp": to_text(begin + ((call["duration"] or 0) + 3) * SECOND, "python"),
    }


def _timed(entry: dict[str, Any], begin: Micros) -> dict[str, Any]:
    if "text" not in entry:
        return entry
    return entry | {"timestamp": to_text(begin + int(entry["time_sec"] * SECOND), "python")}
