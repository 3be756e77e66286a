"""Sensors in every mode, on calls that staff have not dealt with yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_talkpilot.sensors.calls import TalkPilotCallsDoneSensor

with DAG(
    "talkpilot_calls_done",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    schedule=None,
    # On a busy machine Airflow can fail to record how a try ended: then another is made.
    default_args={
        "poke_interval": 1,
        "timeout": 3600,
        "retries": 3,
        "retry_delay": timedelta(0),
    },
):
    TalkPilotCallsDoneSensor(
        task_id="deferred", talkpilot_conn_id="talkpilot_deferred", deferrable=True
    )
    # Rescheduled every second, Airflow's scheduler can take an end for a failure.
    TalkPilotCallsDoneSensor(
        task_id="rescheduled",
        talkpilot_conn_id="talkpilot_rescheduled",
        mode="reschedule",
        poke_interval=15,
    )
    TalkPilotCallsDoneSensor(
        task_id="given_up",
        talkpilot_conn_id="talkpilot_given_up",
        deferrable=True,
        timeout=2,
        soft_fail=True,
    )
