"""Airflow finds the provider's connection type, with its hook and its form."""

from __future__ import annotations

import pytest

from airflow_provider_talkpilot.hooks.connection import conn_fields
from tests.system.running import Airflow


@pytest.mark.slow
def test_the_connection_type_has_a_hook_and_a_form(airflow: Airflow) -> None:
    hooks = airflow.json("providers", "hooks")
    [hook] = [row for row in hooks if row["connection_type"] == "talkpilot"]
    assert hook["class"] == "airflow_provider_talkpilot.hooks.talkpilot.TalkPilotHook"
    assert "talkpilot_conn_id" in hook.values()
    assert str(hook["hook_name"]) == "TalkPilot"

    found = {
        row["connection_parameter_name"]: row["field_type"]
        for row in airflow.json("providers", "widgets")
        if row["package_name"] == "airflow-provider-talkpilot"
    }
    assert set(found) == {f"extra__talkpilot__{name}" for name in conn_fields()}
    whole = str(found["extra__talkpilot__tries"])
    assert whole != str(found["extra__talkpilot__quota_share"])
    assert "integer" in whole.lower()
