"""Made-up performance records: the quality check's figures of a call, one record a call."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from airflow_provider_talkpilot.sandbox.calls.data import Row
from airflow_provider_talkpilot.sandbox.calls.transcripts import TranscriptStyle

RED_FLAGS = (
    "assistant_misunderstood_multiple_times",
    "repeated_same_sentence",
    "abrupt_end_without_goodbye",
    "connection_issue_repeated",
    "assistant_policy_violation",
    "technical_error",
    "early_hangup_by_caller",
)
_LATENCIES = ("e2e", "transcription", "llm", "tts")
_SUCCESS, _FAILURE = 6, 4
_STYLE = TranscriptStyle("assistant", has_times=True, has_tools=True)
_TOOL_HOUR = 10


def performance_record(
    record_id: str,
    call: Row,
    made: Row,
    agent: Row,
    *,
    forgets_purged: bool,
    score_shift: float | None = 0.0,
) -> Row:
    """Make the record of a call, as the list shows it.

    :param record_id: the record's own ``id``.
    :param call: the call's detail as it is now.
    :param made: its list fields before any change.
    :param agent: the call's agent.
    :param forgets_purged: whether a purge of the call takes the caller's data out of the record.
    :param score_shift: how much higher the record's score is than the call's; None for no score.
    """
    rng = random.Random(f"performance {record_id}")
    is_forgotten = call["is_purged"] and forgets_purged
    tokens = rng.randrange(900, 6000), rng.randrange(80, 700)
    record: Row = {
        "id": record_id,
        "call_id": made["call_id"] if call["call_id"] is None else call["call_id"],
        "caller_phone": None if is_forgotten else made["phone_number"],
        "agent_phone_number": agent["phone_number"],
        "agent_id": agent["id"],
        "duration_seconds": call["duration"],
        "disconnect_reason": call["disconnection_reason"],
        "session_status": "completed",
    }
    for name in _LATENCIES:
        fastest = rng.uniform(0.1, 0.6)
        median = fastest * rng.uniform(1.2, 2.0)
        record[f"{name}_latency_p90"] = round(median * rng.uniform(1.1, 2.5), 3)
        record[f"{name}_latency_median"] = round(median, 3)
        record[f"{name}_latency_min"] = round(fastest, 3)
    record |= {
        "llm_total_tokens": sum(tokens),
        "llm_prompt_tokens": tokens[0],
        "llm_completion_tokens": tokens[1],
        "pre_call_variables": {"is_known_caller": rng.random() < 0.3},
        "extracted_variables": {}
        if is_forgotten
        else {"name": made["customer_name"], "request": made["customer_request"]},
        "llm_provider": agent["llm_provider"],
        "llm_model": agent["llm_model"],
        "tts_provider": agent["tts_provider"],
        "stt": agent["stt_provider"],
        "pipeline_mode": "cascaded",
        "created_at": call["created_at"],
        "prompt_fingerprint": hashlib.sha256(str(agent["prompt"]).encode()).hexdigest(),
    }
    score = call["final_score"]
    is_scored = score is not None and score_shift is not None
    return record | _assessment(rng, score + score_shift if is_scored else None)


def performance_transcript(text: str | None) -> list[dict[str, Any]] | None:
    """Make the transcript of a record: messages and tool calls, by ``time_sec``.

    :param text: the call's transcript.
    :returns: None for a call without a transcript that can be read.
    """
    try:
        entries = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(entries, list):
        return None
    turns = [
        ("user" if entry["role"] == "user" else "agent", entry["text"])
        for entry in entries
        if "text" in entry
    ]
    return _STYLE.messages(turns, _TOOL_HOUR)


def _assessment(rng: random.Random, score: float | None) -> Row:
    """Make ``final_result`` and the red flags; they are null until the call has its score."""
    # Chosen in any case, so that a late score leaves the rest of the record as it was.
    suspect, impact = rng.choice(RED_FLAGS), round(rng.uniform(0.5, 3.0), 1)
    if score is None:
        return {"final_result": None, **dict.fromkeys(RED_FLAGS)}
    is_success = score >= _SUCCESS
    label = "success" if is_success else "failed" if score < _FAILURE else "neutral"
    result = {
        "outcome": is_success,
        "outcome_label": label,
        "final_score": score,
        "summary_reasoning": f"The call was judged as: {label}.",
    }
    flags = {}
    for name in RED_FLAGS:
        is_detected = label == "failed" and name == suspect
        flags[name] = {
            "detected": is_detected,
            "reasoning": "Found in the transcript." if is_detected else "Not found.",
            "score_impact": impact if is_detected else 0,
        }
    return {"final_result": result, **flags}
