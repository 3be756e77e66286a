"""How well processes share a key's quota over real HTTP, with windows that are scaled down.

``python -m benchmarks.quota`` prints the figures: it takes two minutes, and wants a quiet machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from airflow_provider_talkpilot.sandbox import Sandbox
from airflow_provider_talkpilot.sandbox.eras import Windows
from airflow_provider_talkpilot.sandbox.limits import Verdict
from benchmarks import quota_worker

KINDS = get_args(Windows)
# A request every quarter of a second: a busy machine can do that.
MINUTE, LIMIT = 6.0, 24
MINUTES = 6
ENDLESS = 10**9


@dataclass
class Requests:
    """What the server accepted and refused of one key, by its own clock."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def settled(self) -> Requests:
        """Those of three whole minutes, after the two in which the processes start, and meet."""
        start = next(m for m in self.accepted if m > self.accepted[0] + 2 * MINUTE)
        end = start + 3 * MINUTE
        return Requests(
            *([m for m in some if start <= m < end] for some in (self.accepted, self.refused))
        )

    @property
    def used(self) -> float:
        """Part of three minutes' quota that was used."""
        return len(self.accepted) / (3 * LIMIT)


class Keys:
    """A sandbox whose keys have their requests counted where the server decides about them."""

    def __init__(self, sandbox: Sandbox, ledgers: Path) -> None:
        self._sandbox, self._ledgers = sandbox, ledgers
        self._requests: dict[str, Requests] = {}
        self._call = sandbox.truth("2026-03-16", "2026-03-17")[0]
        limiter = sandbox.state.limiter
        check = limiter.check

        def counting(key: str) -> Verdict:
            verdict = check(key)
            requests = self._requests[key]
            moments = requests.accepted if verdict.retry_after is None else requests.refused
            moments.append(verdict.moment)
            return verdict

        limiter.check = counting  # type: ignore[method-assign]

    def start(self, name: str) -> tuple[Requests, subprocess.Popen[str]]:
        """Start what makes processes on a key of their own, with a ledger that they share."""
        key, settings = self._sandbox.add_key(name), self._sandbox.settings
        requests = self._requests[key] = Requests()
        command = (
            *(sys.executable, quota_worker.__file__, self._sandbox.base_url, key),
            *(self._call["agent_id"], self._call["id"], f"file://{self._ledgers}/{name}"),
            *(str(settings.minute_seconds), str(settings.hour_seconds)),
        )
        worker = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": "."},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return requests, worker


def hear(process: subprocess.Popen[str]) -> str:
    """Read the one line that a process says."""
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.readline()


def say(process: subprocess.Popen[str], text: str) -> None:
    """Tell a process all that it is to do."""
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(text)


def share_minutes(folder: Path) -> None:
    """One, two and four processes at work, each group on a key of its own, at the same time."""
    started: dict[tuple[Windows, int], tuple[Requests, subprocess.Popen[str]]] = {}
    with ExitStack() as stack:
        for kind in KINDS:
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
            keys = Keys(sandbox, folder / kind)
            for processes in (1, 2, 4):
                started[kind, processes] = keys.start(str(processes))
        for _, worker in started.values():
            hear(worker)
        until = time.time() + MINUTES * MINUTE
        for (_, processes), (_, worker) in started.items():
            say(worker, f"{processes} {ENDLESS} {until}\n")
        for _, worker in started.values():
            worker.wait()
    for (kind, processes), (requests, _) in started.items():
        settled = requests.settled()
        print(
            f"{kind} windows, {processes} process(es): {settled.used:.1%} of three minutes used, "
            f"{len(settled.refused)} of {len(settled.accepted)} refused"
        )


def follow(kind: Windows, folder: Path) -> None:
    """Three tasks one after the other, each in a process of its own, for two hours."""
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
        requests, worker = Keys(sandbox, folder / "tasks" / kind).start("tasks")
        hear(worker)
        # An hour's start, so that fixed windows allow as much as sliding ones.
        time.sleep(hour - time.time() % hour)
        end = time.time() + 2 * hour
        say(worker, "".join(f"1 {most} {end}\n" for most in (40, 30, ENDLESS)))
        worker.wait()
    used = len(requests.accepted) / (2 * limit)
    print(f"{kind} windows, three tasks: {used:.1%} of two hours, {len(requests.refused)} refused")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        share_minutes(Path(folder))
        for kind in KINDS:
            follow(kind, Path(folder))


if __name__ == "__main__":
    main()
