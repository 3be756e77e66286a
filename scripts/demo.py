"""``make demo``: Airflow runs the shipped DAG against services on this machine.

The program starts a TalkPilot with made-up calls, a receiver of its webhooks, a BigQuery emulator
and an Airflow home, and removes them at its end, however it ends.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import secrets
import signal
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, Sandbox
from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess
from scripts.airflow_command import Airflow, DemoError

DAG = "talkpilot_calls_to_bigquery"
TABLE, LOCATION = "demo.talkpilot.calls", "EU"
AGENTS = 3
CALLS_PER_DAY = 16
# TalkPilot's default limits. Both days and the second run fit into one minute of them.
REQUESTS_PER_MINUTE, REQUESTS_PER_HOUR = 60, 1000

RECEIVER = "airflow_provider_talkpilot.webhook"
START_SECONDS = 180
MIGRATE_SECONDS = 600
RUN_SECONDS = 600
STEPS = 5


class Demo:
    """The steps of the demo, and their state."""

    def __init__(self, sandbox: Sandbox, bigquery: BigQueryEmulator, airflow: Airflow) -> None:
        self.sandbox, self.bigquery, self.airflow = sandbox, bigquery, airflow
        self.days = sandbox.settings.dates()
        self.spent: list[tuple[str, Counter[str], int]] = []
        self._step = 1

    def migrate(self) -> None:
        """Create Airflow's database."""
        with self.step("Making an Airflow for this run alone (5 to 60 s)"):
            self.airflow.run("db", "migrate", seconds=MIGRATE_SECONDS)

    def deliver(self, receiver: str) -> None:
        """Send the webhooks of all calls, as TalkPilot does when a call ends."""
        for agent_id in self.sandbox.store.agent_ids:
            self.sandbox.store.edit_agent(agent_id, post_call_webhook_url=receiver)
        end = self.days[-1] + dt.timedelta(days=1)
        sent = self.sandbox.deliver_webhooks(self.days[0].isoformat(), end.isoformat())
        ended = {delivery.id for delivery in sent}
        say(f"     {len(ended)} webhooks delivered to the receiver, one a call")

    def edit(self, day: dt.date) -> None:
        """Let staff deal with every call of a day."""
        for call in self._truth(day):
            self.sandbox.store.edit(call["id"], done=True, note="called back")

    def load(self, day: dt.date, *, again: bool = False) -> None:
        """Run the DAG for one day."""
        note = ", staff edited all" if again else ""
        with self.step(f"Airflow runs the DAG for {day}{note} (15 to 30 s)") as notes:
            self.sandbox.reset_counters()
            # The date of a run by hand is the end of its interval.
            end = day + dt.timedelta(days=1)
            self.airflow.run("dags", "test", DAG, end.isoformat(), seconds=RUN_SECONDS)
            spent = self.sandbox.counters
            notes.append(f": {_requests(spent)} requests, {spent['detail']} of them for details")
        self.spent.append((f"{day}{note}", spent, len(self._truth(day))))

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Print a step, then how long it took and the notes that were added meanwhile."""
        self._step += 1
        say(f"{self._step}/{STEPS}  {what} …")
        begin = time.monotonic()
        notes: list[str] = []
        yield notes
        say(f"     done in {time.monotonic() - begin:.0f} s{''.join(notes)}")

    def check(self) -> None:
        """Check that the table has every call and every detail of TalkPilot.

        :raises DemoError: when it has not.
        """
        truth = {call["id"]: _essence(call) for call in self._truth()}
        rows = self._query(f"SELECT * FROM `{TABLE}`")  # noqa: S608
        table = {row["id"]: _essence(row) for row in rows}
        if len(rows) != len(table) or table != truth:
            wrong = sum(table.get(key) != truth.get(key) for key in table.keys() | truth.keys())
            raise DemoError(f"{wrong} of {len(truth)} calls differ from the API's.")
        say(f"The table {TABLE} holds what TalkPilot holds: {len(table)} calls.")
        say()

    def show(self) -> None:
        """Print the days, some calls, and the requests."""
        self._show_days()
        self._show_calls()
        self._show_requests()

    def _show_days(self) -> None:
        names = {agent["id"]: str(agent["name"]) for agent in self.sandbox.store.agents}
        rows = self._query(
            "SELECT DATE(created_at) AS day, agent_id, COUNT(*) AS calls, "  # noqa: S608
            "COUNTIF(ARRAY_LENGTH(transcript) > 0) AS transcripts, AVG(final_score) AS score, "
            f"AVG(duration) AS duration FROM `{TABLE}` GROUP BY day, agent_id"
        )
        rows.sort(key=lambda row: (row["day"], names[row["agent_id"]]))
        width = max(map(len, names.values()))
        say(f"  day         {'agent':<{width}}  calls  transcripts  mean score  mean length")
        for row in rows:
            score = "-" if row["score"] is None else f"{row['score']:.1f}"
            say(
                f"  {row['day']}  {names[row['agent_id']]:<{width}}  {row['calls']:>5}"
                f"  {row['transcripts']:>11}  {score:>10}  {_minutes(row['duration']):>11}"
            )
        say()

    def _show_calls(self) -> None:
        rows = self._query(
            f"SELECT * FROM `{TABLE}` WHERE ARRAY_LENGTH(transcript) > 1 "  # noqa: S608
            "AND deleted_at IS NULL AND EXTRACT(HOUR FROM created_at) >= 9 "
            "ORDER BY created_at LIMIT 3"
        )
        say("Three of the rows (made-up people, numbers that are not in use):")
        for row in rows:
            score = "no score yet" if row["final_score"] is None else f"score {row['final_score']}"
            caller = row["customer_name"] or "somebody"
            length = _minutes(row["duration"])
            say(f"  {row['created_at']:%Y-%m-%d %H:%M} UTC  {caller}, {length}, {score}")
            for message in row["transcript"][:2]:
                text = textwrap.shorten(message["text"], 84, placeholder=" …")
                say(f"      {message['role'] + ':':<7}{text}")
        say()

    def _show_requests(self) -> None:
        width = max(len(name) for name, _, _ in self.spent)
        say("Requests")
        say(f"  {'':<{width}}  lists  records  details  total   with a detail a call")
        for name, spent, calls in self.spent:
            lists = spent["agents"] + spent["calls"]
            say(
                f"  {name:<{width}}  {lists:>5}  {spent['performance']:>7}  {spent['detail']:>7}"
                f"  {_requests(spent):>5}   {lists} + {calls} = {lists + calls}"
            )
        say("  Transcripts came by webhook, and scores with performance records, 100 a request.")
        say("  The last run read lists and records to see what staff changed, and no detail.")
        say()

    def _truth(self, *days: dt.date) -> list[dict[str, Any]]:
        chosen = days or self.days
        end = chosen[-1] + dt.timedelta(days=1)
        return self.sandbox.store.truth(chosen[0].isoformat(), end.isoformat())

    def _query(self, sql: str) -> list[dict[str, Any]]:
        with contextlib.closing(self.bigquery.client()) as client:
            return [dict(row) for row in client.query(sql).result(timeout=60)]


def main() -> int:
    """Run it all.

    :return: the exit code.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    # A text that this terminal cannot show must not end the program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    descriptor, name = tempfile.mkstemp(prefix="talkpilot-demo-", suffix=".log")
    os.close(descriptor)
    log = Path(name)
    try:
        _run(log)
    except KeyboardInterrupt:
        log.unlink()
        say()
        say("Stopped. Nothing is left behind.")
        return 130
    except SystemExit:
        log.unlink()
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, a person reads it
        return _failed(error, log)
    log.unlink()
    _say_what_next()
    return 0


