"""A local TalkPilot and a local BigQuery: for trying the provider out and for DAG tests.

Needs the extra ``sandbox`` (``pip install 'airflow-provider-talkpilot[sandbox]'``). Nothing here
imports Airflow, and importing this package alone imports nothing heavy: the names below are
loaded when they are first used.

>>> from airflow_provider_talkpilot.sandbox import Sandbox
>>> with Sandbox(days=2, calls_per_day=50) as sandbox:
...     print(sandbox.base_url, sandbox.api_key)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_talkpilot.sandbox.bigquery import BigQueryEmulator
    from airflow_provider_talkpilot.sandbox.server import Sandbox
    from airflow_provider_talkpilot.sandbox.settings import ApiKey, SandboxSettings
    from airflow_provider_talkpilot.sandbox.storage import StorageEmulator

__all__ = ["ApiKey", "BigQueryEmulator", "Sandbox", "SandboxSettings", "StorageEmulator"]

_HOMES = {
    "ApiKey": "settings",
    "BigQueryEmulator": "bigquery",
    "Sandbox": "server",
    "SandboxSettings": "settings",
    "StorageEmulator": "storage",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
