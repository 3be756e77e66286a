"""Base URLs in their one form."""

from __future__ import annotations

import pytest

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.http.address import checked_base_url


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://API.Example:443/v1/", "https://api.example/v1"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8971/v1", "http://[::1]:8971/v1"),
        ("https://müller.example/büro/v1", "https://xn--mller-kva.example/b%C3%BCro/v1"),
        ("https://api.example/a%20b", "https://api.example/a%20b"),
    ],
)
def test_a_base_url_has_one_form(given: str, kept: str) -> None:
    assert checked_base_url(given) == kept
    assert checked_base_url(kept) == kept


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        ("https://api.talkpilot.io", "https://api.talkpilot.io/v1"),
        ("https://API.TalkPilot.io:443/", "https://api.talkpilot.io/v1"),
        ("https://abc.supabase.co", "https://abc.supabase.co/functions/v1/api/v1"),
        (
            "https://abc.supabase.co/functions/v1/api/",
            "https://abc.supabase.co/functions/v1/api/v1",
        ),
        # Where the API is on other hosts only their owners know.
        ("https://gateway.example", "https://gateway.example"),
        ("https://api.talkpilot.io.example", "https://api.talkpilot.io.example"),
        ("https://abc.supabase.co/rest/v1", "https://abc.supabase.co/rest/v1"),
        ("http://127.0.0.1:8971", "http://127.0.0.1:8971"),
    ],
)
def test_what_the_base_url_of_talkpilots_hosts_lacks_is_added(given: str, completed: str) -> None:
    assert checked_base_url(given) == completed


@pytest.mark.parametrize(
    "given",
    ["https://tp_live_0123456789abcdef0123456789abcdef/v1", "https://a.example/TP_LIVE_0123456789"],
)
def test_a_base_url_with_a_key_in_it_is_not_sent_anywhere(given: str) -> None:
    with pytest.raises(ConfigurationError, match="belongs into the connection's pass") as caught:
        checked_base_url(given)
    assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        "https://api.example:port/v1",
        "https://api.example:99999/v1",
        "https://api example/v1",
        "https://api.example/v1\r\nX-Evil: 1",
        "https://[::1/v1",
        "https:///v1",
        "",
        "api.example",
        "ftp://api.example",
    ],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address"):
        checked_base_url(given)
