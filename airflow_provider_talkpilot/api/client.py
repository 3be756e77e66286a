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
import re
from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import tenacity
from pydantic import ValidationError

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.address import checked_base_url, origin
from airflow_provider_talkpilot.api.connections import Connections, Response
from airflow_provider_talkpilot.api.interval import Interval
from airflow_provider_talkpilot.api.models import (
    UUID_PATTERN,
    Agent,
    CallDetail,
    Health,
    TalkPilotModel,
    describe_invalid,
)
from airflow_provider_talkpilot.api.quota import Quota
from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.api.responses import error_of, parse_json, redirect_of
from airflow_provider_talkpilot.api.walk import CallFilters, CallPage, walk_agents, walk_calls

_KEY_SHAPE = re.compile(r"tp_live_[0-9a-fA-F]{32}")
_UUID = re.compile(UUID_PATTERN)
REFUSALS_OF_ONE_REQUEST = 10
REDIRECTS = 3

Model = TypeVar("Model", bound=TalkPilotModel)


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
        """Close the connections."""
        self._connections.close()

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
        return self._validated(CallDetail, "detail", f"agents/{agent_id}/calls/{call_id}")

    def get(self, kind: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        """Send one GET within the quota, again where the network or the server fails.

        :param kind: what the request is counted as in ``requests``.
        :param path: path below the base URL.
        :param params: query parameters.
        :return: the response's JSON object.
        :raises TalkPilotError: the typed error of what went wrong.
        """
        url = f"{self.base_url}/{path}" + (f"?{urlencode(params)}" if params else "")
        return self._retrying(self._within_quota, kind, url)

    def _validated(self, model: type[Model], kind: str, path: str) -> Model:
        body = self.get(kind, path)
        try:
            return model.model_validate(body)
        except ValidationError as error:
            reason = describe_invalid(error)
            raise errors.InvalidRecordError(
                f"GET {self.base_url}/{path} answered with a record that does not fit ({reason}).",
                record=body,
                reason=reason,
            ) from None

    def _within_quota(self, kind: str, url: str) -> dict[str, Any]:
        """One request until it is answered: refusals are waited out, own redirects followed."""
        refusals = redirects = 0
        while True:
            permit = self.quota.acquire()
            try:
                response = self._exchange(kind, url)
            except BaseException:
                self.quota.unanswered(permit)
                raise
            if response.status == 429:
                waiting = self.quota.refuse(permit, response.headers)
                with self._counting:
                    self.refused += 1
                refusals += 1
                if refusals == REFUSALS_OF_ONE_REQUEST:
                    raise refused_for_good(response, waiting)
                continue
            self.quota.answered(permit, response.headers)
            target = redirect_of(response)
            if target is None or origin(target) != origin(url) or redirects == REDIRECTS:
                return parse_json(response)
            url = target
            redirects += 1

    def _exchange(self, kind: str, url: str) -> Response:
        with self._counting:
            self.requests[kind] += 1
        return self._connections.get(url)


def require_uuid(name: str, value: object) -> str:
    """Return ``value`` if it is a UUID.

    :raises ConfigurationError: when it is not; such an id would otherwise reach the URL.
    """
    if not _UUID.fullmatch(str(value)):
        raise errors.ConfigurationError(
            f"The {name} {plain(value)!r} is no UUID: copy it from TalkPilot's dashboard or from "
            "the list of agents."
        )
    return str(value)


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


def check_options(**options: float) -> None:
    """Refuse time-outs and numbers of tries that can never work.

    :raises ConfigurationError: naming the option.
    """
    for name, value in options.items():
        least = 1 if name == "tries" else 0
        if not least <= value < math.inf or value == 0:
            raise errors.ConfigurationError(
                f"{name} is {value}: give {'at least 1' if least else 'a number over 0'}, or leave "
                "it empty."
            )


def checked_key(api_key: str) -> str:
    """Return a key that has the shape of one.

    :raises ConfigurationError: when it has not.
    """
    api_key = (api_key or "").strip()
    if not _KEY_SHAPE.fullmatch(api_key):
        raise errors.ConfigurationError(
            "The API key is malformed: it is tp_live_ and 32 hex digits, and "
            f"{f'{len(api_key)} characters were given' if api_key else 'none was given'}. Copy it "
            "again from TalkPilot's dashboard into the connection's password."
        )
    return api_key
