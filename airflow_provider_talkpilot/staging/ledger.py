"""The ledger: what each process of a connection spent of the key's quota, in files in staging.

Each process writes a file of its own, so several can write at once; to read is to add them up.
Without the ledger, or with a torn file, a process knows less: that costs a refusal.
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
    """A ledger in a folder of staging, as :class:`api.quota.Ledger`.

    :param folder: of one connection, as :func:`names.ledger_folder` names it.
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder
        self._others: dict[str, LedgerEntry] = {}  # by file, as they were read last
        self._has_failed = False

    def exchange(self, own: LedgerEntry) -> Sequence[LedgerEntry]:
        """Write the own entry, once this process sent or waited; return those of the last hour.

        Where the storage fails, which is logged once, these are what was read before.
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
        """Read the others' files, and delete those that tell nothing of the last hour."""
        entries = {}
        for name, *_ in storage.list_entries(self._folder):
            if not name.endswith(_SUFFIX) or name == f"{own.writer}{_SUFFIX}":
                continue
            entry = self._others.get(name)
            if entry is None or not entry.is_closed:
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
