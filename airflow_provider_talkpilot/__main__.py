"""``python -m airflow_provider_talkpilot``: the commands of ``airflow talkpilot``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from airflow_provider_talkpilot.cli import COMMANDS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    :param arguments: the command line; None for that of the process.
    :raises SystemExit: with 1 when something is missing or fails.
    """
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_talkpilot")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.help, description=command.description)
        own.set_defaults(run=command.func)
        for argument in command.args:
            argument.add_to_parser(own)
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()
