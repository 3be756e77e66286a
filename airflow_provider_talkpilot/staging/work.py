"""Work that a task stages part by part, so that the next try goes on from what is staged."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from typing import Generic, TypeVar

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.compat import ObjectStoragePath
from airflow_provider_talkpilot.staging.manifests import Manifest
from airflow_provider_talkpilot.staging.parts import PartWriter

SomeManifest = TypeVar("SomeManifest", bound=Manifest)


class StagedWork(ExitStack, Generic[SomeManifest]):
    """A task's rows and rejects, and the manifest of what is staged of them; a context manager.

    :param client: the API; its requests are counted.
    :param folder: where everything is staged.
    :param manifest: gets the parts, and the requests spent.
    :param first: number of the first part of rows.
    :ivar rows: stages the rows.
    :ivar rejects: stages the records that failed validation.
    :ivar flushed_at: when both were last staged, on the monotonic clock.
    """

    def __init__(
        self, client: TalkPilotClient, folder: ObjectStoragePath, manifest: SomeManifest, first: int
    ) -> None:
        super().__init__()
        self.client, self.folder, self.manifest = client, folder, manifest
        self.rows = self.enter_context(PartWriter(folder, manifest.kind, first=first))
        rejects = PartWriter(folder, "rejects", first=len(manifest.rejects))
        self.rejects = self.enter_context(rejects)
        self._requests_before = Counter(manifest.requests)
        self.flushed_at = time.monotonic()

    def flush(self) -> bool:
        """Stage what was written since the last flush; return whether there were rows."""
        if part := self.rows.flush():
            self.manifest.parts.append(part)
        if rejects := self.rejects.flush():
            self.manifest.rejects.append(rejects)
        self.manifest.requests = dict(self._requests_before + self.client.requests)
        self.flushed_at = time.monotonic()
        return part is not None
