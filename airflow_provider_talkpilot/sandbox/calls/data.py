"""Made-up calls: everything about a call follows from the seed and its ordinal (0, 1, 2, …).

A call's id is its ordinal, scrambled: it looks like a random UUID, and leads back to the ordinal
without a table. The fields are made again at each request. So a million calls need a few dozen
megabytes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import uuid
from array import array
from bisect import bisect
from typing import Any

from airflow_provider_talkpilot.sandbox.calls.texts import HARD_TEXTS, LANGUAGES, Language
from airflow_provider_talkpilot.sandbox.calls.times import DAY, SECOND, Micros, day_micros, to_iso
from airflow_provider_talkpilot.sandbox.calls.transcripts import TranscriptStyle

Row = dict[str, Any]

DETAIL_ONLY = ("transcript", "audio_file_url", "final_score")
"""Fields that a list row does not have."""

CYCLE = 20
"""In every twenty calls, one of each of the kinds below."""

PURGED, SOFT_DELETED, NULL_FIELDS, NO_SCORE, EMPTY_TRANSCRIPT = 3, 7, 9, 11, 13
NULL_TRANSCRIPT, NEW_REASON, HARD_TEXT, NOT_DONE, UNPARSABLE = 15, 17, 19, 5, 1
WITH_MICROSECONDS = 6

_REASONS = ("user_hangup", "user_hangup", "call_transfer", "agent_hangup")
_NEW_REASON = "silence_timeout"
_MORE_REASONS = ("unknown", "busy", "no_answer", "dial_error")
_MS = 1000
_BEST_SCORE = 10
_TENTHS = (0, 2, 5, 5, 8)
# Relative number of calls in each hour of the day (UTC): two peaks, a quiet night.
_HOURS = (1, 1, 1, 1, 1, 2, 6, 20, 60, 90, 95, 80, 50, 60, 85, 90, 70, 40, 15, 8, 5, 3, 2, 1)
_CUMULATED = [sum(_HOURS[: hour + 1]) for hour in range(24)]
# Ids carry 122 free bits (version and variant take six): scrambled by an affine map modulo 2^122.
_ID_BITS = 122
ID_MASK = (1 << _ID_BITS) - 1


def number_of(*parts: object) -> int:
    """Return a large number, the same for the same parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest(), "big")


def to_uuid(bits: int) -> str:
    """Return the version 4 UUID of 122 bits."""
    high, middle, low = bits >> 74, bits >> 62 & 0xFFF, bits & (1 << 62) - 1
    return str(uuid.UUID(int=high << 80 | 4 << 76 | middle << 64 | 2 << 62 | low))


