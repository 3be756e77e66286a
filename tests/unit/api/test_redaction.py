"""What a server sent becomes one short line, with no caller in it, whatever it was."""

from __future__ import annotations

import re

import httpx
import hypothesis.strategies as st
from hypothesis import given

from airflow_provider_talkpilot.api.http.responses import error_of
from airflow_provider_talkpilot.api.redaction import quoted

URL = "https://api.talkpilot.io/v1/agents/x/calls?search=Zwiebelfisch&phone_number=%2B4930123456"


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
    said = quoted(f"Call {before}{number} failed")
    assert sum(character.isdigit() for character in said) < 7
    assert said.startswith("Call ")
    assert said.endswith(" failed")


def respond(status: int, body: bytes, reason: str = "", content_type: str = "") -> httpx.Response:
    return httpx.Response(
        status,
        content=body,
        headers={"Content-Type": content_type},
        request=httpx.Request("GET", URL),
        extensions={"reason_phrase": reason.encode("latin-1")},
    )


@given(
    body=st.binary() | st.text().map(str.encode) | st.from_regex(r"<h1>.*</h1>").map(str.encode),
    status=st.integers(400, 599),
    reason=st.text(st.characters(codec="latin-1")),
    content_type=st.sampled_from(["text/html", "application/json", ""]),
)
def test_any_body_makes_one_short_line(
    body: bytes, status: int, reason: str, content_type: str
) -> None:
    said = str(error_of(respond(status, body, reason, content_type)))
    assert len(said.splitlines()) == 1
    assert len(said) < 1000


@given(text=st.text(), quoted_as=st.sampled_from(["Zwiebelfisch", "+4930123456", "%2B4930123456"]))
def test_what_was_searched_for_is_not_repeated(text: str, quoted_as: str) -> None:
    body = f"{text} {quoted_as} {text}".encode(errors="replace")
    said = str(error_of(respond(500, body)))
    assert "Zwiebelfisch" not in said
    assert "30123456" not in said
