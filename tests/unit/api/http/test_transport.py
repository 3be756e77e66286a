"""Connections: threads, certificates, proxies, redirects, time-outs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import certifi
import pytest

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import (
    ConfigurationError,
    ConnectionFailedError,
    UnexpectedResponseError,
)
from airflow_provider_talkpilot.api.http.transport import unlogged
from airflow_provider_talkpilot.api.quota import Permit
from airflow_provider_talkpilot.sandbox import Sandbox
from tests.support.ports import held_port
from tests.support.tls import make_certificate, server_context
from tests.unit.api.conftest import MakeClient, unlimited_quota
from tests.unit.api.raw_server import RawServer

KEY = "tp_live_" + "0123456789abcdef" * 2
HEALTHY = b'{"status":"ok"}'
THREADS = 16
BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR", *BUNDLES)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_threads_get_own_responses(sandbox: Sandbox, make_client: MakeClient, agent: str) -> None:
    """httpx's own pool races between threads: github.com/encode/httpcore#1110."""
    calls = [row["id"] for row in sandbox.store.truth("2026-03-16", "2026-03-17")] * 3
    client = make_client(quota=unlimited_quota())
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda call_id: client.call(agent, call_id).id, calls))
    assert found == calls
    assert client.requests["detail"] == sandbox.counters["detail"] == len(calls)


def test_the_password_of_a_proxy_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """httpcore logs it with the connection; its library for SOCKS is not installed here."""
    with caplog.at_level(logging.DEBUG), unlogged():
        for name in ("socks", "proxy"):
            logging.getLogger(f"httpcore.{name}").debug("connection.started auth=password")
    assert not caplog.messages


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost and no other name, signed by itself; with its key."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "localhost.pem", "localhost")


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[RawServer]:
    """A healthy API over TLS."""
    with RawServer(HEALTHY, tls=server_context(certificate)) as server:
        yield server


def base_url(server: RawServer, host: str = "localhost") -> str:
    return server.url.replace("http://127.0.0.1", f"https://{host}")


def status(url: str) -> str:
    with TalkPilotClient(url, KEY, tries=1, timeout=10, connect_timeout=10) as client:
        return client.health().status


@pytest.mark.parametrize(
    "variables",
    [
        ["SSL_CERT_FILE"],
        ["REQUESTS_CA_BUNDLE"],
        ["CURL_CA_BUNDLE"],
        ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"],
    ],
    ids=str,
)
def test_the_environment_names_the_certificates_to_trust(
    tls_server: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, variables: list[str]
) -> None:
    """A company's bundle is trusted beside the one that the machine sets."""
    for variable, file in zip(variables, [certificate, certifi.where()], strict=False):
        monkeypatch.setenv(variable, str(file))
    assert status(base_url(tls_server)) == "ok"
    assert tls_server.seen[0][1]["x-api-key"] == KEY


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    with pytest.raises(ConfigurationError, match=r"environment names.*REQUESTS_CA_BUNDLE"):
        TalkPilotClient("https://api.example/v1", KEY)


@pytest.mark.parametrize(
    ("host", "variable", "days", "cure"),
    [
        ("localhost", "UNUSED", 1, "name a file .* SSL_CERT_FILE"),
        ("127.0.0.1", "SSL_CERT_FILE", 1, "name a file .* SSL_CERT_FILE"),
        ("localhost", "SSL_CERT_FILE", -1, "has expired.* set this machine's clock"),
    ],
)
def test_an_unknown_or_expired_certificate_or_one_of_another_host_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, variable: str, days: int, cure: str
) -> None:
    certificate = make_certificate(tmp_path / "localhost.pem", "localhost", days=days)
    monkeypatch.setenv(variable, str(certificate))
    with RawServer(HEALTHY, tls=server_context(certificate)) as server:
        with pytest.raises(ConnectionFailedError, match=f"CERTIFICATE_VERIFY_FAILED.*{cure}"):
            status(base_url(server, host))
        assert server.seen == []


def test_a_proxy_is_left_out_where_the_environment_says_so(
    tls_server: RawServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer() as refusing:
        monkeypatch.setenv("HTTPS_PROXY", refusing.url.removesuffix("/v1"))
        with pytest.raises(ConnectionFailedError, match=r"ProxyError: 501.* HTTPS_PROXY"):
            status(base_url(tls_server))
        monkeypatch.setenv("NO_PROXY", "example.com,localhost")
        assert status(base_url(tls_server)) == "ok"


def test_a_proxy_does_not_see_a_key_in_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer() as proxy, RawServer(HEALTHY) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert status(server.url) == "ok"
        assert proxy.seen == []


@pytest.mark.parametrize(
    ("proxy_url", "without"),
    [
        ("socks5://proxy", ""),
        ("ftp://proxy", ""),
        ("http://proxy:port", ""),
        ("http://proxy:3128", "[::1]"),
        ("http://proxy:3128", "localhost,fe80::/10"),
    ],
)
def test_an_impossible_proxy(monkeypatch: pytest.MonkeyPatch, proxy_url: str, without: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy_url)
    monkeypatch.setenv("NO_PROXY", without)
    with pytest.raises(
        ConfigurationError, match=r"HTTPS_PROXY.*http://proxy:3128.*NO_PROXY.*without brackets"
    ):
        TalkPilotClient("https://api.example/v1", KEY)


def test_nobody_listens(make_client: MakeClient) -> None:
    with held_port() as port:
        client = make_client(base_url=f"http://127.0.0.1:{port}", tries=2)
        with pytest.raises(ConnectionFailedError, match="Check the network and the base"):
            client.agents()
    assert client.requests["agents"] == 2
    assert isinstance(client.quota.try_acquire(), Permit), "no failed request is still in flight"


def test_time_out(make_client: MakeClient) -> None:
    with Sandbox(agents=1) as other:  # the response comes late, when another test runs
        other.faults.add("slow", seconds=30)
        client = make_client(other.base_url, other.api_key, timeout=2)
        assert len(client.agents()) == 1
    assert client.requests["agents"] == 2


def test_a_redirect_elsewhere_never_sees_the_key(sandbox: Sandbox, make_client: MakeClient) -> None:
    with RawServer(b'{"data":[],"pagination":{"total":0}}') as other:
        sandbox.faults.add("redirect", status=308, location=f"{other.url}/agents")
        with pytest.raises(UnexpectedResponseError, match="its own host only") as caught:
            make_client().agents()
        assert other.url.removesuffix("/v1") in str(caught.value)
        assert other.seen == []
    assert sandbox.counters["agents"] == 1


def test_redirects_in_a_circle_end(make_client: MakeClient) -> None:
    with RawServer(b"", 302, {"Location": "/v1/agents"}) as other:
        with pytest.raises(UnexpectedResponseError, match="redirects again and again"):
            make_client(base_url=other.url).agents()
        assert len(other.seen) == 4
