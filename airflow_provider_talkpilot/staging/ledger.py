"""The ledger: files in staging that show what each process of a connection spent of the quota.

Each process writes a file of its own, so several can write at once. A process that cannot read the
ledger, or a torn file of it, knows less; that can cost a refused request.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pydantic import ValidationError

from airflow_provider_talkpilot.api.quota.traffic import HOUR_SLOTS, LedgerEntry
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError

log = logging.getLogger(__name__)

_SUFFIX = ".json"


class StagedLedger:
    """A :class:`api.quota.Ledger` in a folder of staging.

    :param folder: the connection's, from :func:`names.ledger_folder`.
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder
        self._others: dict[str, LedgerEntry] = {}  # by file, as last read
        self._has_failed = False

    def sync(self, own: LedgerEntry) -> Sequence[LedgerEntry]:
        """Write the process's own entry, and return the others' entries of the last hour.

        A process that has neither sent nor waited writes nothing. If the storage fails, this logs a
        warning once, and returns the entries that were read before.
        """
        try:
            if own.slots or own.is_waiting:
                storage.put_text(own.model_dump_json(), self._folder / f"{own.writer}{_SUFFIX}")
            self._others = self._read(own)
        except StagingError as error:
            if not self._has_failed:
                log.warning(
                    "%s What other tasks spend of the quota is not known here; that can cost "
                    "refused requests, and nothing else.",
                    error,
                )
            self._has_failed = True
        return list(self._others.values())

    def _read(self, own: LedgerEntry) -> dict[str, LedgerEntry]:
        """Read the others' files, and delete those that are older than an hour."""
        entries = {}
        for name, *_ in storage.list_entries(self._folder):
            if not name.endswith(_SUFFIX) or name == f"{own.writer}{_SUFFIX}":
                continue
            entry = self._others.get(name)
            if entry is None or not entry.is_last:
                entry = _parse(self._folder / name)
            if entry is None:
                continue  # torn, or gone meanwhile
            if entry.written_at < own.written_at - entry.slot_seconds * (HOUR_SLOTS + 1):
                storage.delete(self._folder / name)
            else:
                entries[name] = entry
        return entries


def _parse(path: ObjectStoragePath) -> LedgerEntry | None:
    try:
        text = storage.get_text(path)
        return None if text is None else LedgerEntry.model_validate_json(text)
    except (StagingError, ValidationError):
        return None
