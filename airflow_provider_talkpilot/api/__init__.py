"""The TalkPilot API without Airflow: clients, quota, models, errors."""

from airflow_provider_talkpilot.api.async_client import AsyncTalkPilotClient
from airflow_provider_talkpilot.api.checks import require_uuid
from airflow_provider_talkpilot.api.client import TalkPilotClient
from airflow_provider_talkpilot.api.interval import Interval
from airflow_provider_talkpilot.api.models import Agent, Call, CallDetail, PerformanceRecord
from airflow_provider_talkpilot.api.quota import Quota
from airflow_provider_talkpilot.api.walk import CallFilters, RecordPage, Reject

__all__ = [
    "Agent",
    "AsyncTalkPilotClient",
    "Call",
    "CallDetail",
    "CallFilters",
    "Interval",
    "PerformanceRecord",
    "Quota",
    "RecordPage",
    "Reject",
    "TalkPilotClient",
    "require_uuid",
]
