"""The commands ``check`` and ``plan``, for people who set the provider up.

``python -m airflow_provider_talkpilot`` runs them, and from Airflow 3.2 on ``airflow talkpilot``
too. Airflow imports this module before each of its own commands, so the module that does the work
is another.
"""

from __future__ import annotations

from airflow.cli.cli_config import (
    ARG_VERBOSE,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
)

_MODULE = "airflow_provider_talkpilot.cli.commands"
_SHARED = (
    Arg(
        ("--conn-id",),
        help="the TalkPilot connection (default: talkpilot_default)",
        default="talkpilot_default",
    ),
    Arg(("--json",), help="print JSON", action="store_true"),
    ARG_VERBOSE,
)
COMMANDS = (
    ActionCommand(
        name="check",
        help="Check all that the shipped DAGs need, and name what is missing",
        description="Checks the connection, the key, staging and the table. It writes one file to "
        "staging and deletes it, and costs four requests. The exit code is 1 if something is "
        "missing.",
        func=lazy_load_command(f"{_MODULE}.check"),
        args=(
            Arg(
                ("--gcp-conn-id",),
                help="the Google Cloud connection (default: google_cloud_default)",
                default="google_cloud_default",
            ),
            Arg(
                ("--impersonation-chain",),
                help="service account to impersonate at Google; several as a JSON list",
            ),
            Arg(("--staging-uri",), help="default: the Variable talkpilot_staging_uri"),
            Arg(("--table",), help="default: the Variable talkpilot_bigquery_table"),
            *_SHARED,
        ),
    ),
    ActionCommand(
        name="plan",
        help="Estimate the requests and hours that an interval costs",
        description="Estimates what a load of an interval costs. It requests the first page of "
        "each agent's calls, and the list of agents if no agent is named.",
        func=lazy_load_command(f"{_MODULE}.plan"),
        args=(
            Arg(("--from",), help="first moment, ISO 8601 (UTC)", dest="start", required=True),
            Arg(("--to",), help="first moment after the interval", dest="end", required=True),
            Arg(
                ("--agent-id",),
                help="only this agent; repeatable (default: the Variable talkpilot_agent_ids)",
                action="append",
            ),
            *_SHARED,
        ),
    ),
)


def get_commands() -> list[GroupCommand]:
    """Return the commands for Airflow (provider info's ``cli``)."""
    return [GroupCommand("talkpilot", "Check and plan loads of TalkPilot's calls", COMMANDS)]
