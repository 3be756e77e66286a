"""A gateway between Google's client and the emulator, whose jobs end at once and never fail.

Through the gateway, jobs run for long, fail, and are cancelled, as Google's are. It changes
nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import httpx

HELD_BACK_SECONDS = 600
_HOP_BY_HOP = {"host", "connection", "content-length", "content-encoding", "transfer-encoding"}


class Gateway:
    """The changes that the gateway makes, and the ids of jobs that it has seen.

    :ivar running: the beginning of the ids of jobs that seem to run.
    :ivar hidden: the beginning of the ids of jobs that run, and seem to be another client's.
    :ivar hidden_for: how often such a job is not found.
    :ivar table_type: the type of every table; empty for the emulator's.
    :ivar collation: what tables without a collation inherit from their dataset.
    :ivar submitted: the jobs that were submitted, in order.
    :ivar looked_at: the jobs that a client looked at while they seemed to run.
    :ivar cancelled: the jobs that a client cancelled.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream, self.url = upstream, ""
        self.running, self.hidden, self.hidden_for = "-", "-", 0
        self.table_type = self.collation = ""
        self.submitted: list[str] = []
        self.looked_at: list[str] = []
        self.cancelled: list[str] = []
        self._failing, self._errors = "-", list[tuple[str, str]]()
        self._held_back, self._is_open, self._times = list[bytes](), Event(), 0
        self._configurations: dict[str, Any] = {}
        self._failed: dict[str, tuple[str, str]] = {}

    @property
    def limits(self) -> set[int]:
        """The most bytes that queries may read; a query that creates a table reads none."""
        queries = [job["query"] for job in self._configurations.values() if "query" in job]
        reading = [query for query in queries if "CREATE TABLE" not in query["query"]]
        return {int(query.get("maximumBytesBilled", 0)) for query in reading}

    def hold_back(self, *words: str, times: int = 1_000) -> None:
        """Let the next requests that have all these words wait until :meth:`open`."""
        self._held_back, self._times = [word.encode() for word in words], times

    def open(self) -> None:
        """Let the requests pass that wait."""
        self._is_open.set()

    def wait(self, body: bytes) -> None:
        """Wait if this request is held back."""
        if self._times and all(word in body for word in self._held_back):
            self._times -= 1
            self._is_open.wait(HELD_BACK_SECONDS)

    def fail(self, jobs: str, *errors: tuple[str, str]) -> None:
        """Make the next jobs whose ids begin so fail, with a reason and a message each."""
        self._failing, self._errors = jobs, list(errors)

    def end(self, job_id: str, reason: str, message: str) -> None:
        """End a job that seems to run with an error."""
        self._failed[job_id] = reason, message

    def hide(self, path: str, content: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Return the response of Google's for a job that a client cannot see yet."""
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

    def refuses(self, path: str, body: bytes) -> bool:
        """Return whether a table is to be clustered by columns with a collation."""
        table = json.loads(body) if path.endswith("/tables") and body else {}
        return "clustering" in table and table.get("defaultCollation", self.collation) != ""

    def respond(self, path: str, request: bytes, found: dict[str, Any]) -> dict[str, Any]:
        """Return the emulator's response with the changes."""
        if "job" in found:
            return {**found, "job": self.respond(path, request, found["job"])}
        if self.table_type and found.get("kind") == "bigquery#table":
            return {**found, "type": self.table_type}
        job_id = found.get("jobReference", {}).get("jobId", "")
        if "status" in found and found.get("kind") == "bigquery#job" and path.endswith("/jobs"):
            self.submitted.append(job_id)
            if not path.startswith("/upload"):
                self._configurations[job_id] = json.loads(request)["configuration"]
            if job_id.startswith(self._failing) and self._errors:
                self._failed[job_id] = self._errors.pop(0)
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
            gateway.wait(body)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            path = urlsplit(self.path).path
            if path.endswith("/cancel"):
                gateway.cancelled.append(path.split("/")[-2])
            if gateway.refuses(path, body):
                self.send_error(400, "CLUSTER BY a column with this collation isn't supported")
                return
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

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: Any) -> None:
            """Keep quiet: a client can be killed while it waits."""

    server = Server(("127.0.0.1", 0), Handler)
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        gateway.open()
        server.shutdown()
        server.server_close()
        client.close()
