"""The quota of one key: when the next request may leave, and what other processes spent."""

from airflow_provider_talkpilot.api.quota.quota import Clock, Quota
from airflow_provider_talkpilot.api.quota.traffic import Ledger, LedgerEntry, Permit

__all__ = ["Clock", "Ledger", "LedgerEntry", "Permit", "Quota"]
