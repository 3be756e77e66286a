"""The description that Airflow reads of a provider (entry point ``apache_airflow_provider``)."""

from __future__ import annotations

from typing import Any

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.hooks.connection import FIELD_BEHAVIOUR, conn_fields

_PACKAGE = "airflow_provider_talkpilot"
_INTEGRATION = "TalkPilot"
_ASSET_URIS = {
    "schemes": ["talkpilot"],
    "handler": None,
    "to_openlineage_converter": f"{_PACKAGE}.lineage.openlineage.convert_asset_to_openlineage",
}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider; see Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-talkpilot",
        "name": "TalkPilot",
        "description": "Keeps a BigQuery table equal to TalkPilot's call records.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.talkpilot.io",
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks.talkpilot")],
        "operators": [
            _modules(
                "operators.calls",
                "operators.performance",
                "operators.bigquery",
                "operators.resync",
                "operators.clean",
            )
        ],
        "sensors": [_modules("sensors.calls")],
        "triggers": [_modules("triggers.bigquery", "triggers.calls")],
        "extra-links": [
            f"{_PACKAGE}.links.talkpilot.{link}"
            for link in ("BigQueryTableLink", "BigQueryJobLink", "StagingLink", "DashboardLink")
        ],
        "plugins": [
            {
                "name": "talkpilot",
                "plugin-class": f"{_PACKAGE}.plugins.talkpilot.TalkPilotPlugin",
            }
        ],
        "cli": [f"{_PACKAGE}.cli.get_commands"],  # Airflow 3.2 and newer
        "asset-uris": [_ASSET_URIS],
        "dataset-uris": [_ASSET_URIS],  # what Airflow 2 calls them
        "connection-types": [
            {
                "connection-type": "talkpilot",
                "hook-class-name": f"{_PACKAGE}.hooks.talkpilot.TalkPilotHook",
                "hook-name": "TalkPilot",
                "ui-field-behaviour": FIELD_BEHAVIOUR,
                "conn-fields": conn_fields(),
            }
        ],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {
        "integration-name": _INTEGRATION,
        "python-modules": [f"{_PACKAGE}.{name}" for name in names],
    }
