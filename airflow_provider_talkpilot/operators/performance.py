"""The operator that brings TalkPilot's performance records to staging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.operators.arguments import (
    check_argument,
    check_unless_template,
    is_given,
    read_choice,
    read_columns,
    read_manifest,
)
from airflow_provider_talkpilot.operators.base import push_summary
from airflow_provider_talkpilot.operators.calls import TalkPilotStagingOperator
from airflow_provider_talkpilot.staging.choices import choices_of, require_same_choices
from airflow_provider_talkpilot.staging.extract.extraction import extract_performance
from airflow_provider_talkpilot.staging.extract.walker import ExtractPlan
from airflow_provider_talkpilot.staging.manifests import CallsManifest
from airflow_provider_talkpilot.staging.names import root_of, scope_of
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath, XComArg

MODES = ("auto", "required", "off")


class TalkPilotExtractPerformanceOperator(TalkPilotStagingOperator):
    """
    Stage the performance records of the interval and agents that an extract task walked.

    Costs one request per 100 records and agent. A record has the score of its call, so that no
    detail is requested for a score. Of a selection no records are read.

    :param manifest_uri: of the extract task: ``extract.output``. (templated)
    :param performance: ``auto`` goes on without records where the key lacks the permission
        ``performance:read``, or the API has none: one request finds that out, and the log says it;
        ``required`` fails then; ``off`` sends no request. (templated)
    :param max_rejects: records that may fail validation before the task fails.
    :param columns: nothing, for the choices that the calls were staged with; others are an error.
        (templated)
    :return: the manifest's URI, of a manifest without agents where no records were read; and as
        XCom ``summary`` ``kind``, ``scope``, ``interval``, ``manifest``, ``connection_id``,
        ``agents``, ``records``, ``rejected``, ``requests``, ``drift`` (values that did not fit, by
        column), and the connection's ``requests_per_hour`` and ``dashboard_url``, if it has them.
    """

    template_fields: Sequence[str] = (
        *("manifest_uri", "performance"),
        *TalkPilotStagingOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"columns": "json"}

    def __init__(
        self,
        *,
        manifest_uri: str | XComArg,
        performance: str = "auto",
        max_rejects: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_unless_template(read_manifest, manifest_uri)
        check_unless_template(read_choice, "performance", MODES, performance)
        check_argument("max_rejects", max_rejects, int, ge=0)
        self.manifest_uri = manifest_uri
        self.performance = performance
        self.max_rejects = max_rejects

    def _staging_root(self) -> ObjectStoragePath:
        return root_of(parse_uri(read_manifest(self.manifest_uri)).parent)

    def _spend(self, client: TalkPilotClient, context: Context) -> str:
        path = parse_uri(read_manifest(self.manifest_uri))
        calls = CallsManifest.load(path)
        mode = read_choice("performance", MODES, self.performance)
        columns = self.columns if is_given(self.columns) else choices_of(calls.columns)
        choices = read_columns(columns, self.hash_conn_id)
        require_same_choices(choices, calls.columns)
        agents = [each.agent_id for each in calls.agents]
        if mode == "off" or calls.selection:
            agents = []
            why = "they are turned off" if mode == "off" else "a selection has none of its own"
            self.log.info("No performance records are read: %s.", why)
        about: dict[str, Any] = {
            "scope": scope_of(path.parent),
            "interval": calls.interval,
            **self._connection_figures,
        }
        push_summary(context, "performance", **about)
        if agents:
            self._check_target(calls.interval, choices.recorded)
        plan = ExtractPlan(
            interval=calls.interval,
            agent_ids=agents,
            compress=self.compress,
            max_rejects=self.max_rejects,
            choices=choices,
        )
        manifest, path = extract_performance(client, path.parent, plan, required=mode == "required")
        self._report_walks(client, manifest, path, "performance record(s)")
        push_summary(
            context,
            "performance",
            **about,
            manifest=path,
            requests=manifest.requests,
            agents=len(manifest.agents),
            records=manifest.rows,
            rejected=manifest.rejected,
            drift=manifest.drift,
        )
        return str(path)