def _from_uuid(text: str) -> int:
    value = uuid.UUID(text).int
    return value >> 80 << 74 | (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1


class Ids:
    """A series of UUIDs by ordinal. They look random, and lead back to the ordinal.

    :param seed: the same seed makes the same series.
    :param series: a name; each name has its own series.
    """

    def __init__(self, seed: int, series: str = "") -> None:
        self._factor = number_of(seed, f"{series}factor") & ID_MASK | 1
        self._inverse = pow(self._factor, -1, ID_MASK + 1)
        self._shift = number_of(seed, f"{series}shift") & ID_MASK

    def uuid(self, ordinal: int) -> str:
        """Return the id of an ordinal."""
        return to_uuid((ordinal * self._factor + self._shift) & ID_MASK)

    def ordinal(self, text: str) -> int:
        """Return the ordinal of an id; a huge number for an id of no series.

        :raises ValueError: when the text is not a UUID.
        """
        bits = _from_uuid(text)
        ordinal = (bits - self._shift) * self._inverse & ID_MASK
        # A UUID of another version has other fixed bits: it maps here, but not back.
        return ordinal if self.uuid(ordinal) == text.lower() else ID_MASK


class CallMaker:
    """Makes ids and fields of calls.

    :param seed: the same seed makes the same calls.
    :param unparsable_transcripts: how many calls have a transcript that is not JSON.
    """

    def __init__(self, seed: int, unparsable_transcripts: int = 1) -> None:
        self.ids = Ids(seed)
        self._unparsable_transcripts = unparsable_transcripts
        self._random_base = number_of(seed, "calls") & ((1 << 63) - 1) << 40

    def list_fields(
        self,
        ordinal: int,
        agent: Row,
        created: Micros,
        *,
        plain: bool,
        more_reasons: bool,
    ) -> Row:
        """Make the fields that list rows and details share.

        :param ordinal: of the call.
        :param agent: the call's agent.
        :param created: the call's start.
        :param plain: whether the call is of no special kind (purged, soft-deleted, …).
        :param more_reasons: whether some calls without a transcript have a reason for that.
        """
        rng = random.Random(self._random_base + ordinal)
        kind = -1 if plain else ordinal % CYCLE
        words = _language(agent)
        pick = rng.choice
        name = f"{pick(words.first_names)} {pick(words.last_names)}"
        request = pick(words.requests)
        number = rng.randrange(8, 18)
        summary = words.summary.format(name=name, request=request, number=number)
        if kind == HARD_TEXT:
            hard = HARD_TEXTS[ordinal // CYCLE % len(HARD_TEXTS)]
            name, request, summary = f'{name} "{words.code}"', hard, f"{hard}\n{summary}"
        duration = rng.randrange(8, 600)
        done = kind != NOT_DONE and rng.random() < 0.8
        ended = created + duration * SECOND
        updated = ended - ended % _MS + rng.randrange(2_000, 900_000) * _MS
        deleted = updated if kind == SOFT_DELETED else None
        reason = _NEW_REASON if kind == NEW_REASON else pick(_REASONS)
        if kind == NULL_TRANSCRIPT and more_reasons:
            reason = _MORE_REASONS[ordinal // CYCLE % len(_MORE_REASONS)]
        row: Row = {
            "id": self.ids.uuid(ordinal),
            "call_id": f"SCL_{rng.getrandbits(60):012x}",
            "agent_id": agent["id"],
            "customer_name": name,
            "customer_request": request,
            "phone_number": fake_phone_number(words, rng.random()),
            "call_summary": summary,
            "employee": pick(words.employees) if rng.random() < 0.7 else None,
            "note": pick(words.notes) if rng.random() < 0.3 else None,
            "duration": duration,
            "done": done,
            "general_success": rng.random() < 0.85,
            "disconnection_reason": reason,
            "is_purged": kind == PURGED,
            "deleted_at": None if deleted is None else to_iso(deleted),
            "created_at": to_iso(created),
            "updated_at": to_iso(updated),
        }
        if kind == PURGED:
            row["phone_number"] = None
        elif kind == NULL_FIELDS:
            for field in ("customer_name", "customer_request", "phone_number", "call_summary"):
                row[field] = None
            row.update(employee=None, note=None, done=None, general_success=None)
        return row

    def detail_fields(
        self, ordinal: int, agent: Row, style: TranscriptStyle, *, plain: bool, decimal: bool
    ) -> Row:
        """Make the fields that only details have, without ``audio_file_url``.

        :param ordinal: of the call.
        :param agent: the call's agent.
        :param style: how transcripts are written.
        :param plain: whether the call is of no special kind.
        :param decimal: whether most scores have a fraction.
        """
        rng = random.Random(self._random_base + ordinal + (1 << 39))
        kind = -1 if plain else ordinal % CYCLE
        transcript: str | None
        if kind in (PURGED, NULL_TRANSCRIPT):
            transcript = None
        elif kind == EMPTY_TRANSCRIPT:
            transcript = "[]"
        elif kind == UNPARSABLE and ordinal // CYCLE < self._unparsable_transcripts:
            transcript = '[{"role":"agent","text":"Verbindung abgebrochen — "},{"role":"us'
        else:
            hard = HARD_TEXTS[ordinal // CYCLE % len(HARD_TEXTS)] if kind == HARD_TEXT else None
            transcript = _transcript(rng, _language(agent), hard, style)
        score: float | None = None if kind == NO_SCORE else rng.randrange(1, 11)
        tenths = rng.choice(_TENTHS)
        if decimal and tenths and score is not None and score < _BEST_SCORE:
            score += tenths / 10
        return {"transcript": transcript, "final_score": score}


def _language(agent: Row) -> Language:
    return LANGUAGES[0] if agent["language"] == "de" else LANGUAGES[1]


def fake_phone_number(words: Language, share: float) -> str:
    """Return a phone number that is reserved for fiction: Berlin 030 23125 xxx, or 555-01xx.

    :param words: whose language decides the country.
    :param share: 0 to 1; another share is another number.
    """
    if words.code == "de":
        return f"+493023125{int(share * 1000):03d}"
    return f"+1{('202', '312', '415')[int(share * 300) % 3]}55501{int(share * 100):02d}"


def _transcript(
    rng: random.Random, words: Language, hard: str | None, style: TranscriptStyle
) -> str:
    name = f"{rng.choice(words.first_names)} {rng.choice(words.last_names)}"
    request = rng.choice(words.requests)
    hour = rng.randrange(8, 18)
    turns = [("agent", words.greeting)]
    for _ in range(rng.randrange(1, 4)):
        turns += [
            (role, text.format(name=name, request=request, number=hour))
            for role, text in words.turns
        ]
    if hard is not None:
        turns.append(("user", hard))
    turns.append(words.goodbye)
    return style.write(turns, hour)


def plan_day(seed: int, agent: int, day: dt.date, count: int, first: int) -> array[int]:
    """Choose when the calls of one agent on one day start.

    The first starts at 00:00:00.000, the second at 23:59:59.999, and the next two at the same
    moment. The others follow business hours.

    :param seed: the same seed makes the same moments.
    :param agent: the agent's number.
    :param day: the day, in UTC.
    :param count: how many calls.
    :param first: ordinal of the first of them.
    """
    midnight = day_micros(day)
    rng = random.Random(number_of(seed, "day", agent, day.toordinal()))
    uniform = rng.random
    total = _CUMULATED[-1]
    starts = array("q", bytes(8 * count))
    for slot in range(count):
        hour = bisect(_CUMULATED, uniform() * total)
        millis = int((hour + uniform()) * 3_600_000)
        extra = 123 if (first + slot) % CYCLE == WITH_MICROSECONDS else 0
        starts[slot] = midnight + millis * _MS + extra
    if count > 0:
        starts[0] = midnight
    if count > 1:
        starts[1] = midnight + DAY - _MS
    if count > 3:
        starts[3] = starts[2]
    return starts
