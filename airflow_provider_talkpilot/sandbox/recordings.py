"""Recordings on a storage host of their own, behind signed addresses that expire."""

from __future__ import annotations

import hashlib
import struct

from airflow_provider_talkpilot.sandbox.json_text import to_json
from airflow_provider_talkpilot.sandbox.replies import Reply
from airflow_provider_talkpilot.sandbox.store import CallStore

_SUFFIX = ".wav"
_RATE = 8000


def recording_url(call_id: str, expires: int) -> str:
    """File name and token of a call's recording.

    :param call_id: the call's ``id``.
    :param expires: Unix seconds after which the address is dead.
    """
    return f"{call_id}{_SUFFIX}?token={expires}.{_signature(call_id, expires)}"


def recording(store: CallStore, name: str, token: str, now: float) -> Reply:
    """The recording, or the storage host's refusal (not the API's envelope).

    :param store: knows whether the call still has a recording.
    :param name: file name asked for.
    :param token: the address's token.
    :param now: Unix seconds.
    """
    call_id = name.removesuffix(_SUFFIX)
    expires, _, signature = token.partition(".")
    if not expires.isdigit() or signature != _signature(call_id, int(expires)):
        return _refuse("InvalidJWT", "invalid signature")
    if now >= int(expires):
        return _refuse("InvalidJWT", '"exp" claim timestamp check failed')
    ordinal = store.find(call_id)
    if ordinal is None or store.list_row(ordinal)["is_purged"]:
        return _refuse("not_found", "Object not found")
    return Reply(_wave(call_id), content_type="audio/wav")


def _signature(call_id: str, expires: int) -> str:
    return hashlib.sha256(f"recording:{call_id}:{expires}".encode()).hexdigest()[:40]


def _refuse(code: str, message: str) -> Reply:
    # Supabase Storage answers 400 for all of these, and tells the kind in the body.
    status = "404" if code == "not_found" else "400"
    return Reply(to_json({"statusCode": status, "error": code, "message": message}), 400)


def _wave(call_id: str) -> bytes:
    """A tenth of a second of 8-bit noise that follows from the call's id."""
    sound = hashlib.shake_256(call_id.encode()).digest(_RATE // 10)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _RATE, _RATE, 1, 8)
    chunks = head + struct.pack("<4sI", b"data", len(sound)) + sound
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks
