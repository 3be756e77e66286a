"""Which past days a re-sync reads again, and what it remembers of earlier ones; without Airflow."""

from airflow_provider_talkpilot.resync.choice import Chosen, choose_intervals
from airflow_provider_talkpilot.resync.look_backs import LookBacks, resync_end
from airflow_provider_talkpilot.resync.retention import DEFAULT_DAYS, retentions
from airflow_provider_talkpilot.resync.state import ResyncState

__all__ = [
    "DEFAULT_DAYS",
    "Chosen",
    "LookBacks",
    "ResyncState",
    "choose_intervals",
    "resync_end",
    "retentions",
]
