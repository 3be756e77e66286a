"""Serves recordings on a storage host of their own, at signed or stored addresses."""

from __future__ import annotations

import hashlib
import struct

from airflow_provider_talkpilot.sandbox.api.replies import Reply
from airflow_provider_talkpilot.sandbox.calls.json_text import to_json
from airflow_provider_talkpilot.sandbox.calls.store import CallStore
from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

_SIGNED = "/storage/v1/object/sign/call-recordings/"
_STORED = "/storage/v1/object/public/call-recordings/"
_SUFFIX = ".wav"
_RATE = 8000


def signed_path(call_id: str, expires: int) -> str:
    """Return path and token of a call's recording.

    :param call_id: the call's ``id``.
    :param expires: when the address dies, in Unix seconds.
    """
    return f"{_SIGNED}{call_id}{_SUFFIX}?token={expires}.{_signature(call_id, expires)}"


def stored_path(call_id: str) -> str:
    """Return the path where the voice agent stored a call's recording; it never changes."""
    return f"{_STORED}{call_id}{_SUFFIX}"


def is_recording(path: str) -> bool:
    """Whether a path is a recording's, on the storage host."""
    return path.startswith((_SIGNED, _STORED))


def recording(
    store: CallStore, settings: SandboxSettings, path: str, token: str, now: float
) -> Reply:
    """Return the recording, or the storage host's refusal, which is not the API's envelope.

    :param store: the calls.
    :param settings: decide which stored addresses are dead.
    :param path: of the request.
    :param token: the address's token.
    :param now: Unix seconds.
    """
    is_signed = path.startswith(_SIGNED)
    call_id = path.removeprefix(_SIGNED).removeprefix(_STORED).removesuffix(_SUFFIX)
    if is_signed:
        expires, _, signature = token.partition(".")
        if not expires.isdigit() or signature != _signature(call_id, int(expires)):
            return _refuse("InvalidJWT", "invalid signature")
        if now >= int(expires):
            return _refuse("InvalidJWT", '"exp" claim timestamp check failed')
    ordinal = store.find(call_id)
    every = settings.dead_recording_every
    is_dead = not is_signed and every and ordinal is not None and ordinal % every == 0
    if ordinal is None or is_dead or store.list_row(ordinal)["is_purged"]:
        return _refuse("not_found", "Object not found")
    return Reply(_wave(call_id, settings.recording_bytes), content_type="audio/wav")


def _signature(call_id: str, expires: int) -> str:
    return hashlib.sha256(f"recording:{call_id}:{expires}".encode()).hexdigest()[:40]


def _refuse(code: str, message: str) -> Reply:
    # Supabase Storage responds 400 to all of these; the body has the kind.
    status = "404" if code == "not_found" else "400"
    return Reply(to_json({"statusCode": status, "error": code, "message": message}), 400)


def _wave(call_id: str, size: int) -> bytes:
    """Make a file of this size with 8-bit noise, the same for the same call."""
    noise = hashlib.shake_256(call_id.encode()).digest(_RATE // 10)
    sound = (noise * (size // len(noise) + 1))[: size - 44]
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _RATE, _RATE, 1, 8)
    chunks = head + struct.pack("<4sI", b"data", len(sound)) + sound
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks
