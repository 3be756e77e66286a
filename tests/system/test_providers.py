"""Airflow finds the provider and its connection type."""

from __future__ import annotations

from tests.system.running import Airflow

PACKAGE = "airflow-provider-talkpilot"
HOOK = "airflow_provider_talkpilot.hooks.talkpilot.TalkPilotHook"


def test_the_provider_is_listed(airflow: Airflow) -> None:
    listed = {row["package_name"]: row for row in airflow.json("providers", "list")}
    assert "BigQuery" in listed[PACKAGE]["description"]
    assert "apache-airflow-providers-google" in listed


def test_the_provider_describes_itself(airflow: Airflow) -> None:
    text = airflow.run("providers", "get", PACKAGE, "--full", "--output", "yaml")
    for name in ("connection-type: talkpilot", HOOK, "operators.calls", "operators.bigquery"):
        assert name in text


def test_the_connection_type_has_a_hook(airflow: Airflow) -> None:
    [hook] = [
        row for row in airflow.json("providers", "hooks") if row["connection_type"] == "talkpilot"
    ]
    assert hook["class"] == HOOK
    assert hook["conn_attr_name" if "conn_attr_name" in hook else "conn_id_attribute_name"] == (
        "talkpilot_conn_id"
    )
    assert str(hook["hook_name"]) == "TalkPilot"
