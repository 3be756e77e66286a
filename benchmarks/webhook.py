"""How fast the receiver of webhooks is: 200 events a second from four clients, on one processor.

``python -m benchmarks.webhook [SECONDS]`` runs the receiver as a program that stores to the
sandbox's object storage, and prints its response times. It wants a quiet machine.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from airflow_provider_talkpilot.sandbox import StorageEmulator
from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess

PER_SECOND, CLIENTS, SECONDS = 200, 4, 30
TURNS = 40
SECRET = "made-up"
AGENT = "5c1f0f9e-2b7a-4d3e-9c1a-0f6b2d7e8a11"
WANTED_MS = 100


def main(seconds: int = SECONDS) -> None:
    """Measure and print."""
    # On a disk the emulator itself stores about a hundred objects a second, one after the other.
    memory = Path("/dev/shm")  # noqa: S108
    folder = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as root, StorageEmulator(root) as storage:
        uri = f"{storage.create_bucket('talkpilot')}/staging"
        program = (sys.executable, "-m", "airflow_provider_talkpilot.webhook")
        receiver = GuardedProcess(
            [shutil.which("taskset") or "taskset", "-c", "0", *program, "--staging-uri", uri],
            {**storage.environment, "TALKPILOT_WEBHOOK_SECRET": SECRET, "PORT": "0"},
        )
        try:
            url = receiver.wait_for(lambda: _address(receiver), 60)
            _send(url, 0, 1, [])  # imports and connections
            times: list[float] = []
            clients = [
                threading.Thread(target=_send, args=(url, number, seconds, times))
                for number in range(1, CLIENTS + 1)
            ]
            began = time.perf_counter()
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            took = time.perf_counter() - began
        finally:
            receiver.stop()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        stored = sum(path.is_file() for path in Path(storage.gcs_root, "talkpilot").rglob("*.json"))
    expected = (seconds * CLIENTS + 1) * PER_SECOND // CLIENTS
    if stored != expected:
        raise RuntimeError(f"{stored} events are stored of {expected}")
    shares = statistics.quantiles(times, n=100)
    print(f"{os.cpu_count()} processors; {len(_body(0, 0)):,} bytes an event; {took:.0f} s")
    print(
        f"{len(times) / took:.0f} events a second from {CLIENTS} clients, all stored; "
        f"{(used.ru_utime + used.ru_stime) / len(times) * 1e3:.1f} ms of the processor an event"
    )
    print(
        f"median {shares[49] * 1e3:.1f} ms, p95 {shares[94] * 1e3:.1f} ms, "
        f"p99 {shares[98] * 1e3:.1f} ms, slowest {max(times) * 1e3:.0f} ms"
    )
    if shares[98] * 1e3 >= WANTED_MS:
        raise RuntimeError(f"p99 is not below {WANTED_MS} ms")


def _address(receiver: GuardedProcess) -> str | None:
    _, found, rest = receiver.log().partition("running on ")
    return rest.split()[0] if found else None


def _send(url: str, client_number: int, seconds: int, times: list[float]) -> None:
    """Send a client's share, each event at its time; a slow response delays those after it."""
    pause = CLIENTS / PER_SECOND
    with httpx.Client(timeout=20, trust_env=False) as client:
        began = time.perf_counter() + client_number * pause / CLIENTS
        for number in range(seconds * PER_SECOND // CLIENTS):
            due = began + number * pause
            time.sleep(max(0.0, due - time.perf_counter()))
            body, timestamp = _body(client_number, number), str(int(time.time()))
            digest = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
            headers = {
                "X-TalkPilot-Timestamp": timestamp,
                "X-TalkPilot-Signature": f"sha256={digest.hexdigest()}",
            }
            client.post(url, content=body, headers=headers).raise_for_status()
            # From when it was due: a wait for the client's own turn counts.
            times.append(time.perf_counter() - due)


def _body(client_number: int, number: int) -> bytes:
    turns = [
        {
            "role": ("assistant", "user")[turn % 2],
            "text": f"Turn {turn} of a call, about as long as people talk before the other does.",
            "timestamp": f"2026-03-16T10:00:{turn:02d}.000000+00:00",
            "time_sec": float(turn),
        }
        for turn in range(TURNS)
    ]
    event = {
        "event": "call_ended",
        "agent_id": AGENT,
        "call_id": f"call_{client_number}_{number}",
        "duration_seconds": 60,
        "timestamp": "2026-03-16T10:01:00+00:00",
        "transcript": turns,
    }
    return json.dumps(event, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
