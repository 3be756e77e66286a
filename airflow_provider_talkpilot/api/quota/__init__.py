"""The quota of one key: when the next request may leave, and what other processes spent."""

from airflow_provider_talkpilot.api.quota.ledger import Ledger, LedgerEntry
from airflow_provider_talkpilot.api.quota.quota import Clock, Quota
from airflow_provider_talkpilot.api.quota.traffic import Permit

__all__ = ["Clock", "Ledger", "LedgerEntry", "Permit", "Quota"]
