"""A client of the TalkPilot API: health, agents, calls and their details.

Usable without Airflow::

    from airflow_provider_talkpilot.api import Interval, TalkPilotClient

    with TalkPilotClient(base_url, api_key) as client:
        for agent in client.agents():
            for page in client.walk_calls(agent.id, Interval.parse("2026-03-18", "2026-03-19")):
                for call in page.calls:
                    print(call.created_at, client.call(agent.id, call.id).final_score)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import tenacity
from pydantic import ValidationError

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.address import checked_base_url, origin
from airflow_provider_talkpilot.api.ahead import Begun
from airflow_provider_talkpilot.api.asking import Ask
from airflow_provider_talkpilot.api.checks import check_options, checked_key, require_uuid
from airflow_provider_talkpilot.api.connections import Connections, Response
from airflow_provider_talkpilot.api.interval import Interval
from airflow_provider_talkpilot.api.models import (
    Agent,
    CallDetail,
    Health,
    TalkPilotModel,
    describe_invalid,
)
from airflow_provider_talkpilot.api.quota import Permit, Quota
from airflow_provider_talkpilot.api.responses import error_of, parse_json, redirect_of
from airflow_provider_talkpilot.api.walk import CallFilters, CallPage, walk_agents, walk_calls

REFUSALS_OF_ONE_REQUEST = 10
REDIRECTS = 3

Model = TypeVar("Model", bound=TalkPilotModel)
Parsed = TypeVar("Parsed")


class TalkPilotClient:
    """Talks to one TalkPilot API with one key. Thread-safe; use as a context manager.

    :param base_url: the API's base URL with its ``/v1``; https, or http to a loopback address.
    :param api_key: ``tp_live_`` and 32 hex digits; sent to the base URL's host alone.
    :param quota: the governor of the key's quota; one of its own by default.
    :param timeout: seconds to wait for data of an answer.
    :param connect_timeout: seconds to wait for a connection.
    :param tries: how often a request is sent when the network or the server fails.
    :raises ConfigurationError: when the base URL or the key can never work.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        quota: Quota | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        tries: int = 7,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        check_options(timeout=timeout, connect_timeout=connect_timeout, tries=tries)
        self.quota = quota or Quota()
        self.requests: Counter[str] = Counter()
        self.refused = 0
        self._counting = Lock()
        self._connections = Connections(
            self.base_url,
            {
                "X-API-Key": checked_key(api_key),
                "Accept": "application/json",
                "User-Agent": f"airflow-provider-talkpilot/{__version__}",
            },
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
            stop=tenacity.stop_after_attempt(tries)
            | tenacity.stop_when_event_set(self.quota.closed),
            sleep=tenacity.sleep_using_event(self.quota.closed),
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"TalkPilotClient({self.base_url!r})"

    def close(self) -> None:
        """Close the connections, and tell the ledger what was spent."""
        self._connections.close()
        self.quota.exchange(is_last=True)

    def health(self) -> Health:
        """Ask whether a TalkPilot API answers at the base URL; needs no valid key."""
        return self._validated(Health, "health", "health")

    def agents(self) -> list[Agent]:
        """List every agent that the key can see (``agents:read``), in the API's order.

        :raises WalkMovedError: when the list kept changing while it was read.
        """
        return walk_agents(self)

    def walk_calls(
        self, agent_id: str, interval: Interval, filters: CallFilters | None = None
    ) -> Iterator[CallPage]:
        """Walk an agent's calls of an interval (``calls:read``), soft-deleted ones included.

        Lazy: a page is asked for when it is consumed. Only a walk that ends without an error was
        whole; what it gave before is not to be used.

        :param agent_id: UUID of the agent.
        :param interval: which calls, by ``created_at``.
        :param filters: select among them; then the walk is a selection, not the interval.
        :return: an iterator of pages of at most 100 calls, newest first.
        :raises WalkMovedError: when the list changed while it was read.
        """
        return walk_calls(self, require_uuid("agent id", agent_id), interval, filters)

    def call(self, agent_id: str, call_id: str) -> CallDetail:
        """Fetch one call with its detail fields (``calls:read``).

        :param agent_id: UUID of the agent.
        :param call_id: the call's ``id``.
        :raises NotFoundError: when the call was erased or the agent is not visible to the key.
        :raises InvalidRecordError: when the answer is no call that fits.
        """
        agent_id, call_id = require_uuid("agent id", agent_id), require_uuid("call id", call_id)
        detail = self._validated(CallDetail, "detail", f"agents/{agent_id}/calls/{call_id}")
        detail.agent_id = detail.agent_id or agent_id
        return detail

    def get(self, kind: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        """Send one GET within the quota, again where the network or the server fails.

        :param kind: what the request is counted as in ``requests``.
        :param path: path below the base URL.
        :param params: query parameters.
        :return: the response's JSON object.
        :raises TalkPilotError: the typed error of what went wrong.
        """
        return self.ask(Ask(kind, path, params or {}), parse_json)

    def ask(self, ask: Ask, parse: Callable[[Response], Parsed]) -> Parsed:
        """As :meth:`get`, with a reading of one's own.

        :param ask: the request.
        :param parse: makes of a response what is returned, or raises its typed error.
        """
        answer: Parsed = self._retrying(self._within_quota, ask.kind, self._url(ask), parse)
        return answer

    def begin(self, ask: Ask) -> Begun | None:
        """Send a request whose answer is read later; None where that cannot be now.

        Whoever begins requests must read or drop all of them before asking for anything else: the
        quota may have to wait for their answers.
        """
        permit = self.quota.try_acquire()
        if not isinstance(permit, Permit):
            return None
        self._count(ask.kind)
        try:
            return Begun(self._connections.send(self._url(ask)), permit)
        except BaseException as error:
            self.quota.record_failure(permit)
            if is_transient(error):
                return None
            raise

    def finish(self, begun: Begun, parse: Callable[[Response], Parsed]) -> Parsed | None:
        """Give what came of a request that was begun; None where it is to be asked for again.

        :raises TalkPilotError: as :meth:`ask`.
        """
        response = self.receive(begun)
        if response is None or response.status == 429 or redirect_of(response):
            return None
        try:
            return parse(response)
        except errors.TalkPilotError as error:
            if is_transient(error):
                return None
            raise

    def receive(self, begun: Begun, patience: float = math.inf) -> Response | None:
        """Read the answer of a request that was begun; None where none came.

        :param patience: seconds to wait for it, where that is less than the time-out.
        """
        if permit := begun.settle():
            try:
                begun.response = begun.sent.read(patience)
            except BaseException as error:
                self.quota.record_failure(permit)
                if not is_transient(error):
                    raise
            else:
                self._note(permit, begun.response)
        return begun.response

    def drop(self, begun: Begun) -> None:
        """Do without the answer of a request that was begun."""
        if permit := begun.settle():
            begun.sent.drop()
            self.quota.record_failure(permit)

    def _validated(self, model: type[Model], kind: str, path: str) -> Model:
        body = self.get(kind, path)
        try:
            return model.read(body)
        except ValidationError as error:
            reason = describe_invalid(error)
            raise errors.InvalidRecordError(
                f"GET {self.base_url}/{path} answered with a record that does not fit ({reason}).",
                record=body,
                reason=reason,
            ) from None

    def _within_quota(self, kind: str, url: str, parse: Callable[[Response], Parsed]) -> Parsed:
        """One request until it is answered: refusals are waited out, own redirects followed."""
        refusals = redirects = 0
        while True:
            permit = self.quota.acquire()
            self._count(kind)
            try:
                response = self._connections.get(url)
            except BaseException:
                self.quota.record_failure(permit)
                raise
            waiting = self._note(permit, response)
            if response.status == 429:
                refusals += 1
                if refusals == REFUSALS_OF_ONE_REQUEST:
                    raise refused_for_good(response, waiting)
                continue
            target = redirect_of(response)
            if target is None or origin(target) != origin(url) or redirects == REDIRECTS:
                return parse(response)
            url = target
            redirects += 1

    def _url(self, ask: Ask) -> str:
        return f"{self.base_url}/{ask.path}" + (f"?{urlencode(ask.params)}" if ask.params else "")

    def _count(self, kind: str) -> None:
        with self._counting:
            self.requests[kind] += 1

    def _note(self, permit: Permit, response: Response) -> float:
        """Tell the quota of an answer; give the seconds for which nothing leaves."""
        if response.status != 429:
            self.quota.record_response(permit, response.headers)
            return 0.0
        with self._counting:
            self.refused += 1
        return self.quota.record_refusal(permit, response.headers)


def is_transient(error: BaseException) -> bool:
    """Whether the same request may work when it is sent again."""
    return isinstance(
        error,
        errors.ServerError | errors.ConnectionFailedError | errors.UnreadableResponseError,
    )


def refused_for_good(response: Response, waiting: float) -> errors.RateLimitedError:
    """Build the error of a request that was refused too often.

    :param response: the last refusal.
    :param waiting: seconds that it asked to wait.
    """
    refusal = error_of(response)
    return errors.RateLimitedError(
        f"{refusal} It refused {REFUSALS_OF_ONE_REQUEST} times in a row after waiting as told.",
        retry_after=waiting,
        status=refusal.status,
        code=refusal.code,
        request_id=refusal.request_id,
    )
