"""The ledger: what each process of a connection spent of the key's quota, in files in staging.

A file has counts of requests by ten seconds, never a record. Each process writes one of its own, so
several can write at once; to read is to add them up. A file that tells nothing of the last hour is
deleted. Without the ledger, or with a torn file, a process knows less: that costs a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow.providers.common.compat.sdk import ObjectStoragePath
from pydantic import ValidationError

from airflow_provider_talkpilot.api.quota.ledger import HOUR_SLOTS, LedgerEntry
from airflow_provider_talkpilot.staging import storage
from airflow_provider_talkpilot.staging.errors import StagingError

log = logging.getLogger(__name__)

_SUFFIX = ".json"


class StagedLedger:
    """A ledger in a folder of staging.

    :param folder: of one connection, as :func:`area.ledger_folder` names it.
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder
        # Entries of processes that ended: they do not change any more.
        self._closed: dict[str, LedgerEntry] = {}
        self._has_failed = False
        # What was read last: it is better than nothing where the storage fails.
        self._known: list[LedgerEntry] = []

    def exchange(self, own: LedgerEntry) -> Sequence[LedgerEntry]:
        """Write the entry of this process in place of its last one; give those of the others.

        :param own: the entry; where nothing was sent yet, only the others' are read.
        :return: what the others wrote last; where the storage fails, which is logged once, what
            was read before.
        """
        try:
            if own.slots or own.is_waiting:
                storage.put_text(own.model_dump_json(), self._folder / f"{own.writer}{_SUFFIX}")
            self._known = self._read(own)
        except StagingError as error:
            if not self._has_failed:
                log.warning(
                    "%s What other tasks spend of the quota is not known here; that can cost "
                    "refused requests, and nothing else.",
                    error,
                )
            self._has_failed = True
        return self._known

    def _read(self, own: LedgerEntry) -> list[LedgerEntry]:
        entries = []
        for file in storage.list_entries(self._folder):
            path, writer = self._folder / file.name, file.name.removesuffix(_SUFFIX)
            if writer in (own.writer, file.name):
                continue
            entry = self._closed.get(writer) or _parse(path)
            if entry is None:
                continue  # torn, or gone meanwhile
            if _is_worthless(entry, own.written_at):
                storage.delete(path)
                self._closed.pop(writer, None)
                continue
            if entry.is_closed:
                self._closed[writer] = entry
            entries.append(entry)
        return entries


def _parse(path: ObjectStoragePath) -> LedgerEntry | None:
    try:
        text = storage.get_text(path)
        return None if text is None else LedgerEntry.model_validate_json(text)
    except (StagingError, ValidationError):
        return None


def _is_worthless(entry: LedgerEntry, now: float) -> bool:
    """Whether all requests that an entry tells of are older than an hour."""
    return entry.written_at < now - entry.slot_seconds * (HOUR_SLOTS + 1)
