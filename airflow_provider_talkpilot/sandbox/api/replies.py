"""Responses, sent whole or cut in the middle."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from starlette.types import Send

from airflow_provider_talkpilot.sandbox.calls.json_text import to_json

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"

_CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    429: "RATE_LIMITED",
}


@dataclass
class Reply:
    """One response.

    :param body: the bytes.
    :param status: HTTP status.
    :param content_type: media type.
    :param headers: further headers.
    :param cut: send half of the body, then close the connection.
    """

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    async def send(self, send: Send) -> None:
        """Send it over ASGI."""
        headers = [
            (b"content-type", self.content_type.encode("latin-1")),
            (b"content-length", str(len(self.body)).encode()),
        ]
        for name, value in self.headers.items():
            headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        body = self.body[: len(self.body) // 2] if self.cut else self.body
        # After a body with more to come, returning makes the server close the connection.
        await send({"type": "http.response.body", "body": body, "more_body": self.cut})


def error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    details: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    """Create an error envelope.

    :param status: HTTP status.
    :param message: for people.
    :param code: the envelope's code; None takes the usual one of the status.
    :param details: the wrong fields.
    :param headers: further headers.
    """
    content = {
        "code": code or _CODES.get(status, "INTERNAL_ERROR"),
        "message": message,
        "details": details or [],
        "request_id": f"req_{secrets.token_hex(12)}",
    }
    return Reply(to_json({"error": content}), status, headers=headers or {})


def rate_limited(retry_after: int | None) -> Reply:
    """Create a 429.

    :param retry_after: seconds; None sends no ``Retry-After``.
    """
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return error(429, "Rate limit exceeded", headers=headers)
