"""Sensors that defer and that reschedule, on calls that staff have not dealt with yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_talkpilot.sensors.calls import TalkPilotCallsDoneSensor

with DAG(
    "talkpilot_calls_done",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=None,
    # On a busy machine Airflow can lose the end of a try, and then tries again.
    default_args={"poke_interval": 1, "timeout": 3600, "retries": 3, "retry_delay": timedelta(0)},
):
    TalkPilotCallsDoneSensor(
        task_id="deferred", talkpilot_conn_id="talkpilot_deferred", deferrable=True
    )
    # If it rescheduled the task every second, Airflow could take an end for a failure.
    TalkPilotCallsDoneSensor(
        task_id="rescheduled",
        talkpilot_conn_id="talkpilot_rescheduled",
        mode="reschedule",
        poke_interval=15,
    )
