"""Airflow finds the provider and its connection type."""

from __future__ import annotations

from airflow_provider_talkpilot.hooks.connection_form import EXTRAS
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.system.running import Airflow

PACKAGE = "airflow-provider-talkpilot"
HOOK = "airflow_provider_talkpilot.hooks.talkpilot.TalkPilotHook"


def test_the_provider_is_listed(airflow: Airflow) -> None:
    listed = {row["package_name"]: row for row in airflow.json("providers", "list")}
    assert "BigQuery" in listed[PACKAGE]["description"]
    assert "apache-airflow-providers-google" in listed


def test_the_provider_describes_itself(airflow: Airflow) -> None:
    text = airflow.run("providers", "get", PACKAGE, "--full", "--output", "yaml")
    names = ["operators.calls", "operators.bigquery", "sensors.calls", "triggers.calls"]
    for name in ("connection-type: talkpilot", HOOK, "API key", *names):
        assert name in text


def test_the_form_is_customised(airflow: Airflow) -> None:
    listed = airflow.json("providers", "behaviours")
    assert "talkpilot" in [row["field_behaviours"] for row in listed]


def test_the_form_has_the_options(airflow: Airflow) -> None:
    found = {
        row["connection_parameter_name"]: row["field_type"]
        for row in airflow.json("providers", "widgets")
        if row["package_name"] == PACKAGE
    }
    assert set(found) == {f"extra__talkpilot__{name}" for name in EXTRAS}
    whole = str(found["extra__talkpilot__tries"])
    assert whole != str(found["extra__talkpilot__quota_share"])
    assert "integer" in whole.lower()


def test_the_triggers_are_listed(airflow: Airflow) -> None:
    found = {
        row["class"]
        for row in airflow.json("providers", "triggers")
        if row["package_name"] == PACKAGE
    }
    assert found == {
        "airflow_provider_talkpilot.triggers.calls",
        "airflow_provider_talkpilot.triggers.quota",
    }


def test_a_connection_is_tested(airflow: Airflow) -> None:
    """What the form's button does, from the command line."""
    with Sandbox(days=1, calls_per_day=2) as sandbox:
        said = airflow.run(
            "connections",
            "test",
            "talkpilot_default",
            settings={**sandbox.environment, "AIRFLOW__CORE__TEST_CONNECTION": "Enabled"},
        )
        assert sandbox.api_key not in said
        assert sandbox.counters["agents"] == 1
    assert "Connection success!" in said


def test_the_connection_type_has_a_hook(airflow: Airflow) -> None:
    [hook] = [
        row for row in airflow.json("providers", "hooks") if row["connection_type"] == "talkpilot"
    ]
    assert hook["class"] == HOOK
    assert hook["conn_attr_name" if "conn_attr_name" in hook else "conn_id_attribute_name"] == (
        "talkpilot_conn_id"
    )
    assert str(hook["hook_name"]) == "TalkPilot"
