"""Whatever a server sent, the message is one short line without a phone number."""

from __future__ import annotations

import re

import httpx
import hypothesis.strategies as st
from hypothesis import given

from airflow_provider_talkpilot.api.http.responses import error_of
from airflow_provider_talkpilot.api.redaction import quoted


@st.composite
def phone_numbers(draw: st.DrawFn) -> str:
    """A number of 7 to 13 digits in groups, as people write them."""
    groups = draw(st.lists(st.from_regex(r"\A[0-9]{2,4}\Z"), min_size=3, max_size=4))
    separator = draw(st.sampled_from(["", " ", "-", ".", "/", " / ", "\u00a0", ") "]))
    number = separator.join(groups)
    digits = sum(character.isdigit() for character in number)
    prefix = draw(st.sampled_from(["", "+", "00", "%2B", "("]))
    return prefix + number + "1" * max(0, 7 - digits)


@given(number=phone_numbers(), before=st.sampled_from(["", "from ", "tel:", "<", '"']))
def test_no_phone_number_stays(number: str, before: str) -> None:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", number):
        return  # a date
    line = quoted(f"Call {before}{number} failed", "")
    assert sum(character.isdigit() for character in line) < 7
    assert line.startswith("Call ")
    assert line.endswith(" failed")


@given(
    body=st.binary() | st.text().map(str.encode) | st.from_regex(r"<h1>.*</h1>").map(str.encode),
    status=st.integers(400, 599),
    reason=st.text(st.characters(codec="latin-1")),
    content_type=st.sampled_from(["text/html", "application/json", ""]),
)
def test_any_body_is_one_line(body: bytes, status: int, reason: str, content_type: str) -> None:
    response = httpx.Response(
        status,
        content=body,
        headers={"Content-Type": content_type},
        request=httpx.Request("GET", "https://api.talkpilot.io/v1/agents"),
        extensions={"reason_phrase": reason.encode("latin-1")},
    )
    message = str(error_of(response))
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
