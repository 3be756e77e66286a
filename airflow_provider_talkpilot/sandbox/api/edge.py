"""Responses of the edge in front of the API: they never have TalkPilot's error envelope."""

from __future__ import annotations

from typing import Any

from airflow_provider_talkpilot.sandbox.api.faults import Fault
from airflow_provider_talkpilot.sandbox.api.replies import HTML, Reply
from airflow_provider_talkpilot.sandbox.calls.json_text import to_json

_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Error</title></head>"
    b"<body><center><h1>The server is not available</h1></center></body></html>\n"
)
# The words of Supabase's gateway and of its edge functions.
_WORDS: dict[int, tuple[str | int, str]] = {
    401: (401, "Invalid JWT"),
    402: ("EXCEEDED_QUOTA", "Service restricted: egress quota exceeded"),
    503: ("BOOT_ERROR", "Function failed to start (please check logs)"),
    540: ("PROJECT_PAUSED", "Project paused"),
    546: (
        "WORKER_LIMIT",
        "Function failed due to not having enough compute resources (please check logs)",
    ),
}
_OTHER_WORDS = "Function exited due to an error (please check logs)"


def edge_reply(fault: Fault | None, path: str) -> Reply | None:
    """Return the edge's response; None if it passes the request on to the API.

    :param fault: the fault that the request meets.
    :param path: of the request.
    """
    match fault:
        case Fault(fault="status", body="envelope"):
            return None
        case Fault(fault="status", body="html"):
            return Reply(_PAGE, fault.status or 500, HTML)
        case Fault(fault="status", body="empty"):
            return Reply(b"", fault.status or 500, "text/plain")
        case Fault(fault="status"):
            return Reply(to_json(_words(fault)), fault.status or 500)
        case Fault(fault="redirect"):
            location = fault.location or f"{path}/moved"
            return Reply(b"", fault.status or 302, "text/plain", {"Location": location})
        case Fault(fault="html"):
            return Reply(_PAGE, 200, HTML)
        case Fault(fault="empty"):
            return Reply(b"", 200)
    return None


def _words(fault: Fault) -> dict[str, Any]:
    code, message = _WORDS.get(fault.status or 500, ("WORKER_ERROR", _OTHER_WORDS))
    message = fault.message or message
    if fault.body == "code":
        return {"code": fault.code or code, "message": message}
    return {fault.body: message}
