"""The user's choices for columns: each is kept, dropped or hashed before anything is staged."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_talkpilot.api import CallDetail, PerformanceRecord
from airflow_provider_talkpilot.api.models import storable
from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.staging.errors import ColumnChoiceError
from airflow_provider_talkpilot.staging.rows.columns import CALLS, TABLES
from airflow_provider_talkpilot.staging.rows.performance import is_red_flag, without_personal

log = logging.getLogger(__name__)

KEEP, DROP, HASH = "keep", "drop", "hash"

LEAST_SECRET = 32
_FINGERPRINT = 8
_KNOWN_FIELDS = frozenset(CallDetail.model_fields) | frozenset(PerformanceRecord.model_fields)
_ALL = [column for columns in TABLES.values() for column in columns]
DROPPABLE = tuple(dict.fromkeys(column.name for column in _ALL if column.is_droppable))
HASHABLE = tuple(dict.fromkeys(column.name for column in _ALL if column.is_hashable))
"""Columns of all tables. A choice is for every column of its name."""
NEEDED = tuple(column.name for column in CALLS if not column.is_droppable)
"""Columns of calls that are always kept."""
# Columns with the same content as another one. They take its choice, and are not kept without it.
_FOLLOWS = {"transcript_raw": "transcript", "turns": "transcript", "caller_phone": "phone_number"}
# Fields of a staged row that a load puts into the column extra.
_KEPT_IN_EXTRA = ("extra", "drift", "detail_drift")


class Hasher:
    """Hashes texts with a secret: HMAC-SHA256 of the UTF-8 text as it came, in hex. Thread-safe.

    :param secret: at least 32 characters; white space around it does not count.
    :raises ColumnChoiceError: when the secret is shorter. There are few enough telephone numbers to
        try them all against a secret that can be guessed.
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
        """8 hex digits that tell one secret from another, and reveal nothing else."""
        return self.hash("talkpilot")[:_FINGERPRINT]

    def hash(self, text: str) -> str:
        """Hash one text: 64 hex digits."""
        mac = self._keyed.copy()
        mac.update(text.encode(errors="surrogatepass"))
        return mac.hexdigest()


class ColumnChoices:
    """Applies a user's choices to rows and to rejected records.

    :param choices: ``keep``, ``drop`` or ``hash`` by column; columns without a choice are kept.
    :param hasher: needed if a column is hashed.
    :raises ColumnChoiceError: when a column does not exist, or cannot have its choice.
    """

    def __init__(
        self, choices: Mapping[str, str] | None = None, hasher: Hasher | None = None
    ) -> None:
        self._choices = checked_choices(choices or {})
        self._hasher = hasher
        applied = dict(self._choices)
        for name, followed in _FOLLOWS.items():
            if followed in self._choices:
                applied.setdefault(name, self._choices[followed])
        self._dropped = {name for name, choice in applied.items() if choice == DROP}
        self._hashed = applied.keys() - self._dropped
        if self._hashed and not hasher:
            raise ColumnChoiceError(f"{_listed(self._hashed)} cannot be hashed without a secret.")

    @property
    def recorded(self) -> dict[str, str]:
        """The choices as manifests and tables record them: ``drop`` or ``hash-<fingerprint>``."""
        fingerprint = self._hasher.fingerprint if self._hasher and self._hashed else ""
        return {
            name: f"{HASH}-{fingerprint}" if choice == HASH else choice
            for name, choice in self._choices.items()
        }

    def drops(self, name: str) -> bool:
        return name in self._dropped

    def keeps_drift(self, name: str) -> bool:
        """Whether ``extra`` keeps an unknown field, or a value that does not fit its column."""
        return not self.drops("extra") and name not in self._dropped | self._hashed

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """Apply the choices to a staged row of a call."""
        if not self._choices:
            return row
        row = {name: self._value(name, value) for name, value in row.items()}
        # A dropped or hashed column must not come back through extra: neither when lists begin to
        # send what only details had, nor as a value that is no text and so cannot be hashed.
        for name in _KEPT_IN_EXTRA:
            kept = {k: v for k, v in (row.pop(name, None) or {}).items() if self.keeps_drift(k)}
            row |= {name: kept} if kept else {}
        return row

    def performance_row(self, row: dict[str, Any]) -> dict[str, Any]:
        """Apply the choices to a staged row of a performance record.

        A record without ``call_id`` cannot be found when its call is purged, so the row has no
        personal data.
        """
        row = self.row(row)
        if self.drops("final_score"):
            row.get("extra", {}).pop("final_result", None)
            if result := row["final_result"]:
                row["final_result"] = result | {"final_score": None}
        return row if row["call_id"] else without_personal(row)

    def reject(self, agent_id: str, reason: str, record: Any) -> dict[str, Any]:
        """Make the staged row of a record that failed validation, with the choices applied.

        :param agent_id: the agent whose record it is.
        :param reason: why it failed, without its values.
        :param record: the record as it came. A field that cannot be hashed is dropped. Unknown
            fields are kept if ``extra`` is. A record without any fields is kept only if every
            column is.
        """
        return {"agent_id": agent_id, "reason": reason, "record": self._rejected(storable(record))}

    def _rejected(self, record: Any) -> Any:
        if not isinstance(record, dict):
            return None if self._choices else record
        kept = {}
        for name, value in record.items():
            known = name in _KNOWN_FIELDS
            if self.drops(name) or (not known and self.drops("extra")):
                continue
            if self.drops("red_flags") and is_red_flag(name, value):
                continue
            if name in self._hashed and not isinstance(value, str | None):
                continue
            if name == "final_result" and self.drops("final_score"):
                fields = value.items() if isinstance(value, dict) else ()
                kept[name] = {k: v for k, v in fields if k != "final_score"} or None
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


