"""How well processes share a key's quota over real HTTP, with windows that are scaled down.

``python -m benchmarks.quota`` prints the figures: it takes two minutes, and wants a quiet machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.eras import Windows
from benchmarks import quota_worker

KINDS = get_args(Windows)
# A request every quarter of a second: a busy machine can do that.
MINUTE, LIMIT = 6.0, 24
ENDLESS = 10**9


def start(sandbox: Sandbox, ledger: Path) -> subprocess.Popen[str]:
    """Start the program that makes processes, which share the sandbox's key and a ledger."""
    call, settings = sandbox.store.truth("2026-03-16", "2026-03-17")[0], sandbox.settings
    command = (
        *(sys.executable, quota_worker.__file__, sandbox.base_url, sandbox.api_key),
        *(call["agent_id"], call["id"], ledger.as_uri()),
        *(str(settings.minute_seconds), str(settings.hour_seconds)),
    )
    return subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": "."},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until_ready(worker: subprocess.Popen[str]) -> None:
    """Read a worker's one line of output."""
    assert worker.stdout is not None
    with worker.stdout:
        worker.stdout.readline()


def order(worker: subprocess.Popen[str], lines: str) -> None:
    """Send a worker its whole work."""
    assert worker.stdin is not None
    with worker.stdin:
        worker.stdin.write(lines)


def used_and_refused(sandbox: Sandbox, before: Counter[str]) -> tuple[int, int]:
    """Return how many requests the server accepted and refused since ``before``."""
    counts = sandbox.counters - before
    return counts["detail"] - counts["refused"], counts["refused"]


def share_minutes(folder: Path) -> None:
    """Run one, two and four processes at the same time, each group with its own server."""
    groups: dict[tuple[Windows, int], tuple[Sandbox, subprocess.Popen[str]]] = {}
    with ExitStack() as stack:
        for kind in KINDS:
            for processes in (1, 2, 4):
                sandbox = stack.enter_context(
                    Sandbox(
                        windows=kind,
                        days=1,
                        agents=1,
                        requests_per_minute=LIMIT,
                        requests_per_hour=None,
                        minute_seconds=MINUTE,
                        hour_seconds=60 * MINUTE,
                    )
                )
                groups[kind, processes] = sandbox, start(sandbox, folder / f"{kind}-{processes}")
        for _, worker in groups.values():
            wait_until_ready(worker)
        until = time.time() + 10 * MINUTE
        for (_, processes), (_, worker) in groups.items():
            order(worker, f"{processes} {ENDLESS} {until}\n")
        while not all(sandbox.counters["detail"] for sandbox, _ in groups.values()):
            time.sleep(0.1)
        # In the first two minutes the processes meet.
        time.sleep(2 * MINUTE)
        before = [sandbox.counters for sandbox, _ in groups.values()]
        time.sleep(3 * MINUTE)
        if time.time() > until:
            sys.exit("This machine is too busy: the processes ended before they were measured.")
        counts = [
            used_and_refused(sandbox, then)
            for (sandbox, _), then in zip(groups.values(), before, strict=True)
        ]
        for _, worker in groups.values():
            worker.wait()
    for (kind, processes), (used, refused) in zip(groups, counts, strict=True):
        print(
            f"{kind} windows, {processes} process(es): {used / (3 * LIMIT):.1%} of three minutes "
            f"used, {refused} of {used} refused"
        )


def follow(kind: Windows, folder: Path) -> None:
    """Run three tasks one after the other for two hours, each in its own process."""
    hour, limit = 16.0, 100
    with Sandbox(
        windows=kind,
        days=1,
        agents=1,
        requests_per_minute=40,
        requests_per_hour=limit,
        minute_seconds=2.0,
        hour_seconds=hour,
    ) as sandbox:
        worker = start(sandbox, folder / f"{kind}-tasks")
        wait_until_ready(worker)
        # An hour's start, so that fixed windows allow as much as sliding ones.
        time.sleep(hour - time.time() % hour)
        end = time.time() + 2 * hour
        order(worker, "".join(f"1 {most} {end}\n" for most in (40, 30, ENDLESS)))
        worker.wait()
        used, refused = used_and_refused(sandbox, Counter())
    print(f"{kind} windows, three tasks: {used / (2 * limit):.1%} of two hours, {refused} refused")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        share_minutes(Path(folder))
        for kind in KINDS:
            follow(kind, Path(folder))


if __name__ == "__main__":
    main()
