"""A local TalkPilot, BigQuery and Cloud Storage, to try the provider out and to test DAGs.

It needs the extra ``sandbox`` (``pip install 'airflow-provider-talkpilot[sandbox]'``), and imports
nothing of Airflow. This package alone imports nothing heavy: it loads the names below at their
first use.

``server.py`` runs the sandbox, ``settings.py`` has its settings. ``api/`` serves requests,
``calls/`` makes and changes the data, ``emulators/`` starts the Google services.

>>> from airflow_provider_talkpilot.sandbox import Sandbox
>>> with Sandbox(days=2, calls_per_day=50) as sandbox:
...     print(sandbox.base_url, sandbox.api_key)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_talkpilot.sandbox.emulators.bigquery import BigQueryEmulator
    from airflow_provider_talkpilot.sandbox.emulators.storage import StorageEmulator
    from airflow_provider_talkpilot.sandbox.server import Sandbox
    from airflow_provider_talkpilot.sandbox.settings import ApiKey, SandboxSettings

__all__ = ["ApiKey", "BigQueryEmulator", "Sandbox", "SandboxSettings", "StorageEmulator"]

_HOMES = {
    "ApiKey": "settings",
    "BigQueryEmulator": "emulators.bigquery",
    "Sandbox": "server",
    "SandboxSettings": "settings",
    "StorageEmulator": "emulators.storage",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
