"""``make ui``: a real Airflow to look at, with days of calls that its own runs loaded.

The program starts a TalkPilot with made-up calls, emulators of BigQuery and Cloud Storage, and an
Airflow, and removes them after Ctrl-C. The page "TalkPilot" shows real runs of the shipped DAG:
days that are complete, one with summaries only, one that failed, and calls that were purged and
erased.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox, StorageEmulator
from tests.system.rest import Standalone
from tests.system.running import DAG, Airflow

CONNECTION, BUCKET = "talkpilot_default", "talkpilot-staging"
AGENTS, CALLS_PER_DAY = 3, 24
# TalkPilot's default limit of an hour. Its limit of a minute would make a person wait.
REQUESTS_PER_MINUTE, REQUESTS_PER_HOUR = 600, 1000
DAYS, LEAST_DAYS = 14, 8
RUN_SECONDS = 600
PURGED, ERASED = 2, 3

Say = Callable[[str], object]


@dataclass
class Show:
    """A running Airflow, and the services behind it.

    :param days: the days with calls, oldest first; the last is yesterday.
    """

    airflow: Standalone
    sandbox: Sandbox
    days: list[dt.date]
    runs: dict[str, str] = field(default_factory=dict)

    def connect(self) -> None:
        """Create the connection in Airflow's database, where a person can edit it."""
        extra = json.dumps({"requests_per_hour": REQUESTS_PER_HOUR})
        fields = {**self.sandbox.connection, "port": self.sandbox.port, "extra": extra}
        self.airflow.connect(CONNECTION, **fields)

    def count_tasks(self) -> int:
        """Count the tasks of the shipped DAG."""
        return int(self.airflow.get(f"dags/{DAG}/tasks")["total_entries"])

    def sync(self, say: Say = str) -> None:
        """Let the shipped DAG load the days, some of them with gaps and failures.

        :raises RuntimeError: when a run does not end as expected.
        """
        *days, yesterday = self.days
        middle = len(days) // 2
        together, (summaries, lost, *daily) = days[:middle], days[middle:]
        say(f"Airflow runs the DAG {DAG} for {len(self.days)} days")
        # The scheduler itself runs the last whole day of an unpaused DAG.
        self.airflow.unpause(DAG)
        self._scheduled(yesterday)
        self._trigger("together", (together[0], summaries))
        self._trigger("summaries", _whole(summaries), enrich=False)
        for number, day in enumerate(daily):
            self._trigger(f"day {number}", _whole(day))
        for name in list(self.runs):
            self._expect(name, "success")
        say("some calls are purged, some erased, and two runs find the API key refused")
        self._change(daily[-1])
        self._trigger("again", _whole(daily[-1]))
        self._expect("again", "success")
        self._refuse("refused", daily[-2])
        self._refuse("lost", lost)

    def _change(self, day: dt.date) -> None:
        """Purge and erase calls of a day that is in the table."""
        start, end = _whole(day)
        calls = self.sandbox.store.truth(start.isoformat(), end.isoformat())
        changing = [call["id"] for call in calls if not call["is_purged"]]
        for call_id in changing[:PURGED]:
            self.sandbox.store.purge(call_id)
        for call_id in changing[PURGED : PURGED + ERASED]:
            self.sandbox.store.erase(call_id)

    def _refuse(self, name: str, day: dt.date) -> None:
        """Run a day while TalkPilot refuses the key."""
        self.sandbox.faults.add("status", kind="agents", status=401)
        self._trigger(name, _whole(day))
        self._expect(name, "failed")

    def _trigger(
        self, name: str, interval: tuple[dt.date, dt.date], *, enrich: bool = True
    ) -> None:
        start, end = interval
        conf = {"start": start.isoformat(), "end": end.isoformat(), "enrich": enrich}
        self.runs[name] = self.airflow.trigger(DAG, conf=conf)

    def _scheduled(self, day: dt.date) -> None:
        """Wait for the scheduler's run of a day."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            for run in self.airflow.runs(DAG):
                if run["run_type"] == "scheduled" and run["data_interval_start"][:10] == f"{day}":
                    self.runs["scheduled"] = run["dag_run_id"]
                    return self._expect("scheduled", "success")
            time.sleep(0.5)
        raise RuntimeError(f"the scheduler made no run of {day}")

    def _expect(self, name: str, state: str) -> None:
        found = self.airflow.end_of(DAG, self.runs[name], RUN_SECONDS)
        if found != state:
            logs = self.airflow.logs(DAG, self.runs[name])
            raise RuntimeError(f"the run {self.runs[name]} ended as {found}\n{logs}")


def _whole(day: dt.date) -> tuple[dt.date, dt.date]:
    return day, day + dt.timedelta(days=1)


@contextlib.contextmanager
def show(home: Path, *, days: int = DAYS, say: Say = str, **settings: str) -> Iterator[Show]:
    """Start all services and Airflow, without a connection and without any run.

    :param home: a folder for all files.
    :param days: how many days have calls.
    :param say: called with each line about the progress.
    :param settings: further environment variables for Airflow.
    """
    today = dt.datetime.now(dt.UTC).date()
    say("Starting a TalkPilot with made-up calls, and emulators of BigQuery and Cloud Storage")
    with contextlib.ExitStack() as stack:
        sandbox = Sandbox(
            start=today - dt.timedelta(days=days),
            days=days,
            agents=AGENTS,
            calls_per_day=CALLS_PER_DAY,
            requests_per_minute=REQUESTS_PER_MINUTE,
            requests_per_hour=None,
        )
        stack.enter_context(sandbox)
        bigquery = stack.enter_context(BigQueryEmulator(home=home, gcs_root=home / "gcs"))
        storage = stack.enter_context(StorageEmulator(bigquery.gcs_root))
        environment = {
            **bigquery.environment,
            **storage.environment,
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW_VAR_TALKPILOT_STAGING_URI": storage.create_bucket(BUCKET),
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE": f"{bigquery.project}.talkpilot.calls",
            **settings,
        }
        say("Starting Airflow: scheduler, API server, DAG processor, triggerer (half a minute)")
        airflow = stack.enter_context(Standalone(Airflow(home / "airflow"), environment))
        yield Show(airflow, sandbox, sandbox.settings.dates())


def main() -> int:
    """Run until Ctrl-C.

    :return: the exit code.
    """
    parser = argparse.ArgumentParser(prog="make ui", description="An Airflow to look at.")
    parser.add_argument(
        "--days",
        type=int,
        default=DAYS,
        metavar="N",
        help=f"days with calls, at least {LEAST_DAYS} (default %(default)s)",
    )
    parser.add_argument(
        "--user",
        action="append",
        default=[],
        metavar="NAME:ROLE",
        help="one more user, to see what others see: viewer, user, op, or no role at all",
    )
    arguments = parser.parse_args()
    days = arguments.days
    if days < LEAST_DAYS:
        parser.error(f"--days is {days}: give at least {LEAST_DAYS}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, terminate)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    try:
        _run(days, ["admin:admin", *arguments.user])
    except KeyboardInterrupt:
        say("")
        say("Stopped. Nothing is left behind.")
        return 130
    except (AssertionError, OSError, RuntimeError) as error:
        say(f"It failed: {error}")
        return 1
    return 0


def _run(days: int, users: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="talkpilot-ui-", ignore_cleanup_errors=True)
        home = Path(stack.enter_context(folder))
        settings = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(users)}
        shown = stack.enter_context(show(home, days=days, say=say, **settings))
        # Called first when all ends: another Ctrl-C must not disturb the cleaning.
        stack.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
        say("")
        say(f"  Airflow    {shown.airflow.url}")
        for name, password in shown.airflow.passwords.items():
            say(f"  login      {name}, password {password}")
        say(f"  the page   {shown.airflow.url}/plugin/talkpilot")
        say("")
        begin = time.monotonic()
        shown.connect()
        shown.sync(say)
        say(f"All there after {time.monotonic() - begin:.0f} s. Ctrl-C stops and removes it.")
        while True:
            time.sleep(1)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def terminate(number: int, _: object) -> NoReturn:
    """End as after Ctrl-C, so that everything is removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
