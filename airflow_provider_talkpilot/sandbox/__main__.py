"""``python -m airflow_provider_talkpilot.sandbox``: the sandbox as a program of its own."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_talkpilot.sandbox.bigquery import BigQueryEmulator
    from airflow_provider_talkpilot.sandbox.server import Sandbox
    from airflow_provider_talkpilot.sandbox.storage import StorageEmulator

_PORT = 8971
_BUCKET = "talkpilot-staging"
_TABLE = "talkpilot.calls"
_EXTRA = "pip install 'airflow-provider-talkpilot[sandbox]'"


def _limit(text: str) -> int | None:
    return None if text.lower() == "none" else int(text)


def _setting(text: str) -> tuple[str, object]:
    """A name and a value: JSON, or else text as it is."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_talkpilot.sandbox",
        description="A TalkPilot API with made-up calls and a BigQuery emulator, on this machine.",
    )
    add = parser.add_argument
    add("--era", choices=("spring", "now"), default="now",
        help="the API as documented in March 2026, or now (default %(default)s)")  # fmt: skip
    add("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="any setting by its name, for example windows=fixed")  # fmt: skip
    add("--port", type=int, default=_PORT, help="port of the API, 0 for any (default %(default)s)")
    add("--start", type=dt.date.fromisoformat, metavar="DAY", help="first day of the calls, UTC "
        "(default: so that yesterday is the last)")  # fmt: skip
    add("--days", type=int, default=7, help="days with calls (default %(default)s)")
    add("--calls-per-day", type=int, default=40, help="of all agents (default %(default)s)")
    add("--agents", type=int, default=2, help="number of agents (default %(default)s)")
    add("--seed", type=int, default=1, help="same seed, same calls (default %(default)s)")
    add("--requests-per-minute", type=_limit, default=60, metavar="N",
        help="rate limit, or 'none' (default %(default)s)")  # fmt: skip
    add("--requests-per-hour", type=_limit, default=1000, metavar="N",
        help="rate limit, or 'none' (default %(default)s)")  # fmt: skip
    add("--minute-seconds", type=float, default=60.0, metavar="S",
        help="length of the rate limit's minute (default %(default)s)")  # fmt: skip
    add("--hour-seconds", type=float, default=3600.0, metavar="S",
        help="length of the rate limit's hour (default %(default)s)")  # fmt: skip
    add("--bounds", choices=("exclusive", "inclusive"), default="exclusive",
        help="whether a call exactly at from or to is listed (default %(default)s)")  # fmt: skip
    add("--latency", type=float, default=0.0, metavar="S", help="seconds before every response")
    add("--fault-rate", type=float, default=0.0, metavar="R", help="share of failing requests")
    add("--no-bigquery", action="store_true", help="no BigQuery and no storage emulator")
    add("--no-storage", action="store_true", help="no storage emulator")
    add("--bigquery-port", type=int, default=0, metavar="P", help="0 for any (the default)")
    add("--storage-port", type=int, default=0, metavar="P", help="0 for any (the default)")
    add("--gcs-root", type=Path, metavar="DIR", help="folder behind gs:// (default: a new one)")
    add("--env-file", type=Path, metavar="FILE",
        help="write the export lines here once all is ready; removed at the end")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM.

    :param arguments: the command line; None is the process's.
    :returns: the exit code.
    """
    options = make_parser().parse_args(arguments)
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        return _run(options, stop)
    except ModuleNotFoundError as missing:
        return _fail(f"{missing.name} is not installed: {_EXTRA}")
    except (OSError, RuntimeError) as problem:
        return _fail(str(problem))


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    from pydantic import ValidationError

    try:
        sandbox = _make_sandbox(options)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = str(first["loc"][0])
        option = f"--set {name}" if name in dict(options.settings) else _option(name)
        return _fail(f"{option}: {first['msg']}")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(sandbox)
        except OSError:
            return _fail(f"Port {options.port} is in use: choose another with --port")
        environment = dict(sandbox.environment)
        bigquery: BigQueryEmulator | None = None
        storage: StorageEmulator | None = None
        if not options.no_bigquery:
            bigquery, storage = _start_emulators(options, stack)
            environment |= bigquery.environment
            environment["AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE"] = f"{bigquery.project}.{_TABLE}"
        if storage is not None:
            environment |= storage.environment
            environment["AIRFLOW_VAR_TALKPILOT_STAGING_URI"] = storage.create_bucket(_BUCKET)
        exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        if options.env_file is not None:
            # A program that waits for the file finds all of it.
            unfinished = options.env_file.with_name(f".{options.env_file.name}.new")
            unfinished.write_text("".join(f"{line}\n" for line in exports))
            unfinished.replace(options.env_file)
            stack.callback(options.env_file.unlink, missing_ok=True)
        _describe(sandbox, bigquery, storage, exports)
        # A wait with a timeout lets signals through on every platform.
        while not stop.wait(1.0):
            pass
        _say("Stopping.")
    _say("Stopped.")
    return 0


def _make_sandbox(options: argparse.Namespace) -> Sandbox:
    from airflow_provider_talkpilot.sandbox.server import Sandbox
    from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

    today = dt.datetime.now(dt.UTC).date()
    settings = {
        "era": options.era,
        "seed": options.seed,
        "days": options.days,
        "start": options.start or today - dt.timedelta(days=options.days),
        "calls_per_day": options.calls_per_day,
        "agents": options.agents,
        "requests_per_minute": options.requests_per_minute,
        "requests_per_hour": options.requests_per_hour,
        "minute_seconds": options.minute_seconds,
        "hour_seconds": options.hour_seconds,
        "from_bound": options.bounds,
        "to_bound": options.bounds,
        "latency_seconds": options.latency,
        "random_fault_rate": options.fault_rate,
    }
    return Sandbox(SandboxSettings(**settings | dict(options.settings)), port=options.port)


def _start_emulators(
    options: argparse.Namespace, stack: contextlib.ExitStack
) -> tuple[BigQueryEmulator, StorageEmulator | None]:
    from airflow_provider_talkpilot.sandbox.bigquery import BigQueryEmulator
    from airflow_provider_talkpilot.sandbox.storage import StorageEmulator

    _say("Starting the BigQuery emulator …")
    bigquery = BigQueryEmulator(gcs_root=options.gcs_root, port=options.bigquery_port)
    stack.enter_context(bigquery)
    if options.no_storage:
        return bigquery, None
    storage = StorageEmulator(bigquery.gcs_root, port=options.storage_port)
    return bigquery, stack.enter_context(storage)


def _describe(
    sandbox: Sandbox,
    bigquery: BigQueryEmulator | None,
    storage: StorageEmulator | None,
    exports: Sequence[str],
) -> None:
    days = sandbox.settings.dates()
    _say(f"TalkPilot API      {sandbox.base_url}")
    _say(f"its admin side     {sandbox.admin_url}/")
    if bigquery is not None:
        _say(f"BigQuery emulator  {bigquery.url}")
    if storage is not None:
        _say(f"Storage emulator   {storage.url}   (gs:// is {storage.gcs_root})")
    if days:
        agents = len(sandbox.store.agent_ids)
        of_agents = f"{agents} agent{'' if agents == 1 else 's'}"
        _say(f"{len(sandbox.store)} calls of {of_agents}, {days[0]} to {days[-1]} (UTC)")
    _say()
    _say("Paste into the shell that runs Airflow:")
    _say()
    for line in exports:
        _say(line)
    _say()
    _say("Ready. Ctrl-C stops everything.")


if __name__ == "__main__":
    sys.exit(main())
