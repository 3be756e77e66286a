"""What the client for threads and the client for event loops share: all but the waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

import httpx
import tenacity
from pydantic import ValidationError

from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.checks import check_value, require_uuid
from airflow_provider_talkpilot.api.exchange import Exchange, Request
from airflow_provider_talkpilot.api.http import transport
from airflow_provider_talkpilot.api.http.address import (
    CHECK_HOST,
    checked_base_url,
    checked_key,
    origin,
)
from airflow_provider_talkpilot.api.models import (
    CallDetail,
    Health,
    TalkPilotModel,
    describe_invalid,
)
from airflow_provider_talkpilot.api.quota import Permit, Quota

# Seconds. Sockets overflow with much longer ones.
LONGEST_TIMEOUT = 86_400
REFUSALS_OF_ONE_REQUEST = 10
REDIRECTS = 3
# After these errors the client sends the same request again at once.
SENT_AGAIN = (errors.ServerError, errors.ConnectionFailedError, errors.UnreadableResponseError)
HEALTH = Request("health", "health")

Model = TypeVar("Model", bound=TalkPilotModel)


class BaseClient:
    """Sends requests to one TalkPilot API with one key.

    :param base_url: the API's base URL with its ``/v1``; https, or http to a loopback address.
    :param api_key: ``tp_live_`` and 32 hex digits; sent to the base URL's host only.
    :param quota: the key's quota; a new one by default.
    :param timeout: seconds to wait for data of a response.
    :param connect_timeout: seconds to wait for a connection.
    :param tries: how many times a request is sent if the network or the server fails.
    :param backoff: the first retry waits up to this many seconds; each further one up to twice as
        long, and none longer than 30 seconds.
    :ivar requests: the requests sent so far, by :attr:`Request.kind`.
    :ivar refused: how many of them were refused because of the quota (429).
    :raises ConfigurationError: when one of these can never work, or the environment names
        certificates or a proxy that cannot be used.
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
        backoff: float = 0.5,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        check_value("timeout", timeout, float, gt=0, le=LONGEST_TIMEOUT)
        check_value("connect_timeout", connect_timeout, float, gt=0, le=LONGEST_TIMEOUT)
        check_value("tries", tries, int, ge=1)
        self.quota = quota or Quota()
        self.requests: Counter[str] = Counter()
        self.refused = 0
        self._counting = Lock()
        self._options = transport.httpx_options(
            self.base_url, checked_key(api_key), httpx.Timeout(timeout, connect=connect_timeout)
        )
        self._retries: dict[str, Any] = {
            "retry": tenacity.retry_if_exception_type(SENT_AGAIN),
            "wait": tenacity.wait_random_exponential(multiplier=backoff, max=30),
            "stop": tenacity.stop_after_attempt(tries)
            | tenacity.stop_when_event_set(self.quota.closed),
            "reraise": True,
        }
        self._set_up()

    def _set_up(self) -> None:
        """Create what only one of the two clients needs."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    @contextmanager
    def _sending(self, request: Request, permit: Permit) -> Iterator[None]:
        """Count a request that is sent in the block; if it fails, give the permit back."""
        with self._counting:
            self.requests[request.kind] += 1
        try:
            with transport.sending(self.base_url):
                yield
        except BaseException:
            self.quota.record_failure(permit)
            raise

    def _next_url(
        self, url: str, permit: Permit, response: httpx.Response, sent: Counter[str]
    ) -> str | None:
        """Return where to send the same request again; None if it has its response.

        After a refusal, which the quota waits out, it is the same URL. After a redirect on the
        API's own host, it is the new URL.

        :param sent: how often either was the case, of this request.
        """
        if response.status_code == 429:
            with self._counting:
                self.refused += 1
            self.quota.record_refusal(permit, response.headers)
            sent["refusals"] += 1
            return None if sent["refusals"] == REFUSALS_OF_ONE_REQUEST else url
        self.quota.record_response(permit, response.headers)
        redirect = response.next_request
        is_ours = redirect is not None and origin(redirect.url) == origin(response.url)
        if not redirect or not is_ours or sent["redirects"] == REDIRECTS:
            return None
        sent["redirects"] += 1
        return str(redirect.url)

    def _health(self) -> Exchange[Health]:
        return self._read(Health, HEALTH, (yield HEALTH))

    def _call(self, agent_id: str, call_id: str) -> Exchange[CallDetail]:
        agent_id, call_id = require_uuid("agent id", agent_id), require_uuid("call id", call_id)
        request = Request("detail", f"agents/{agent_id}/calls/{call_id}")
        body = yield request
        detail = self._read(CallDetail, request, body)
        if detail.id != call_id:
            raise errors.InvalidRecordError(
                f"GET {self.base_url}/{request.path} responded with another call. Report it to "
                "TalkPilot.",
                record=body,
                reason="id: that of another call",
            )
        detail.agent_id = detail.agent_id or agent_id
        return detail

    def _read(self, model: type[Model], request: Request, body: dict[str, Any]) -> Model:
        try:
            return model.read(body)
        except ValidationError as error:
            reason = describe_invalid(error)
            raise errors.InvalidRecordError(
                f"GET {self.base_url}/{request.path} responded with a record that does not fit "
                f"({reason}). {CHECK_HOST}",
                record=body,
                reason=reason,
            ) from None
