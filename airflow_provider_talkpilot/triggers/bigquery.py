"""Trigger that waits for a BigQuery job while the worker is free."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.google.cloud.hooks.bigquery import BigQueryAsyncHook
from airflow.providers.google.cloud.triggers.bigquery import BigQueryInsertJobTrigger
from airflow.triggers.base import TriggerEvent


class TalkPilotLoadJobTrigger(BigQueryInsertJobTrigger):
    """Google's trigger, which also cancels the job when a user stops the task.

    Two things differ. The event names the job, however it ended: the task looks at the job itself.
    And why a job failed is neither logged nor stored, because the message can quote a record.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class and its arguments, for the triggerer to make it again."""
        return f"{__name__}.{type(self).__qualname__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until the job is done, or until the trigger cannot look at it."""
        async for _ in super().run():
            yield TriggerEvent({"job_id": self.job_id})

    def _get_async_hook(self) -> BigQueryAsyncHook:
        return _QuietHook(gcp_conn_id=self.conn_id, impersonation_chain=self.impersonation_chain)


class _QuietHook(BigQueryAsyncHook):
    async def get_job_status(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        found = await super().get_job_status(*args, **kwargs)
        return {"status": found["status"], "message": "The task looks at the job."}
