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
    from airflow_provider_talkpilot.sandbox.server import Sandbox


_PORT = 8971
_BUCKET = "talkpilot-staging"
_TABLE = "talkpilot.calls"
# Options that are fields of SandboxSettings.
_OPTIONS = (
    *("era", "start", "days", "calls_per_day", "agents"),
    *("requests_per_minute", "requests_per_hour"),
)
_EXTRA = "pip install 'airflow-provider-talkpilot[sandbox]'"


def _limit(text: str) -> int | None:
    return None if text.lower() == "none" else int(text)


def _setting(text: str) -> tuple[str, object]:
    """Read ``NAME=VALUE``; a value that is not JSON is a text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def make_parser() -> argparse.ArgumentParser:
    """Create the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_talkpilot.sandbox",
        description="A TalkPilot API with made-up calls and a BigQuery emulator, on this machine.",
    )
    add = parser.add_argument
    add("--era", choices=("spring", "now"), default="now",
        help="the API as documented in March 2026, or now (default %(default)s)")  # fmt: skip
    add("--port", type=int, default=_PORT, help="port of the API, 0 for any (default %(default)s)")
    add("--start", type=dt.date.fromisoformat, metavar="DAY", help="first day of the calls, UTC "
        "(default: so that yesterday is the last)")  # fmt: skip
    add("--days", type=int, default=7, help="days with calls (default %(default)s)")
    add("--calls-per-day", type=int, default=40, help="of all agents (default %(default)s)")
    add("--agents", type=int, default=2, help="number of agents (default %(default)s)")
    add("--requests-per-minute", type=_limit, default=60, metavar="N",
        help="rate limit, or 'none' (default %(default)s)")  # fmt: skip
    add("--requests-per-hour", type=_limit, default=1000, metavar="N",
        help="rate limit, or 'none' (default %(default)s)")  # fmt: skip
    add("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="any other field of SandboxSettings, for example windows=fixed")  # fmt: skip
    add("--no-bigquery", action="store_true", help="start no BigQuery and no storage emulator")
    add("--gcs-root", type=Path, metavar="DIR", help="folder behind gs:// (default: a new one)")
    add("--env-file", type=Path, metavar="FILE",
        help="write the export lines here once all is ready; removed at the end")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM.

    :param arguments: the command line; None takes the process's.
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


def _print(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    from pydantic import ValidationError

    from airflow_provider_talkpilot.sandbox import BigQueryEmulator, StorageEmulator

    try:
        sandbox = _make_sandbox(options)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = str(first["loc"][0])
        is_option = name in _OPTIONS and name not in dict(options.settings)
        option = f"--{name.replace('_', '-')}" if is_option else f"--set {name}"
        return _fail(f"{option}: {first['msg']}")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(sandbox)
        except OSError:
            return _fail(f"Port {options.port} is in use: choose another with --port")
        environment = dict(sandbox.environment)
        servers = [f"TalkPilot API      {sandbox.base_url}"]
        servers.append(f"its admin side     {sandbox.admin_url}/")
        if not options.no_bigquery:
            _print("Starting the BigQuery emulator …")
            bigquery = stack.enter_context(BigQueryEmulator(gcs_root=options.gcs_root))
            storage = stack.enter_context(StorageEmulator(bigquery.gcs_root))
            environment |= bigquery.environment | storage.environment
            environment["AIRFLOW_VAR_TALKPILOT_BIGQUERY_TABLE"] = f"{bigquery.project}.{_TABLE}"
            environment["AIRFLOW_VAR_TALKPILOT_STAGING_URI"] = storage.create_bucket(_BUCKET)
            servers.append(f"BigQuery emulator  {bigquery.url}")
            servers.append(f"Storage emulator   {storage.url}   (gs:// is {storage.gcs_root})")
        exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        if options.env_file is not None:
            # A program that waits for the file must find it complete.
            unfinished = options.env_file.with_name(f".{options.env_file.name}.new")
            unfinished.write_text("".join(f"{line}\n" for line in exports))
            unfinished.replace(options.env_file)
            stack.callback(options.env_file.unlink, missing_ok=True)
        _describe(sandbox, servers, exports)
        # A wait with a timeout lets signals through on every platform.
        while not stop.wait(1.0):
            pass
        _print("Stopping.")
    _print("Stopped.")
    return 0


def _make_sandbox(options: argparse.Namespace) -> Sandbox:
    from airflow_provider_talkpilot.sandbox.server import Sandbox
    from airflow_provider_talkpilot.sandbox.settings import SandboxSettings

    settings = {name: getattr(options, name) for name in _OPTIONS}
    if options.start is None:
        settings["start"] = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=options.days)
    return Sandbox(SandboxSettings(**settings | dict(options.settings)), port=options.port)


def _describe(sandbox: Sandbox, servers: Sequence[str], exports: Sequence[str]) -> None:
    for line in servers:
        _print(line)
    days = sandbox.settings.dates()
    if days:
        agents = len(sandbox.store.agent_ids)
        of_agents = f"{agents} agent{'' if agents == 1 else 's'}"
        _print(f"{len(sandbox.store)} calls of {of_agents}, {days[0]} to {days[-1]} (UTC)")
    _print()
    _print("Paste into the shell that runs Airflow:")
    _print()
    for line in exports:
        _print(line)
    _print()
    _print("Ready. Ctrl-C stops everything.")


if __name__ == "__main__":
    sys.exit(main())
