"""The work of the commands ``check`` and ``plan``."""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from airflow.utils.cli import suppress_logs_and_warning

from airflow_provider_talkpilot.api import Interval, TalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    NotFoundError,
    PermissionDeniedError,
)
from airflow_provider_talkpilot.api.exchange import Request
from airflow_provider_talkpilot.api.walk import PAGE_LIMIT, call_walk
from airflow_provider_talkpilot.bigquery.client import bigquery_client
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import get_variable, read_settings_as_server
from airflow_provider_talkpilot.exceptions import TYPED_ERRORS
from airflow_provider_talkpilot.hooks.talkpilot import TalkPilotHook
from airflow_provider_talkpilot.operators.arguments import (
    is_given,
    one_of,
    optional,
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

OK, NOTE, MISSING = "ok", "note", "missing"
# Google's library retries for ten minutes.
_GOOGLE_SECONDS = 20.0
_PURPOSES = {
    "agents": "the list of agents",
    "calls": "lists of calls",
    "performance": "lists of performance records",
    "details": "details, at most: none for those that staging or the table has complete",
}


class Finding(NamedTuple):
    """The state of one part of what the DAGs need.

    :param state: ``ok``; ``note`` if a load works and could do better; or ``missing``.
    :param message: one line; it names the cure.
    """

    part: str
    state: str
    message: str


@contextmanager
def _part(findings: list[Finding], part: str) -> Iterator[Callable[..., None]]:
    """Return a function that adds a finding; an error in the block is a finding too."""

    def add(message: str, state: str = OK) -> None:
        findings.append(Finding(part, state, message))

    try:
        yield add
    except TYPED_ERRORS as error:
        add(str(error), MISSING)


@suppress_logs_and_warning
def check(options: Namespace) -> None:
    """Check all that the shipped DAGs need, and print the findings.

    :param options: ``conn_id``, ``gcp_conn_id``, ``impersonation_chain``, ``staging_uri``,
        ``table``, ``json``.
    :raises SystemExit: with 1 when something is missing.
    """
    read_settings_as_server()
    findings = list[Finding]()
    with _part(findings, "connection") as add:
        hook = TalkPilotHook(options.conn_id)
        if unused := hook.fields().unused:
            add(unused, NOTE)
        with hook.get_conn(max_wait=5, tries=2, timeout=10) as client:
            version = client.health().version or "unknown"
            add(f"TalkPilot responds at {client.base_url} (version {version}).")
            _check_key(findings, client)
    places = {"staging": options.staging_uri or get_variable("talkpilot_staging_uri") or ""}
    if recordings := read_text("recordings_uri", get_variable("talkpilot_recordings_uri")):
        places["recordings"] = recordings
    for part, uri in places.items():
        with _part(findings, part) as add:
            folder = parse_uri(uri)
            put_text("", folder / CHECK_FILE)
            delete(folder / CHECK_FILE)
            remove_if_empty(folder)
            add(f"A file can be written to {folder}, and deleted.")
    with _part(findings, "table") as add:
        add(_check_table(options.table or get_variable("talkpilot_bigquery_table"), options))
    is_good = all(finding.state != MISSING for finding in findings)
    if options.json:
        found = [finding._asdict() for finding in findings]
        print(json.dumps({"ok": is_good, "findings": found}))
    else:
        for part, state, message in findings:
            print(f"{state:<8} {part:<12} {message}")
    if not is_good:
        sys.exit(1)


def _check_key(findings: list[Finding], client: TalkPilotClient) -> None:
    agents, one = list[str](), {"page": "1", "limit": "1"}
    with _part(findings, "agents") as add:
        agents = optional(read_agents)("agent_ids", get_variable("talkpilot_agent_ids")) or []
        try:
            visible = [agent.id for agent in client.agents()]
        except PermissionDeniedError as error:
            if not agents:
                raise
            add(f"Loads take the {len(agents)} that are named. {error}", NOTE)
        else:
            add(*_compare_agents(agents, visible))
            agents = agents or visible
    if agents:
        with _part(findings, "calls") as add:
            client.fetch(Request("calls", f"agents/{agents[0]}/calls", one))
            add("The key can read calls.")
        with _part(findings, "performance") as add:
            mode = one_of(MODES)("performance", get_variable("talkpilot_performance"))
            try:
                if mode != "off":
                    path = f"agents/{agents[0]}/performance"
                    client.fetch(Request("performance", path, one))
                    add("The key can read performance records.")
            except (PermissionDeniedError, NotFoundError) as error:
                if mode == "required":
                    raise
                add(f"Scores come from details alone. {error}", NOTE)
    with _part(findings, "limits") as add:
        minute, hour = client.quota.per_minute, client.quota.per_hour
        default = f"{PER_HOUR:,} an hour (TalkPilot's default, for the connection names no other)"
        by_minute = f"{minute:,} request(s)" if minute else "TalkPilot names no number of requests"
        add(f"{by_minute} a minute; {f'{hour:,} an hour' if hour else default}.")


def _compare_agents(named: list[str], visible: list[str]) -> tuple[str, str]:
    if not visible:
        cure = "add agents to the key in TalkPilot's dashboard"
        return f"The key can see no agent, so there are no calls: {cure}.", MISSING
    if unseen := [agent for agent in named if agent not in visible]:
        return (
            f"The key cannot see {', '.join(unseen)}: add it to the key in TalkPilot's dashboard, "
            "or take it out of the Variable talkpilot_agent_ids."
        ), MISSING
    return f"The key can see {len(visible)} agent(s); loads take {len(named) or 'all'}.", OK


def _check_table(name: str | None, options: Namespace) -> str:
    from google.api_core.exceptions import NotFound
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    from airflow_provider_talkpilot.bigquery.target import (
        LOCATION_VARIABLE,
        check_target,
        find_table,
    )

    target = TableId.parse(name or "")
    location = read_text("location", get_variable(LOCATION_VARIABLE))
    today = datetime.now(UTC)
    choices = read_choices("columns", get_variable("talkpilot_columns"))
    columns = column_choices(choices, HASH_CONN_ID).recorded
    chain = read_accounts("impersonation_chain", options.impersonation_chain)
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
    named = options.agent_id or get_variable("talkpilot_agent_ids")
    agents = optional(read_agents)("agent_ids", named)
    records = one_of(MODES)("performance", get_variable("talkpilot_performance")) != "off"
    rule = one_of(RULES)("details", get_variable("talkpilot_details"))
    columns = read_choices("columns", get_variable("talkpilot_columns"))
    archives = is_given(get_variable("talkpilot_recordings_uri"))
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
