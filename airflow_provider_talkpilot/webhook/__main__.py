"""``python -m airflow_provider_talkpilot.webhook``: the receiver as a program of its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import uvicorn
from upath import UPath

from airflow_provider_talkpilot.staging.errors import StagingError
from airflow_provider_talkpilot.staging.storage import parse_uri
from airflow_provider_talkpilot.webhook.app import make_app
from airflow_provider_talkpilot.webhook.settings import (
    PATH_SECRET,
    RATE,
    SECRET,
    STAGING_URI,
    ReceiverSettings,
    SettingsError,
)

# Each delivery can take 5 MB of memory.
_MOST_CONNECTIONS = 200


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_talkpilot.webhook",
        description="Takes TalkPilot's webhooks and stores them in the inbox of staging.",
        epilog=f"Secrets come from the environment: {SECRET} (TalkPilot's signing secret; several, "
        f"a line each) or {PATH_SECRET} (the last part of the address), or from the file that "
        f"{SECRET}_FILE or {PATH_SECRET}_FILE names.",
    )
    environment, add = os.environ, parser.add_argument
    add("--staging-uri", default=environment.get(STAGING_URI, ""), metavar="URI",
        help=f"root of staging, as the DAGs have it (default: {STAGING_URI})")  # fmt: skip
    add("--host", default="127.0.0.1", help="address to listen at (default %(default)s)")
    add("--port", type=int, default=environment.get("PORT") or 8080,
        help="port to listen at, 0 for any (default: PORT, or 8080)")  # fmt: skip
    add("--rate", default=environment.get(RATE, ""), metavar="N",
        help=f"deliveries a second at most (default: {RATE}, or 300)")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the receiver until SIGTERM or Ctrl-C.

    :param arguments: the command line; by default the process's own.
    :return: the exit code.
    """
    options = make_parser().parse_args(arguments)
    try:
        settings = ReceiverSettings.from_environment({**os.environ, RATE: options.rate})
        if not options.staging_uri:
            raise SettingsError(
                f"No staging URI is given: set {STAGING_URI}, such as gs://bucket/talkpilot."
            )
        app = make_app(settings, parse_uri(options.staging_uri, UPath))
    except (SettingsError, StagingError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
