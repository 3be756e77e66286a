"""What becomes of each column before anything is staged: kept, dropped, or hashed."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_talkpilot.api import CallDetail, PerformanceRecord
from airflow_provider_talkpilot.api.models import RECORDING
from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.staging.columns import NEEDED, TABLES
from airflow_provider_talkpilot.staging.errors import ColumnChoiceError
from airflow_provider_talkpilot.staging.rows import is_red_flag, without_personal

log = logging.getLogger(__name__)

KEEP, DROP, HASH = "keep", "drop", "hash"

LEAST_SECRET = 32
_FINGERPRINT = 8
_KNOWN_FIELDS = frozenset(CallDetail.model_fields) | frozenset(PerformanceRecord.model_fields)
_ALL = [column for columns in TABLES.values() for column in columns]
DROPPABLE = tuple(dict.fromkeys(column.name for column in _ALL if column.is_droppable))
HASHABLE = tuple(dict.fromkeys(column.name for column in _ALL if column.is_hashable))
"""Of all tables. A choice is for every column of its name."""
# They hold the words of the transcript: who drops it drops them too.
_SAME_WORDS = ("transcript_raw", "turns")
_FOLLOWS = {"caller_phone": "phone_number"}
# Of a staged row: these become the column extra.
_KEPT_IN_EXTRA = ("extra", "drift", "detail_drift")


class Hasher:
    """Hashes texts with a secret: HMAC-SHA256 of the UTF-8 text as it came, in hex. Thread-safe.

    :param secret: at least 32 characters; white space around it does not count.
    :raises ColumnChoiceError: when it is shorter. Telephone numbers are few enough to try them all
        against a secret that can be guessed.
    """

    def __init__(self, secret: str) -> None:
        secret = secret.strip()
        if len(secret) < LEAST_SECRET:
            raise ColumnChoiceError(
                f"The secret to hash with has {len(secret)} character(s), and needs {LEAST_SECRET} "
                "at least: put a random one, such as openssl rand -hex 32 prints, into the "
                "password of the connection that hash_conn_id names."
            )
        self._keyed = hmac.new(secret.encode(errors="surrogatepass"), digestmod="sha256")

    @property
    def fingerprint(self) -> str:
        """Tells one secret from another, and nothing else about it."""
        return self.hash("talkpilot")[:_FINGERPRINT]

    def hash(self, text: str) -> str:
        """Hash one text: 64 hex digits."""
        mac = self._keyed.copy()
        mac.update(text.encode(errors="surrogatepass"))
        return mac.hexdigest()


class ColumnChoices:
    """Applies a user's choices to rows and to rejected records.

    :param choices: ``keep``, ``drop`` or ``hash`` by column; columns that are not named are kept.
    :param hasher: where a column is hashed.
    :raises ColumnChoiceError: when a column or its choice cannot be.
    """

    def __init__(
        self, choices: Mapping[str, str] | None = None, hasher: Hasher | None = None
    ) -> None:
        self._choices = checked_choices(choices or {})
        self._hasher = hasher
        self._dropped = {name for name, choice in self._choices.items() if choice == DROP}
        self._hashed = self._choices.keys() - self._dropped
        if "transcript" in self._dropped:
            self._dropped |= set(_SAME_WORDS)
        if self._hashed and not hasher:
            raise ColumnChoiceError(f"{_listed(self._hashed)} cannot be hashed without a secret.")
        for name, of in _FOLLOWS.items():
            if name not in (choices or {}):
                self._dropped |= {name} if of in self._dropped else set()
                self._hashed |= {name} if of in self._hashed else set()

    @property
    def recorded(self) -> dict[str, str]:
        """The choices as manifests and tables keep them: ``drop`` or ``hash-<fingerprint>``."""
        fingerprint = self._hasher.fingerprint if self._hasher and self._hashed else ""
        return {
            name: f"{HASH}-{fingerprint}" if choice == HASH else choice
            for name, choice in self._choices.items()
        }

    @property
    def details_are_wanted(self) -> bool:
        """Whether a detail has anything that is kept."""
        return not {"transcript", "final_score"} <= self._dropped

    def drops(self, name: str) -> bool:
        return name in self._dropped

    def keeps_drift(self, name: str) -> bool:
        """Whether a value that does not fit a column, or a field of no column, is kept in extra."""
        return not self.drops("extra") and name not in self._dropped | self._hashed

    def rows(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Apply the choices to rows as the table has them."""
        return [self.row(row) for row in rows] if self._choices else rows

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """Apply the choices to a row as the table has it."""
        if not self._choices:
            return row
        row = {name: self._value(name, value) for name, value in row.items()}
        # A list that begins to send what only details had is no way around a choice. Neither is a
        # value that does not fit its column: what is no text cannot be hashed.
        for name in _KEPT_IN_EXTRA:
            kept = {k: v for k, v in (row.pop(name, None) or {}).items() if self.keeps_drift(k)}
            row |= {name: kept} if kept else {}
        return row

    def performance_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Apply the choices to rows of performance records, in place of :meth:`rows`.

        A record without ``call_id`` cannot be found when its call is purged: it is staged without
        personal data.
        """
        chosen = []
        for row in self.rows(rows):
            if self.drops("final_score"):
                row.get("extra", {}).pop("final_result", None)
                row["final_result"] = row["final_result"] and {
                    **row["final_result"],
                    "final_score": None,
                }
            chosen.append(row if row["call_id"] else without_personal(row))
        return chosen

    def reject(self, record: Any) -> Any:
        """Apply the choices to a record that failed validation.

        What cannot be hashed is dropped. Unknown fields go the way of ``extra``, and a record that
        has no fields at all is kept only where everything is.
        """
        if not isinstance(record, dict):
            return None if self._choices else record
        kept = {}
        for name, value in record.items():
            known = name in _KNOWN_FIELDS
            if name == RECORDING or self.drops(name) or (not known and self.drops("extra")):
                continue
            if self.drops("red_flags") and is_red_flag(name, value):
                continue
            if name in self._hashed and not isinstance(value, str | None):
                continue
            kept[name] = self._value(name, value)
        return kept

    def _value(self, name: str, value: Any) -> Any:
        if name in self._dropped:
            return [] if name in ("transcript", "turns", "red_flags") else None
        if name in self._hashed and value and self._hasher:
            return self._hasher.hash(value)
        return value

    def __str__(self) -> str:
        return describe(self.recorded)


def checked_choices(choices: Mapping[str, str]) -> dict[str, str]:
    """Check choices, and leave out what says nothing.

    :return: ``drop`` or ``hash`` by column, in the table's order; not what goes with ``transcript``
        where that is dropped.
    :raises ColumnChoiceError: when a column or its choice cannot be.
    """
    for name, choice in choices.items():
        if name not in DROPPABLE and name not in NEEDED:
            raise ColumnChoiceError(
                f"columns names {plain(repr(name))}, which is no column. Choose among "
                f"{_listed(DROPPABLE)}."
            )
        if choice not in (KEEP, DROP, HASH):
            raise ColumnChoiceError(
                f"columns says {plain(repr(choice))} of {name}: say keep, drop or hash."
            )
        if choice != KEEP and name in NEEDED:
            raise ColumnChoiceError(
                f"columns cannot {choice} {name}, which the provider needs: take it out. What can "
                f"be chosen is {_listed(DROPPABLE)}."
            )
        if choice == HASH and name not in HASHABLE:
            raise ColumnChoiceError(
                f"columns cannot hash {name}: keep or drop it. What can be hashed is "
                f"{_listed(HASHABLE)}."
            )
    chosen = {name: choices[name] for name in DROPPABLE if choices.get(name, KEEP) != KEEP}
    if chosen.get("transcript") == DROP:
        for name in _SAME_WORDS:
            if choices.get(name, DROP) != DROP:
                raise ColumnChoiceError(
                    f"columns drops transcript and keeps {name}, which holds the same words: "
                    f"take {name} out, it goes with transcript."
                )
            chosen.pop(name, None)
    return chosen


def require_same_choices(choices: ColumnChoices, recorded: Mapping[str, str]) -> None:
    """Raise :class:`ColumnChoiceError` where calls were staged under other choices than these."""
    if choices.recorded != recorded:
        raise ColumnChoiceError(
            f"The calls were staged with {describe(recorded)}, and what belongs to them would be "
            f"with {choices}. Give this task the same columns and the same secret, or clear the "
            "task that staged the calls and those after it."
        )


def choices_of(recorded: Mapping[str, str]) -> dict[str, str]:
    """Choices by column from what a manifest recorded."""
    return {name: choice.partition("-")[0] for name, choice in recorded.items()}


def describe(recorded: Mapping[str, str]) -> str:
    """Say recorded choices in words, for messages."""
    return ", ".join(f"{name}: {choice}" for name, choice in recorded.items()) or "all columns kept"


def warn_of_drift(counts: Mapping[str, int], choices: ColumnChoices) -> None:
    """Log one line for each column whose values did not fit, without any value."""
    for name, number in sorted(counts.items()):
        log.warning(
            "%s call(s) came with a value of %s that does not fit its column: it is null there, "
            "and %s. Report it to TalkPilot, or update this package.",
            f"{number:,}",
            name,
            "the value is in extra" if choices.keeps_drift(name) else "columns has it dropped",
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names, key=DROPPABLE.index))


KEEP_ALL = ColumnChoices()
