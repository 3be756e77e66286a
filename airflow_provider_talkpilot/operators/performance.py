"""The operator that stages TalkPilot's performance records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.operators.arguments import Argument, one_of
from airflow_provider_talkpilot.operators.staging import TalkPilotStagedCallsOperator
from airflow_provider_talkpilot.staging.extract.extraction import extract_performance
from airflow_provider_talkpilot.staging.extract.walker import ExtractOptions
from airflow_provider_talkpilot.staging.manifests import ListManifest
from airflow_provider_talkpilot.staging.names import scope_of
from airflow_provider_talkpilot.staging.rows.choices import ColumnChoices

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import ObjectStoragePath

MODES = ("auto", "required", "off")


class TalkPilotExtractPerformanceOperator(TalkPilotStagedCallsOperator):
    """
    Stage the performance records of the interval and agents that an extract task walked.

    It costs one request per 100 records and agent. A record has the score of its call, so no detail
    is requested for a score. No records are read for a selection of calls.

    :param performance: whether records are read. ``auto`` continues without records if the key
        lacks the permission ``performance:read`` or the API has none; one request or two find that
        out, and the log says so. ``required`` fails then. ``off`` sends no request. (templated)
    :return: the manifest's URI; if no records were read, the manifest has no agents. Figures in the
        XCom ``summary``: ``agents``, ``records``, ``rejected``, ``requests``, ``drift`` (values
        that did not fit, by column).
    """

    performance = Argument(one_of(MODES), default="auto")

    def __init__(self, *, performance: str = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.performance = performance

    def _stage(
        self,
        client: TalkPilotClient,
        path: ObjectStoragePath,
        calls: ListManifest,
        choices: ColumnChoices,
    ) -> str:
        agents = [walk.agent_id for walk in calls.agents]
        if self.performance == "off" or calls.selection:
            agents = []
            is_off = self.performance == "off"
            why = "they are turned off" if is_off else "a selection has none of its own"
            self.log.info("No performance records are read: %s.", why)
        self._summary.push(kind="performance", scope=scope_of(path.parent), interval=calls.interval)
        if agents:
            self._check_target(calls.interval, choices.recorded)
        options = ExtractOptions(
            interval=calls.interval,
            agent_ids=agents,
            max_rejects=self.max_rejects,
            choices=choices,
        )
        is_required = self.performance == "required"
        manifest, path = extract_performance(client, path.parent, options, required=is_required)
        self._count("performance", manifest.rows)
        return self._finish(
            client, manifest, path, agents=len(manifest.agents), records=manifest.rows
        )
