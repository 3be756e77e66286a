"""Base URLs in their one form."""

from __future__ import annotations

import pytest

from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.api.http.address import checked_base_url


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://API.Example:443/v1/", "https://api.example/v1"),
        (" http://LOCALHOST:80/v1//\n", "http://localhost/v1"),
        ("http://127.8.9.1:1", "http://127.8.9.1:1"),
        ("http://[::1]:8971/v1", "http://[::1]:8971/v1"),
        ("https://müller.example/büro/v1", "https://xn--mller-kva.example/b%C3%BCro/v1"),
        ("https://api.example//a%20b", "https://api.example/a%20b"),
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
    ("given", "says"),
    [
        ("https://tp_live_0123456789abcdef0123456789abcdef/v1", "belongs into the connection's"),
        ("https://a.example/TP_LIVE_0123456789", "belongs into the connection's pass"),
        ("https://me:0123456789@abc.co/v1", "no user, query or fragment"),
        ("https://abc.co/v1#0123456789", "no user, query or fragment"),
        ("https://abc.co/v1?", "no user, query or fragment"),
        ("http://abc.supabase.co/v1", "plain http.*use https"),
        ("http://127.0.0.1.nip.io/v1", "plain http.*use https"),
        ("http://localhost.example/v1", "plain http.*use https"),
        ("http://[2001:db8::1]/v1", "plain http.*use https"),
        ("https://api.example:port/v1", "is no address"),
        ("https://api.example:65536/v1", "is no address"),
        ("https://api example/v1", "is no address"),
        ("https://api.example/v1\r\nX-Evil: 1", "is no address"),
        ("https://[::1/v1", "is no address"),
        ("https://me:0123456789@[::1/v1", "is no address"),
        ("", "is no address"),
        ("ftp://api.example", "is no address"),
    ],
)
def test_what_can_never_work_is_refused(given: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        checked_base_url(given)
    assert "0123456789" not in str(caught.value)
