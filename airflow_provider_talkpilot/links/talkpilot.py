"""Link from a task's page to TalkPilot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_talkpilot.compat import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import BaseOperator, TaskInstanceKey

DASHBOARD_KEY = "dashboard_url"


class DashboardLink(BaseOperatorLink):
    """TalkPilot's dashboard, where the connection says its address."""

    name = "TalkPilot dashboard"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give the address in the task's summary, or nothing where there is none."""
        summary = XCom.get_value(key="summary", ti_key=ti_key)
        return str(summary.get(DASHBOARD_KEY) or "") if isinstance(summary, Mapping) else ""
