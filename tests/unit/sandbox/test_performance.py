"""Performance records: one a call, newest first, as consistent as the vendor's are."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_talkpilot.sandbox.calls.performance import RED_FLAGS

FIELDS = {
    "id", "call_id", "caller_phone", "agent_phone_number", "agent_id", "duration_seconds",
    "disconnect_reason", "session_status", "llm_total_tokens", "llm_prompt_tokens",
    "llm_completion_tokens", "pre_call_variables", "extracted_variables", "llm_provider",
    "llm_model", "tts_provider", "stt", "pipeline_mode", "created_at", "final_result",
    "prompt_fingerprint", *RED_FLAGS,
}  # fmt: skip
FIELDS |= {
    f"{name}_latency_{what}"
    for name in ("e2e", "transcription", "llm", "tts")
    for what in ("p90", "median", "min")
}

# The call's fields, by the record's names.
SHARED = {
    "call_id": "call_id",
    "agent_id": "agent_id",
    "created_at": "created_at",
    "duration_seconds": "duration",
    "disconnect_reason": "disconnection_reason",
}


def test_one_record_a_call_with_its_data(api: Any) -> None:
    truth = api.truth()
    found = api.records()
    assert len(found) == len(truth) == 60
    assert all(record.keys() == FIELDS for record in found)
    assert not {record["id"] for record in found} & {row["id"] for row in truth}
    for record, call in zip(found, reversed(truth), strict=True):
        assert [record[name] for name in SHARED] == [call[name] for name in SHARED.values()]
        assert record["e2e_latency_min"] < record["e2e_latency_median"] < record["e2e_latency_p90"]
        if call["final_score"] is None:
            assert record["final_result"] is None
            assert all(record[flag] is None for flag in RED_FLAGS)
        else:
            assert record["final_result"]["final_score"] == call["final_score"]
            assert all(record[flag].keys() == {"detected", "reasoning", "score_impact"}
                       for flag in RED_FLAGS)  # fmt: skip
    labels = {record["final_result"]["outcome_label"] for record in found if record["final_result"]}
    assert labels == {"success", "failed", "neutral"}
    assert api.sandbox.counters["performance"] == 3


def test_a_single_record_has_the_transcript(api: Any) -> None:
    call = next(row for row in api.truth() if row["transcript"] and len(row["transcript"]) > 400)
    record = next(one for one in api.records() if one["call_id"] == call["call_id"])
    path = f"/agents/{api.agent}/performance"
    body = api.get(f"{path}/{record['id']}").json()
    assert {name: body[name] for name in record} == record
    roles = {entry["role"] for entry in body["transcript"]}
    assert roles == {"user", "assistant", "tool_call_invocation", "tool_call_result"}
    times = [entry["time_sec"] for entry in body["transcript"]]
    assert times == sorted(times)
    assert api.get(f"{path}/{call['id']}").status_code == 404
    assert api.get(f"{path}/nope").status_code == 400
    other = api.sandbox.store.agent_ids[1]
    assert api.get(f"/agents/{other}/performance/{record['id']}").status_code == 404


def test_what_happens_to_a_call_happens_to_its_record(api: Any) -> None:
    call = next(row for row in api.truth() if row["phone_number"] and row["final_score"] is None)

    def record() -> Any:
        return next((one for one in api.records() if one["call_id"] == call["call_id"]), None)

    before = record()
    assert before["caller_phone"] == call["phone_number"]
    assert before["extracted_variables"]["name"] == call["customer_name"]
    api.sandbox.store.score(call["id"], 6.5)
    scored = record()
    assert scored["final_result"]["final_score"] == 6.5
    different = {name for name in scored if scored[name] != before[name]}
    assert different == {"final_result", *RED_FLAGS}
    api.sandbox.store.purge(call["id"])
    assert (record()["caller_phone"], record()["extracted_variables"]) == (None, {})
    api.sandbox.settings.purge_reaches_performance = False
    api.sandbox.store.soft_delete(call["id"])
    assert record() == scored
    api.sandbox.store.empty_trash()
    assert record() is None


@pytest.mark.parametrize(
    ("settings", "rights", "status", "code"),
    [
        ({}, {"permissions": ["agents:read", "calls:read"]}, 403, "FORBIDDEN"),
        ({}, {"allowed_agent_ids": []}, 403, "AGENT_NOT_ACCESSIBLE"),
        ({"era": "spring"}, {}, 404, "NOT_FOUND"),
    ],
)
def test_keys_that_may_not_read_them(
    api: Any, settings: dict[str, Any], rights: dict[str, Any], status: int, code: str
) -> None:
    api.sandbox.settings.patch(**settings)
    key = api.sandbox.add_key("other", **rights)
    response = api.get(f"/agents/{api.agent}/performance", key=key)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
