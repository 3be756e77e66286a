"""The quota of one key: when the next request may leave, and what other processes spent."""

from airflow_provider_talkpilot.api.quota.governor import Permit
from airflow_provider_talkpilot.api.quota.ledger import Ledger, LedgerEntry
from airflow_provider_talkpilot.api.quota.quota import Clock, Quota

__all__ = ["Clock", "Ledger", "LedgerEntry", "Permit", "Quota"]