def _run(log: Path) -> None:
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    begin = time.monotonic()
    today = dt.datetime.now(dt.UTC).date()
    say("TalkPilot's calls into BigQuery, on this machine alone: no key, no account.")
    say("It takes one to two minutes and cleans up after itself. Ctrl-C ends it.")
    say()
    with contextlib.ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="talkpilot-demo-", ignore_cleanup_errors=True)
        home = Path(stack.enter_context(folder))
        say(f"1/{STEPS}  Starting a TalkPilot with made-up calls and a BigQuery emulator (5 s) …")
        sandbox = Sandbox(
            start=today - dt.timedelta(days=2),
            days=2,
            agents=AGENTS,
            calls_per_day=CALLS_PER_DAY,
            requests_per_minute=REQUESTS_PER_MINUTE,
            requests_per_hour=REQUESTS_PER_HOUR,
        )
        stack.enter_context(sandbox)
        secret = secrets.token_hex()
        sandbox.settings.patch(webhook_secret=secret)
        staging = (home / "staging").as_uri()
        settings = {"TALKPILOT_STAGING_URI": staging, "TALKPILOT_WEBHOOK_SECRET": secret}
        receiver = GuardedProcess([sys.executable, "-m", RECEIVER, "--port", "0"], settings)
        stack.callback(receiver.stop)
        bigquery = stack.enter_context(BigQueryEmulator(home=home, gcs_root=home / "gcs"))
        # Called first when all ends: another Ctrl-C must not disturb the cleaning.
        stack.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
        settings = {
            **sandbox.environment,
            **bigquery.environment,
            "AIRFLOW_VAR_TALKPILOT_STAGING_URI": staging,
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE": TABLE,
            "AIRFLOW_VAR_TALKPILOT_BIGQUERY_LOCATION": LOCATION,
        }
        say(f"     {len(sandbox.store)} calls of {AGENTS} agents, yesterday and the day before")
        say(f"     the table's dataset is created in {LOCATION}, as a Variable says")
        say(f"     limits as TalkPilot's default: {REQUESTS_PER_MINUTE} requests a minute, "
            f"{REQUESTS_PER_HOUR:,} an hour")  # fmt: skip
        demo = Demo(sandbox, bigquery, Airflow(home, log, settings))
        demo.deliver(_address(receiver))
        demo.migrate()
        first, second = demo.days
        demo.load(first)
        demo.load(second)
        demo.edit(second)
        demo.load(second, again=True)
        say()
        demo.check()
        demo.show()
    say(f"All stopped and removed after {time.monotonic() - begin:.0f} s.")


