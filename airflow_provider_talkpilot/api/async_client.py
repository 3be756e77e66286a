"""The client for event loops: a triggerer's, where nothing may block.

It sends one request after the other, so it needs none of the care that threads do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any, Self
from urllib.parse import urlencode

import httpx
import tenacity

from airflow_provider_talkpilot import __version__
from airflow_provider_talkpilot.api import errors
from airflow_provider_talkpilot.api.address import BASE_URL_SHAPE, checked_base_url, origin
from airflow_provider_talkpilot.api.checks import check_options, checked_key
from airflow_provider_talkpilot.api.client import (
    REDIRECTS,
    REFUSALS_OF_ONE_REQUEST,
    is_transient,
    refused_for_good,
)
from airflow_provider_talkpilot.api.connections import Headers, Response
from airflow_provider_talkpilot.api.quota import Permit, Quota
from airflow_provider_talkpilot.api.responses import parse_json, redirect_of

_OURS: set[str] = set()


class AsyncTalkPilotClient:
    """As :class:`TalkPilotClient`, in an event loop; use as an async context manager.

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
        self._options: dict[str, Any] = {
            "headers": {
                "X-API-Key": checked_key(api_key),
                "Accept": "application/json",
                "User-Agent": f"airflow-provider-talkpilot/{__version__}",
            },
            "timeout": httpx.Timeout(timeout, connect=connect_timeout),
            # Redirects are followed by _within_quota, and only within the API's own host.
            "follow_redirects": False,
            # A proxy is for other machines; it would see the key in plain http.
            "trust_env": self.base_url.startswith("https:"),
        }
        self._retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=30),
            stop=tenacity.stop_after_attempt(tries),
            reraise=True,
        )
        _keep_requests_out_of_logs(self.base_url)

    async def __aenter__(self) -> Self:
        # Reading the trusted certificates takes a while.
        self._http = await asyncio.to_thread(lambda: httpx.AsyncClient(**self._options))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def __repr__(self) -> str:
        return f"AsyncTalkPilotClient({self.base_url!r})"

    async def get(
        self, kind: str, path: str, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Send one GET within the quota, again where the network or the server fails.

        :param kind: what the request is counted as in ``requests``.
        :param path: path below the base URL.
        :param params: query parameters.
        :return: the response's JSON object.
        :raises TalkPilotError: the typed error of what went wrong.
        """
        url = f"{self.base_url}/{path}" + (f"?{urlencode(params)}" if params else "")
        return await self._retrying(self._within_quota, kind, url)

    async def _within_quota(self, kind: str, url: str) -> dict[str, Any]:
        """One request until it is answered: refusals are waited out, own redirects followed."""
        refusals = redirects = 0
        while True:
            permit = await self._acquire()
            try:
                response = await self._exchange(kind, url)
            except BaseException:
                self.quota.record_failure(permit)
                raise
            if response.status == 429:
                waiting = self.quota.record_refusal(permit, response.headers)
                refusals += 1
                if refusals == REFUSALS_OF_ONE_REQUEST:
                    raise refused_for_good(response, waiting)
                continue
            self.quota.record_response(permit, response.headers)
            target = redirect_of(response)
            if target is None or origin(target) != origin(url) or redirects == REDIRECTS:
                return parse_json(response)
            url = target
            redirects += 1

    async def _acquire(self) -> Permit:
        while True:
            permit = self.quota.try_acquire()
            if isinstance(permit, Permit):
                return permit
            await asyncio.sleep(permit)

    async def _exchange(self, kind: str, url: str) -> Response:
        self.requests[kind] += 1
        try:
            answer = await self._http.get(url)
        except httpx.DecodingError:
            raise errors.UnreadableResponseError(
                f"{self.base_url} answered with a body that cannot be decoded.", status=200
            ) from None
        except httpx.TransportError as error:
            kind_of_failure = type(error).__name__
            said = f"{kind_of_failure}: {error}" if str(error) else kind_of_failure
            raise errors.ConnectionFailedError(
                f"No answer from {self.base_url} ({said}). Check the network and the base URL (the "
                f"connection's host); its shape is {BASE_URL_SHAPE}."
            ) from None
        headers = Headers(answer.headers.items())
        return Response(url, answer.status_code, answer.reason_phrase, headers, answer.content)


def _keep_requests_out_of_logs(base_url: str) -> None:
    """Drop httpx's own log line of every request to an API."""
    logger = logging.getLogger("httpx")
    if _is_not_ours not in logger.filters:
        logger.addFilter(_is_not_ours)
    _OURS.add(base_url)


def _is_not_ours(record: logging.LogRecord) -> bool:
    urls = [str(arg) for arg in record.args or () if isinstance(arg, httpx.URL)]
    return not any(url.startswith(ours) for url in urls for ours in _OURS)
