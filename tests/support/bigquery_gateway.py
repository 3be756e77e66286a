"""Stands between Google's client and the emulator, whose jobs are done at once and never lose.

It lets jobs run for long, fail, and be cancelled, as Google's do. Everything else passes through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx

_HOP_BY_HOP = {"host", "connection", "content-length", "content-encoding", "transfer-encoding"}


class Gateway:
    """What the gateway does to jobs, and what it saw.

    :param running: jobs whose ids start so are shown as running.
    :param errors: of the next jobs that start so: one ``(reason, message)`` each.
    :param submitted: ids of the jobs that were submitted, in order.
    :param looked_at: ids of the jobs that were looked at while they ran.
    :param cancelled: ids of the jobs that a client cancelled.
    :param hidden: jobs that start so run, and a client hears that another one has submitted them.
    :param hidden_for: so many looks at such a job do not find it.
    :param table_type: what every table is said to be; empty for what the emulator says.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream, self.url = upstream, ""
        self.running, self.failing = "-", "-"
        self.errors: list[tuple[str, str]] = []
        self.submitted: list[str] = []
        self.looked_at: list[str] = []
        self.cancelled: list[str] = []
        self.hidden, self.hidden_for = "-", 0
        self.table_type = ""
        self._configurations: dict[str, Any] = {}
        self._failed: dict[str, tuple[str, str]] = {}

    @property
    def limits(self) -> set[int]:
        """The most bytes that the queries may read; those that create a table read none."""
        queries = [each["query"] for each in self._configurations.values() if "query" in each]
        reading = [query for query in queries if "CREATE TABLE" not in query["query"]]
        return {int(query.get("maximumBytesBilled", 0)) for query in reading}

    def fail(self, jobs: str, *errors: tuple[str, str]) -> None:
        """Let the next jobs whose ids start so fail, with one reason and message each."""
        self.failing, self.errors = jobs, list(errors)

    def end(self, job_id: str, reason: str, message: str) -> None:
        """Let a job that runs end with an error."""
        self._failed[job_id] = reason, message

    def hide(self, path: str, content: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """What a client hears instead of a job that it cannot see yet."""
        if path.endswith("/jobs"):
            job_id = content.get("jobReference", {}).get("jobId", "")
            status, reason = 409, "duplicate"
        else:
            job_id, status, reason = path.rpartition("/")[2], 404, "notFound"
        if not job_id.startswith(self.hidden) or (status == 404 and not self.hidden_for):
            return None
        if status == 404 and job_id in self.submitted:
            self.hidden_for -= 1
        message = f"{status} {job_id}"
        errors = [{"reason": reason, "message": message}]
        return status, {"error": {"code": status, "message": message, "errors": errors}}

    def respond(self, path: str, request: bytes, found: dict[str, Any]) -> dict[str, Any]:
        """Change what the emulator says of a job."""
        if "job" in found:
            return {**found, "job": self.respond(path, request, found["job"])}
        if self.table_type and found.get("kind") == "bigquery#table":
            return {**found, "type": self.table_type}
        job_id = found.get("jobReference", {}).get("jobId", "")
        if "status" in found and found.get("kind") == "bigquery#job" and path.endswith("/jobs"):
            self.submitted.append(job_id)
            if not path.startswith("/upload"):
                self._configurations[job_id] = json.loads(request)["configuration"]
            if job_id.startswith(self.failing) and self.errors:
                self._failed[job_id] = self.errors.pop(0)
        if job_id in self._configurations and "configuration" in found:
            found["configuration"] |= self._configurations[job_id]  # the emulator keeps no labels
        is_look = "/queries/" in path
        if job_id in self._failed and not is_look:
            reason, message = self._failed[job_id]
            error = {"reason": reason, "message": message, "location": "query"}
            return {**found, "status": {"state": "DONE", "errorResult": error, "errors": [error]}}
        if job_id.startswith(self.running):
            if not path.endswith("/jobs"):
                self.looked_at.append(job_id)
            if is_look:
                return {"jobComplete": False, "jobReference": found["jobReference"]}
            return {**found, "status": {"state": "RUNNING"}}
        return found


@contextmanager
def gateway_to(upstream: str) -> Iterator[Gateway]:
    """Run a gateway to an emulator.

    :param upstream: the emulator's address.
    """
    gateway = Gateway(upstream)
    client = httpx.Client(timeout=60, trust_env=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            path = urlsplit(self.path).path
            if path.endswith("/cancel"):
                gateway.cancelled.append(path.split("/")[-2])
            response = client.request(
                self.command, gateway.upstream + self.path, content=body, headers=headers
            )
            content, status = response.content, response.status_code
            if "json" in response.headers.get("Content-Type", "") and content:
                found = gateway.respond(path, body, response.json())
                status, found = gateway.hide(path, found) or (status, found)
                content = json.dumps(found).encode()
            self.send_response(status)
            for name, value in response.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value.replace(gateway.upstream, gateway.url))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        client.close()
