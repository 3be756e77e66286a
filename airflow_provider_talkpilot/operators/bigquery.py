"""Operators of the warehouse: load what is staged, create views of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import conf
from airflow_provider_talkpilot.lineage.assets import announce
from airflow_provider_talkpilot.lineage.openlineage import loaded_lineage
from airflow_provider_talkpilot.links.talkpilot import BigQueryJobLink, BigQueryTableLink
from airflow_provider_talkpilot.operators.arguments import (
    Argument,
    checked,
    read_days,
    read_flag,
    read_list,
    read_object,
    read_table,
    read_text,
    read_uri,
)
from airflow_provider_talkpilot.operators.base import (
    Summary,
    TalkPilotBigQueryOperator,
    airflow_errors,
)
from airflow_provider_talkpilot.staging.manifests import load_manifest
from airflow_provider_talkpilot.staging.names import connection_of, scope_of
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.bigquery.load import Load, LoadOptions
    from airflow_provider_talkpilot.compat import Context, XComArg

# How often the trigger checks a job that takes long.
POLL_SECONDS = 10.0


class TalkPilotLoadCallsOperator(TalkPilotBigQueryOperator):
    """
    Load what is staged: one load job into a staging table, one merge into the table.

    It can run any number of times. Job ids follow from the manifest, so a retry waits for a job
    that still runs. The merge writes only rows that changed. Loads into one table at the same time
    wait for each other, so no call is there twice. Dataset and table are created if they are
    missing, and columns that an older table lacks are added. A table keeps the choices for columns
    that it was created with; a manifest with other choices is refused. BigQuery itself reads parts
    in ``gs://``; others are uploaded.

    A walk without filters shows which calls TalkPilot no longer has. Their rows get ``erased_at``
    and lose all personal data. If those are suspiciously many, the task stops before it changes
    anything. At the end it checks that the table has what the walk found.

    Performance records go into the table ``<table>_performance``, and their scores into calls that
    have none. When a call is purged or gone, its records lose their personal data too.

    Recordings of calls that are purged or gone are deleted before their rows are emptied.

    An ``AssetAlias`` among the outlets becomes the table's asset, with an extra that describes the
    load. OpenLineage gets what was read and written.

    :param manifest_uri: what the task that staged returned: ``extract.output``. (templated)
    :param table: the table of calls, ``project.dataset.table``. (templated)
    :param location: where the dataset must be, and where a new one is created. The default is the
        field ``location`` of the Google connection, then the Variable
        ``talkpilot_bigquery_location``. (templated)
    :param policy_tags: who may read a column: the full name of a policy tag,
        ``projects/P/locations/L/taxonomies/T/policyTags/N``, by column; or a JSON object of the
        same. A column that has a tag keeps it. (templated)
    :param max_erased_share: which share of the interval's calls, 0 to 1, may be gone at once.
    :param max_erased: how many calls may be gone in any case.
    :param confirm_erasure: erase calls however many are gone. (templated)
    :param recordings_uri: where the enrich task archives recordings, if it does. (templated)
    :param recordings_keep_days: delete the recordings of all calls in the table that began more
        days ago; only loads of walks do. By default none are deleted for their age. (templated)
    :param deferrable: free the worker while BigQuery runs the load job or the merge for more than
        a few seconds; otherwise wait in the worker. The default is
        ``[operators] default_deferrable``.
    :return: ``rows``, ``changed``, ``erased``, ``purged``, ``live``, the jobs' ids, their
        ``project`` and ``location``, ``bytes_processed``, ``recordings_deleted``, ``table``,
        ``manifest_uri``.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"policy_tags": "json"}
    manifest_uri = Argument(read_uri)
    table = Argument(read_table)
    policy_tags = Argument(read_object, default=None, refuses_none=True)
    confirm_erasure = Argument(read_flag, default=False)
    recordings_uri = Argument(read_uri, default=None, refuses_none=True)
    recordings_keep_days = Argument(read_days, default=None, refuses_none=True)
    operator_extra_links = (BigQueryTableLink(), BigQueryJobLink())
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        manifest_uri: str | XComArg,
        table: str,
        policy_tags: dict[str, str] | str | None = None,
        max_erased_share: float = 0.05,
        max_erased: int = 10,
        confirm_erasure: bool | str = False,
        recordings_uri: str | None = None,
        recordings_keep_days: int | str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifest_uri = manifest_uri
        self.table = table
        self.policy_tags = policy_tags
        self.max_erased_share = checked("max_erased_share", max_erased_share, float, ge=0, le=1)
        self.max_erased = checked("max_erased", max_erased, int, ge=0)
        self.confirm_erasure = confirm_erasure
        self.recordings_uri = recordings_uri
        self.recordings_keep_days = recordings_keep_days
        self.deferrable = checked("deferrable", deferrable, bool)
        self._running: Load | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Load and merge."""
        return self._load(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after a job that took long; only its id is read from the event."""
        return self._load(context, resumed_job=event.get("job_id"))

    def on_kill(self) -> None:
        """Cancel the job that this task waits for; the next try runs it again."""
        if self._running:
            self._running.cancel()

    def _load(self, context: Context, resumed_job: str | None = None) -> dict[str, Any]:
        from airflow_provider_talkpilot.bigquery.jobs import JobRunsError
        from airflow_provider_talkpilot.bigquery.load import Load

        with airflow_errors():
            target, path = TableId.parse(self.table), parse_uri(self.manifest_uri)
            manifest = load_manifest(path)
            options = self._options(resumed_job)
            summary = Summary(context, kind="load", table=str(target))
            summary.push(
                scope=scope_of(path.parent),
                interval=manifest.interval,
                manifest=path,
                manifest_kind=manifest.kind,
                connection_id=connection_of(path.parent),
                selection=manifest.selection,
            )
            with self.warehouse() as client:
                load = self._running = Load(client, path.parent, manifest, target, options)
                try:
                    result = load.run()
                except JobRunsError as job:
                    self._defer(job.job_id, client.project, job.location)
        self._lineage = partial(loaded_lineage, path, manifest, target, result)
        announce(context, self.outlets, path, manifest, target, result)
        summary.push(**asdict(result))
        return asdict(result) | {
            "manifest_uri": str(path),
            "table": str(target),
            "project": client.project,
        }

    def _options(self, resumed_job: str | None) -> LoadOptions:
        from airflow_provider_talkpilot.bigquery.load import LoadOptions
        from airflow_provider_talkpilot.bigquery.policy_tags import checked_tags
        from airflow_provider_talkpilot.bigquery.reconcile import ErasureLimit

        tags = checked_tags(self.policy_tags or {})
        if tags and "extra" not in tags:
            self.log.warning(
                "policy_tags does not name extra. That column keeps values that do not fit their "
                "own columns, even columns with a tag: give extra a tag too."
            )
        days = self.recordings_keep_days
        return LoadOptions(
            location=self.location,
            policy_tags=tags,
            erasure_limit=ErasureLimit(
                self.max_erased_share, self.max_erased, self.confirm_erasure
            ),
            maximum_bytes_billed=self.maximum_bytes_billed,
            deferrable=self.deferrable,
            resumed_job=resumed_job,
            recordings=parse_uri(self.recordings_uri) if self.recordings_uri else None,
            keep_recordings=timedelta(days=days) if days else None,
        )

    def _defer(self, job_id: str, project: str, location: str | None) -> NoReturn:
        from airflow_provider_talkpilot.triggers.bigquery import TalkPilotLoadJobTrigger

        self.log.info("The job %s takes long: the worker is free until it is done.", job_id)
        trigger = TalkPilotLoadJobTrigger(
            conn_id=self.gcp_conn_id,
            job_id=job_id,
            project_id=project,
            location=location,
            poll_interval=POLL_SECONDS,
            impersonation_chain=self.impersonation_chain,
        )
        self.defer(trigger=trigger, method_name="execute_complete")


