"""Operators that stage TalkPilot's calls and their details."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.http.address import is_loopback
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import AirflowSkipException
from airflow_provider_talkpilot.operators.arguments import (
    MOST_DAYS,
    Argument,
    check_bounds,
    checked,
    one_of,
    read_agents,
    read_bound,
    read_days,
    read_flag,
    read_interval,
    read_staging,
    read_uri,
)
from airflow_provider_talkpilot.operators.base import short_lists
from airflow_provider_talkpilot.operators.filters import render_filters
from airflow_provider_talkpilot.operators.staging import (
    TalkPilotStagedCallsOperator,
    TalkPilotStagingOperator,
    column_choices,
)
from airflow_provider_talkpilot.staging.enrich.enrichment import enrich_calls
from airflow_provider_talkpilot.staging.enrich.options import (
    MOST_IN_FLIGHT,
    RULES,
    Details,
    EnrichOptions,
)
from airflow_provider_talkpilot.staging.enrich.plan import KnownDetail
from airflow_provider_talkpilot.staging.extract.extraction import extract_calls
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.names import interval_folder, scope_of
from airflow_provider_talkpilot.staging.rows.choices import ColumnChoices, details_are_wanted
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath
    from airflow_provider_talkpilot.recordings.archive import RecordingArchive


class TalkPilotExtractCallsOperator(TalkPilotStagingOperator):
    """
    Stage the list rows of every call in an interval, from verified walks.

    It costs one request per 100 calls and agent, and one for the list of agents if ``agent_ids`` is
    not given. The folder in staging depends only on DAG, connection, agents and interval, so a
    retry continues where the last try stopped.

    :param staging_uri: root of staging, such as ``gs://bucket/talkpilot``. (templated)
    :param agent_ids: UUIDs of agents, or a JSON list of them; by default every agent that the key
        can see. An empty list is an error. (templated)
    :param start: first moment of the interval, ISO 8601, in UTC unless it names an offset; by
        default that of the run's data interval. (templated)
    :param end: first moment after the interval, likewise. (templated)
    :param done: only calls that are done (or not). With any of these three filters the result is
        a selection, which never counts as the whole interval.
    :param phone_number: only calls with exactly this number. It is not shown among the rendered
        fields. A template that renders to nothing is an error.
    :param search: only calls with this text in name, phone number or summary; likewise.
    :param agent_prompts: keep prompts and greetings in the table of agents; they can name people.
        (templated)
    :return: the manifest's URI. Figures in the XCom ``summary``: ``agent_ids``, ``selection``,
        ``agents``, ``calls``, ``purged``, ``rejected``, ``requests``, ``drift`` (values that did
        not fit, by column), ``by_agent`` for up to 100 agents, their ``agent_names`` if the list
        of agents was read, and ``by_day`` for up to 100 days.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"agent_ids": "json", "columns": "json"}
    staging_uri = Argument(read_staging)
    agent_ids = Argument(read_agents, default=None, refuses_none=True)
    start = Argument(read_bound, default=None)
    end = Argument(read_bound, default=None)
    agent_prompts = Argument(read_flag, default=False)

    def __init__(
        self,
        *,
        staging_uri: str,
        agent_ids: Sequence[str] | str | None = None,
        start: str | None = None,
        end: str | None = None,
        done: bool | None = None,
        phone_number: str | None = None,
        search: str | None = None,
        agent_prompts: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.staging_uri = staging_uri
        self.agent_ids = agent_ids
        self.start = start
        self.end = end
        check_bounds(self.start, self.end)
        self.done = checked("done", done, bool | None)
        self.phone_number = checked("phone_number", phone_number, str | None, pattern=r"\S")
        self.search = checked("search", search, str | None, pattern=r"\S")
        self.agent_prompts = agent_prompts

    def _staging_root(self) -> ObjectStoragePath:
        return parse_uri(self.staging_uri)

    def _work(self, client: TalkPilotClient, context: Context) -> str:
        options = ExtractOptions(
            interval=read_interval(context, self.start, self.end),
            agent_ids=self.agent_ids,
            filters=render_filters(self, context),
            max_rejects=self.max_rejects,
            choices=column_choices(self.columns or {}, self.hash_conn_id),
            agent_prompts=self.agent_prompts,
        )
        self._check_target(options.interval, options.choices.recorded)
        selection = sorted(options.filters.active())
        folder = interval_folder(
            self._staging_root(),
            dag_id=self.dag_id,
            connection_id=self.talkpilot_conn_id,
            agent_ids=options.agent_ids,
            filters=options.filters,
            interval=options.interval,
            columns=options.choices.recorded,
            api_key=self.hook.fields.api_key if selection else "",
        )
        if options.choices.recorded:
            self.log.info("Columns, before anything is staged: %s.", options.choices)
        self._summary.push(
            kind="calls",
            scope=scope_of(folder),
            interval=options.interval,
            selection=selection,
            **short_lists(agent_ids=options.agent_ids),
        )
        manifest, path = extract_calls(client, folder, options)
        self._count("calls", manifest.rows)
        days = sorted(manifest.days.items())
        return self._finish(
            client,
            manifest,
            path,
            agents=len(manifest.agents),
            calls=manifest.rows,
            purged=sum(day.purged for day in manifest.days.values()),
            **short_lists(
                by_agent={walk.agent_id: walk.calls for walk in manifest.agents},
                agent_names=manifest.agent_names,
                by_day={day.isoformat(): count.model_dump() for day, count in days},
            ),
        )


class TalkPilotEnrichCallsOperator(TalkPilotStagedCallsOperator):
    """
    Stage the details (transcript, score) of the calls that an extract task staged.

    It costs one request per call. A detail is fetched again only while the call is young and its
    transcript or score is missing. A detail that is complete in staging or in the table is never
    fetched again, whatever staff edit. Purges need no detail: the list shows them.

    :param manifest_uri: what the extract task returned: ``extract.output``. (templated)
    :param enrich: False skips the task. A template that renders to nothing means False.
        (templated)
    :param details: ``until_complete`` is described above. ``every_version`` fetches a detail again
        whenever the list shows that the call changed. ``by_webhook`` sends no request, and reads
        what webhooks brought to the inbox. (templated)
    :param table: the target table; details that it has complete are not fetched. Without it, only
        staged details are known. (templated)
    :param concurrency: how many requests may be in flight, 1 to 80; the quota can allow fewer.
    :param refetch_days: a detail without transcript or score is fetched again, at most once a day,
        while the call is younger than this many days; 0 means never.
    :param max_rejects: how many records may fail validation before the task fails. It fetches the
        other details first.
    :param columns: by default the choices that the calls were staged with; others are an error. If
        ``transcript`` and ``final_score`` are dropped, the task is skipped unless it archives
        recordings, because a detail has nothing else. (templated)
    :param recordings_uri: where to archive recordings, such as ``gs://bucket/recordings``; by
        default they are not archived. Give the load tasks the same URI, because they delete
        recordings there. (templated)
    :param recordings_backfill: also request details whose recording alone is missing, at most once
        a day; one request each. (templated)
    :param recordings_keep_days: do not archive recordings of calls that began more days ago; the
        load tasks delete them. (templated)
    :param recordings_max_bytes: larger recordings are not archived.
    :return: the manifest's URI. Figures in the XCom ``summary``: ``rule``, ``details``,
        ``fetched``, ``by_webhook``, ``vanished``, ``lacking`` (calls without a detail, by
        ``by_webhook``), ``recordings`` (counts by status), ``rejected``, ``requests``, ``drift``
        (values that did not fit, by column).
    """

    enrich = Argument(read_flag, default=False)
    details = Argument[Details](one_of(RULES), default="until_complete")
    recordings_uri = Argument(read_uri, default=None, refuses_none=True)
    recordings_backfill = Argument(read_flag, default=False)
    recordings_keep_days = Argument(read_days, default=None, refuses_none=True)

    def __init__(
        self,
        *,
        enrich: bool | str = True,
        details: str = "until_complete",
        concurrency: int = 32,
        refetch_days: float = 3,
        recordings_uri: str | None = None,
        recordings_backfill: bool | str = False,
        recordings_keep_days: int | str | None = None,
        recordings_max_bytes: int = 500_000_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.enrich = enrich
        self.details = details
        self.concurrency = checked("concurrency", concurrency, int, ge=1, le=MOST_IN_FLIGHT)
        self.refetch_days = checked("refetch_days", refetch_days, float, ge=0, le=MOST_DAYS)
        self.recordings_uri = recordings_uri
        self.recordings_backfill = recordings_backfill
        self.recordings_keep_days = recordings_keep_days
        self.recordings_max_bytes = checked("recordings_max_bytes", recordings_max_bytes, int, ge=1)

    def _run(self, context: Context) -> Any:
        if not self.enrich:
            raise AirflowSkipException("Details are turned off for this run.")
        return super()._run(context)

    def _stage(
        self,
        client: TalkPilotClient,
        path: ObjectStoragePath,
        calls: ListManifest,
        choices: ColumnChoices,
    ) -> str:
        archive = self._archive(client)
        if not details_are_wanted(choices.recorded) and archive is None:
            raise AirflowSkipException(
                "Details are not fetched: what they have, transcript and final_score, is dropped."
            )
        options = EnrichOptions(
            details=self.details,
            refetch_age=timedelta(days=self.refetch_days),
            recordings=archive is not None and self.recordings_backfill,
            concurrency=self.concurrency,
            max_rejects=self.max_rejects,
            choices=choices,
            archive=archive,
        )
        self._summary.push(
            kind="details", scope=scope_of(path.parent), interval=calls.interval, rule=self.details
        )
        self._check_target(calls.interval, calls.columns)
        manifest, path = enrich_calls(client, path, known=self._known, options=options)
        self._count("details", manifest.fetched)
        if manifest.recordings:
            counts = (f"{number:,} {status}" for status, number in manifest.recordings.items())
            self.log.info("Recordings: %s.", ", ".join(counts))
        return self._finish(
            client,
            manifest,
            path,
            details=manifest.rows - manifest.vanished,
            **manifest.model_dump(
                include={"fetched", "by_webhook", "vanished", "lacking", "recordings"}
            ),
        )

    def _archive(self, client: TalkPilotClient) -> RecordingArchive | None:
        if not self.recordings_uri:
            return None
        from airflow_provider_talkpilot.recordings.archive import RecordingArchive

        days = self.recordings_keep_days
        return RecordingArchive(
            parse_uri(self.recordings_uri),
            keep=timedelta(days=days) if days else None,
            max_bytes=self.recordings_max_bytes,
            # The sandbox serves its recordings from there too.
            allow_loopback=is_loopback(urlsplit(client.base_url).hostname or ""),
        )

    def _known(self, calls: ListManifest) -> Iterator[KnownDetail]:
        """Yield the details that the target table has."""
        if not self.table:
            return
        from airflow_provider_talkpilot.bigquery.queries import known_details

        target = TableId.parse(self.table)
        with self.warehouse() as client:
            yield from known_details(
                client, target, calls.interval, calls.columns, self.maximum_bytes_billed
            )
