"""The operator that brings TalkPilot's performance records to staging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.operators.arguments import Argument, one_of
from airflow_provider_talkpilot.operators.requests import TalkPilotFollowingOperator
from airflow_provider_talkpilot.staging.extract.extraction import extract_performance
from airflow_provider_talkpilot.staging.extract.walker import ExtractPlan
from airflow_provider_talkpilot.staging.manifests import WalksManifest

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context

MODES = ("auto", "required", "off")


class TalkPilotExtractPerformanceOperator(TalkPilotFollowingOperator):
    """
    Stage the performance records of the interval and agents that an extract task walked.

    Costs one request per 100 records and agent. A record has the score of its call, so that no
    detail is requested for a score. Of a selection no records are read.

    :param manifest_uri: of the extract task: ``extract.output``. (templated)
    :param performance: ``auto`` goes on without records where the key lacks the permission
        ``performance:read``, or the API has none: one request finds that out, and the log says it;
        ``required`` fails then; ``off`` sends no request. (templated)
    :return: the manifest's URI, of a manifest without agents where no records were read; and as
        XCom ``summary`` ``kind``, ``scope``, ``interval``, ``manifest``, ``connection_id``,
        ``agents``, ``records``, ``rejected``, ``requests``, ``drift`` (values that did not fit, by
        column), and the connection's ``requests_per_hour`` and ``dashboard_url``, if it has them.
    """

    template_fields: Sequence[str] = ("performance", *TalkPilotFollowingOperator.template_fields)
    performance = Argument(one_of(MODES))

    def __init__(self, *, performance: str = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.performance = performance

    def _spend(self, client: TalkPilotClient, context: Context) -> str:
        path = self._calls_path
        calls = WalksManifest.load(path)
        mode = self.performance
        choices = self._read_choices(calls)
        agents = [each.agent_id for each in calls.agents]
        if mode == "off" or calls.selection:
            agents = []
            why = "they are turned off" if mode == "off" else "a selection has none of its own"
            self.log.info("No performance records are read: %s.", why)
        self._begin(context, "performance", path.parent, calls.interval)
        if agents:
            self._check_target(calls.interval, choices.recorded)
        plan = ExtractPlan(
            interval=calls.interval,
            agent_ids=agents,
            max_rejects=self.max_rejects,
            choices=choices,
        )
        manifest, path = extract_performance(client, path.parent, plan, required=mode == "required")
        self._count("performance", manifest.rows)
        return self._finish(
            context, client, manifest, path, agents=len(manifest.agents), records=manifest.rows
        )