class TalkPilotCreateViewsOperator(TalkPilotBigQueryOperator):
    """
    Create views beside the table: live calls, their messages, daily figures, their quality.

    ``calls_quality`` joins calls and performance records. While there is no table of records, its
    columns of them are null: run this again when there is one.

    It can run any number of times: an existing view gets today's definition and descriptions. It
    changes nothing that it did not create. The table must exist: run it after a load.

    :param table: the target table, ``project.dataset.table``. (templated)
    :param views: which of ``calls_live``, ``call_messages``, ``calls_daily`` and
        ``calls_quality`` to create; by default all. (templated)
    :param prefix: text before the names of the views; needed if one dataset has two target tables.
        (templated)
    :return: full names of the views, by their names without prefix.
    """

    table = Argument(read_table)
    views = Argument(read_list, default=None)
    prefix = Argument(read_text, default="")
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        table: str,
        views: Sequence[str] | str | None = None,
        prefix: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.views = views
        self.prefix = prefix

    def execute(self, context: Context) -> dict[str, str]:
        """Create or update the views."""
        from airflow_provider_talkpilot.bigquery.views import VIEWS, create_views

        with airflow_errors(), self.warehouse() as client:
            return create_views(
                client,
                TableId.parse(self.table),
                self.views or tuple(VIEWS),
                prefix=self.prefix,
                location=self.location,
            )