def _address(receiver: GuardedProcess) -> str:
    """Wait until the receiver of webhooks listens; return its address."""
    found = receiver.wait_for(
        lambda: re.search(r"running on (http://[\d.]+:\d+)", receiver.log()), START_SECONDS
    )
    return f"{found[1]}/"


def say(line: str = "") -> None:
    """Print a line at once."""
    print(line, flush=True)


def _say_what_next() -> None:
    say()
    say("Next")
    say('  your own key and project      README.md, "Set it up"')
    say("  the same services, kept       .venv/bin/python -m airflow_provider_talkpilot.sandbox")
    say("  the tests                     make test")


def _failed(error: Exception, log: Path) -> int:
    """Print the error and the end of Airflow's log, which is kept."""
    say()
    message = str(error) if isinstance(error, DemoError) else f"{type(error).__name__}: {error}"
    say(f"The demo failed: {message}")
    if not log.stat().st_size:
        log.unlink()
        return 1
    lines = error.log if isinstance(error, DemoError) else ()
    if lines:
        say("The last lines of Airflow's log:")
        say()
    for line in lines:
        say(f"  {line[:400]}")
    say()
    say(f"The whole log is kept in {log}")
    return 1


def _terminate(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _essence(call: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a call of the API and its row must have in common, in one shape."""
    transcript = call["transcript"] or []
    if isinstance(transcript, str):
        try:
            transcript = json.loads(transcript)
        except ValueError:  # kept raw, beside an empty one
            transcript = []
    texts = tuple((message["role"], message["text"]) for message in transcript)
    moments = tuple(_moment(call[name]) for name in ("created_at", "updated_at", "deleted_at"))
    names = ("agent_id", "call_summary", "phone_number", "note", "done", "final_score")
    return moments, tuple(call[name] for name in names), texts


def _moment(value: dt.datetime | str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(value) if isinstance(value, str) else value


def _requests(spent: Counter[str]) -> int:
    return sum(spent[kind] for kind in ("health", "agents", "calls", "performance", "detail"))


def _minutes(seconds: float | None) -> str:
    seconds = round(seconds or 0)
    return f"{seconds // 60}:{seconds % 60:02d} min"


if __name__ == "__main__":
    sys.exit(main())
