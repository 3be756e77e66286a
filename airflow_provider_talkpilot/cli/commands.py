"""The work of the commands ``check`` and ``plan``."""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow.utils.cli import suppress_logs_and_warning

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.walk import PAGE_LIMIT, call_walk
from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import get_variable, read_settings_as_server
from airflow_provider_talkpilot.exceptions import TYPED_ERRORS
from airflow_provider_talkpilot.hooks.access import Findings, find_access
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.operators.arguments import (
    is_given,
    one_of,
    read_accounts,
    read_agents,
    read_choices,
    read_text,
)
from airflow_provider_talkpilot.operators.performance import MODES
from airflow_provider_talkpilot.operators.staging import HASH_CONN_ID, column_choices
from airflow_provider_talkpilot.staging.enrich.options import RULES
from airflow_provider_talkpilot.staging.names import CHECK_FILE
from airflow_provider_talkpilot.staging.progress import PER_HOUR, PER_MINUTE, duration, seconds_for
from airflow_provider_talkpilot.staging.rows.choices import details_are_wanted
from airflow_provider_talkpilot.staging.storage import delete, parse_uri, put_text, remove_if_empty

Value = TypeVar("Value")
# Google's library retries for ten minutes.
_GOOGLE_SECONDS = 20.0
_PURPOSES = {
    "agents": "the list of agents",
    "calls": "lists of calls",
    "performance": "lists of performance records",
    "details": "details, at most: none for those that staging or the table has complete",
}


@suppress_logs_and_warning
def check(options: Namespace) -> None:
    """Check all that the shipped DAGs need, and print the findings.

    :param options: ``conn_id``, ``gcp_conn_id``, ``impersonation_chain``, ``staging_uri``,
        ``table``, ``json``.
    :raises SystemExit: with 1 when something is missing.
    """
    read_settings_as_server()
    findings, named, performance = Findings(), list[str](), "off"
    with findings.part("Variables"):
        named = _variable("agent_ids", read_agents, [])
        performance = _variable("performance", one_of(MODES), "auto")
    find_access(findings, TalkPilotHook(options.conn_id), named, performance)
    places = {"staging": options.staging_uri or get_variable("talkpilot_staging_uri") or ""}
    if recordings := _variable("recordings_uri", read_text, ""):
        places["recordings"] = recordings
    for part, uri in places.items():
        with findings.part(part) as add:
            folder = parse_uri(uri)
            put_text("", folder / CHECK_FILE)
            delete(folder / CHECK_FILE)
            remove_if_empty(folder)
            add(f"A file can be written to {folder}, and deleted.")
    with findings.part("table") as add:
        add(_check_table(options.table or get_variable("talkpilot_bigquery_table"), options))
    if options.json:
        found = [finding._asdict() for finding in findings]
        print(json.dumps({"ok": not findings.missing, "findings": found}))
    else:
        for part, state, message in findings:
            print(f"{state:<8} {part:<12} {message}")
    if findings.missing:
        sys.exit(1)


def _variable(name: str, read: Callable[[str, Any], Value], default: Value) -> Value:
    """Read a Variable as the shipped DAGs' operators do."""
    value = get_variable(f"talkpilot_{name}")
    return read(name, value) if is_given(value) else default


def _check_table(name: str | None, options: Namespace) -> str:
    from google.api_core.exceptions import NotFound
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    from airflow_provider_talkpilot.bigquery.target import (
        check_target,
        find_table,
    )

    target = TableId.parse(name or "")
    location = _variable("bigquery_location", read_text, None)
    today = datetime.now(UTC)
    columns = column_choices(_variable("columns", read_choices, {}), HASH_CONN_ID).recorded
    chain = options.impersonation_chain
    chain = chain and read_accounts("impersonation_chain", chain)
    with bigquery_client(options.gcp_conn_id, location, chain) as client:
        retry = DEFAULT_RETRY.with_timeout(_GOOGLE_SECONDS)
        client.query("SELECT 1", retry=retry, job_retry=None).result(timeout=60)
        check_target(client, target, location, Interval(today - timedelta(days=1), today), columns)
        try:
            place = client.get_dataset(f"{target.project}.{target.dataset}").location
        except NotFound:
            return (
                f"Jobs run. The first load creates the dataset {target.project}.{target.dataset} "
                f"in {location or client.location}, and the table."
            )
        state = "fits" if find_table(client, target) else "is created by the first load"
        return f"Jobs run. The table {target} {state}. Its dataset is in {place}."


@suppress_logs_and_warning
def plan(options: Namespace) -> None:
    """Print what a load of an interval costs.

    :param options: ``conn_id``, ``start``, ``end``, ``agent_id``, ``json``.
    :raises SystemExit: with a message when the settings or TalkPilot cannot be read.
    """
    read_settings_as_server()
    try:
        _print_plan(options)
    except TYPED_ERRORS as error:
        sys.exit(str(error))


def _print_plan(options: Namespace) -> None:
    interval = Interval.parse(options.start, options.end)
    interval.require_over()
    if options.agent_id:
        agents: list[str] | None = read_agents("--agent-id", options.agent_id)
    else:
        agents = _variable("agent_ids", read_agents, None)
    records = _variable("performance", one_of(MODES), "auto") != "off"
    rule = _variable("details", one_of(RULES), "until_complete")
    columns: dict[str, str] = _variable("columns", read_choices, {})
    archives = _variable("recordings_uri", read_text, "") != ""
    fetches_details = rule != "by_webhook" and (details_are_wanted(columns) or archives)
    calls = pages = rows = size = 0
    with TalkPilotHook(options.conn_id).get_conn() as client:
        if agents is None:
            agents = [agent.id for agent in client.agents()]
        lists_of_agents = client.requests["agents"]
        for agent in agents:
            walk = call_walk(agent, interval)
            page = walk.read_rows(client.fetch(walk.request()))
            calls += walk.total
            pages += max(1, math.ceil(walk.total / PAGE_LIMIT))
            rows += len(page)
            size += sum(len(json.dumps(row, ensure_ascii=False).encode()) for row in page)
        minute, hour = client.quota.per_minute or PER_MINUTE, client.quota.per_hour or PER_HOUR
    requests = {
        "agents": lists_of_agents,
        "calls": pages,
        "performance": pages * records,
        "details": calls * fetches_details,
    }
    total = sum(requests.values())
    seconds = seconds_for(total, minute, hour)
    staged = round(size / rows * calls) if rows else 0
    if options.json:
        figures = {
            "interval": {"start": interval.start.isoformat(), "end": interval.end.isoformat()},
            "agents": len(agents),
            "calls": calls,
            "requests": requests | {"total": total},
            "requests_per_minute": minute,
            "requests_per_hour": hour,
            "hours": round(seconds / 3600, 2),
            "list_bytes": staged,
        }
        print(json.dumps(figures))
        return
    print(f"{interval}: {calls:,} call(s) of {len(agents):,} agent(s)")
    for purpose, number in requests.items():
        print(f"{number:>12,} request(s) for {_PURPOSES[purpose]}")
    print(f"{total:>12,} in all")
    print(f"{duration(seconds):>12} at {minute:,} a minute and {hour:,} an hour")
    print(f"{staged:>12,} bytes of list rows in staging (estimated; details come on top)")