def details_are_wanted(choices: Mapping[str, str]) -> bool:
    """Return whether choices for columns keep anything that only details have."""
    return not all(choices.get(name) == DROP for name in ("transcript", "final_score"))


def checked_choices(choices: Mapping[str, str]) -> dict[str, str]:
    """Check choices, and leave out those that change nothing.

    :return: ``drop`` or ``hash`` by column, in the table's order, without the columns that follow
        another one.
    :raises ColumnChoiceError: when a column does not exist, or cannot have its choice.
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
    for name, followed in _FOLLOWS.items():
        leading = chosen.get(followed)
        if leading and choices.get(name) == KEEP:
            raise ColumnChoiceError(
                f"columns keeps {name}, which has the same content as {followed}, and does not "
                f"keep {followed}: take {name} out, it follows {followed}."
            )
        if leading and chosen.get(name) == leading:
            del chosen[name]
    return chosen


def require_same_choices(choices: ColumnChoices, recorded: Mapping[str, str]) -> None:
    """Raise :class:`ColumnChoiceError` if calls were staged under other choices than these."""
    if choices.recorded != recorded:
        raise ColumnChoiceError(
            f"The calls were staged with {describe(recorded)}, and this task has {choices}. Give "
            "it the same columns and the same secret, or clear the task that staged the calls and "
            "the tasks after it."
        )


def choices_of(recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the choices by column from a manifest's record of them."""
    return {name: choice.partition("-")[0] for name, choice in recorded.items()}


def describe(recorded: Mapping[str, str]) -> str:
    """Describe recorded choices, for messages."""
    return ", ".join(f"{name}: {choice}" for name, choice in recorded.items()) or "all columns kept"


def warn_of_drift(counts: Mapping[str, int], choices: ColumnChoices) -> None:
    """Log one line for each column whose values did not fit, without the values."""
    for name, number in sorted(counts.items()):
        log.warning(
            "%s call(s) came with a value of %s that does not fit its column: it is null there, "
            "and %s. Report it to TalkPilot, or update this package.",
            f"{number:,}",
            name,
            "the value is in extra" if choices.keeps_drift(name) else "the value is dropped",
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names, key=DROPPABLE.index))


KEEP_ALL = ColumnChoices()
