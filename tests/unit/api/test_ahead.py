from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, Event, Lock, Thread
from typing import Any

import pytest

from airflow_provider_talkpilot.api import Quota, TalkPilotClient, errors
from airflow_provider_talkpilot.api import ahead as module
from airflow_provider_talkpilot.api.ahead import LEAST_PAGES, PAGES_AHEAD, Ahead
from airflow_provider_talkpilot.api.asking import Ask
from airflow_provider_talkpilot.api.responses import parse_json
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.windows import long_window
from tests.unit.api.conftest import DAY, MakeClient

SECONDS = 30


class Together(ThreadingHTTPServer):
    """Answers with what was asked for, once so many requests are there.

    :param count: how many; once they were, it waits for no others.
    """

    daemon_threads = True
    request_queue_size = 64  # else connections that come too fast wait a second for another try

    def __init__(self, count: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.barrier = Barrier(count, timeout=SECONDS)
        self.are_there = False
        self.refuse: set[str] = set()
        self.move: set[str] = set()
        self.break_off: set[str] = set()
        self.say_nothing: set[str] = set()
        self.is_over = Event()
        self.seen: list[str] = []
        self.lock = Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: clients leave."""

    def take(self, answers: set[str], page: str) -> bool:
        """Whether this page's turn to go wrong is now: once each."""
        with self.lock:
            is_now = page in answers
            answers.discard(page)
            return is_now


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Together

    def do_GET(self) -> None:
        page = self.path.rpartition("/")[2]
        self.server.seen.append(page)
        if not self.server.are_there:
            self.server.barrier.wait()
            self.server.are_there = True
        if self.server.take(self.server.break_off, page):
            self.close_connection = True
            return
        if self.server.take(self.server.say_nothing, page):
            self.server.is_over.wait(SECONDS)
            self.close_connection = True
            return
        is_refused = self.server.take(self.server.refuse, page)
        is_moved = self.server.take(self.server.move, page)
        body = b'{"page": "%s"}' % page.encode()
        self.send_response(429 if is_refused else 302 if is_moved else 200)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def together() -> Iterator[Together]:
    with Together(PAGES_AHEAD) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.is_over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def unlimited(together: Together, make_client: MakeClient) -> TalkPilotClient:
    """A client that has no limits to keep, so that all may leave at once."""
    quota = Quota()
    for _ in range(3):  # answers without rate headers
        quota.record_response(quota.acquire(), {})
    url = f"http://127.0.0.1:{together.server_port}/v1"
    return make_client(base_url=url, quota=quota, timeout=3)  # for answers that come, too


@pytest.fixture
def ahead(unlimited: TalkPilotClient) -> Iterator[Ahead]:
    ahead = Ahead(unlimited, lambda number: Ask("calls", str(number)))
    yield ahead
    ahead.close()


def read(ahead: Ahead, count: int = PAGES_AHEAD) -> list[Any]:
    return [ahead.get(number, count, parse_json)["page"] for number in range(1, count + 1)]


def test_pages_are_asked_for_at_once_and_come_in_order(together: Together, ahead: Ahead) -> None:
    pages = [str(number) for number in range(1, 2 * PAGES_AHEAD + 1)]
    assert read(ahead, len(pages)) == pages
    assert sorted(together.seen, key=int) == pages


@pytest.mark.parametrize("page", ["1", "3", "8"])
@pytest.mark.parametrize("what", ["refuse", "move", "break_off", "say_nothing"])
def test_a_page_that_does_not_come_is_asked_for_again(
    together: Together, ahead: Ahead, what: str, page: str
) -> None:
    getattr(together, what).update({page, "7"})
    pages = [str(number) for number in range(1, PAGES_AHEAD + 3)]
    assert read(ahead, len(pages)) == pages
    assert sorted(together.seen, key=int) == sorted([*pages, *{page, "7"}], key=int)


def test_a_server_that_falls_silent_is_asked_again(
    together: Together, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LATE_SECONDS", 0.01)
    pages = [str(number) for number in range(1, PAGES_AHEAD + 1)]
    together.say_nothing.update(pages)
    assert read(ahead) == pages
    assert sorted(together.seen) == sorted([*pages, *pages])


def test_nothing_is_kept_that_nobody_reads(unlimited: TalkPilotClient, ahead: Ahead) -> None:
    assert ahead.get(1, PAGES_AHEAD, parse_json) == {"page": "1"}
    ahead.close()
    assert len(unlimited._connections._idle) == 1
    assert not unlimited.quota._governor._in_flight


def test_a_long_list_costs_a_request_for_each_page(
    sandbox: Sandbox, client: TalkPilotClient
) -> None:
    count = 100 * (LEAST_PAGES + PAGES_AHEAD + 1) - 3
    sandbox.reset(calls_per_day=count, days=1)
    agent = client.agents()[0].id
    found = [call.id for page in client.walk_calls(agent, DAY) for call in page.calls]
    assert len(found) == len(set(found)) == count
    assert sandbox.counters["calls"] == LEAST_PAGES + PAGES_AHEAD + 1


@pytest.mark.parametrize("after", [1, 3, LEAST_PAGES])
def test_a_long_list_that_moves_is_no_walk(
    sandbox: Sandbox, client: TalkPilotClient, after: int
) -> None:
    sandbox.reset(calls_per_day=100 * LEAST_PAGES + 1, days=1)
    agent = client.agents()[0].id
    newest = sandbox.truth(DAY.start.date().isoformat(), DAY.end.date().isoformat())[-1]["id"]
    sandbox.scripts.add("erase", after=after, call_id=newest)
    with pytest.raises(errors.WalkMovedError):
        list(client.walk_calls(agent, DAY))
    assert sum(len(page.calls) for page in client.walk_calls(agent, DAY)) == 100 * LEAST_PAGES


def test_a_used_up_quota_ends_the_walk(sandbox: Sandbox, make_client: MakeClient) -> None:
    sandbox.reset(calls_per_day=2_000, days=1)
    sandbox.settings.patch(requests_per_minute=60, requests_per_hour=7, hour_seconds=long_window())
    with make_client(quota=Quota(max_wait=1)) as client:
        agent = client.agents()[0].id
        with pytest.raises(errors.QuotaExhaustedError):
            list(client.walk_calls(agent, DAY))
    counts = sandbox.counters
    assert counts["agents"] + counts["calls"] - counts["refused"] == 7
    # At the pace of 60 a minute one is in flight.
    assert counts["refused"] == 1


def test_an_error_comes_where_its_page_would_have(
    sandbox: Sandbox, client: TalkPilotClient
) -> None:
    sandbox.reset(calls_per_day=100 * LEAST_PAGES, days=1)
    agent = client.agents()[0].id
    pages = client.walk_calls(agent, DAY)
    assert len(next(pages).calls) == 100
    sandbox.faults.add("status", kind="calls", status=403, times=99)
    with pytest.raises(errors.PermissionDeniedError):
        next(pages)


def test_a_walk_that_is_left_leaves_nothing_on_its_way(
    sandbox: Sandbox, client: TalkPilotClient
) -> None:
    sandbox.reset(calls_per_day=100 * LEAST_PAGES, days=1)
    agent = client.agents()[0].id
    pages = client.walk_calls(agent, DAY)
    next(pages)
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    assert not client.quota._governor._in_flight
    assert len(list(client.walk_calls(agent, DAY))) == LEAST_PAGES
