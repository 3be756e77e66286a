"""Base classes of the sandbox's servers, which start, stop, and leave nothing behind."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess


class Service(ABC):
    """Runs from :meth:`start` to :meth:`stop`, or within a ``with`` block."""

    @abstractmethod
    def start(self) -> Self:
        """Start it; return when it responds."""

    @abstractmethod
    def stop(self) -> None:
        """End it; may be called twice."""

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self.stop()


class Emulator(Service):
    """A Google service as a process of its own, with a folder for ``gs://``.

    :param project: the project that clients use.
    :param gcs_root: folder where ``gs://bucket/name`` is ``bucket/name``; None makes one, and
        removes it at the end.
    :param port: port of the server; 0 chooses a free one.
    """

    def __init__(self, project: str, gcs_root: Path | str | None, port: int) -> None:
        self.project = project
        self.url = ""
        self._port = port
        self._process: GuardedProcess | None = None
        self._own_folder: Path | None = None
        self._given_root = None if gcs_root is None else Path(gcs_root)

    @property
    def gcs_root(self) -> Path:
        """Folder of ``gs://``: ``gs://bucket/name`` is ``bucket/name`` in it."""
        return self._given_root or self._folder() / "gcs"

    def stop(self) -> None:
        """End it and remove its files; may be called twice."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._own_folder is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self._own_folder)
            self._own_folder = None
        self.url = ""

    def _folder(self) -> Path:
        if self._own_folder is None:
            self._own_folder = Path(tempfile.mkdtemp(prefix="talkpilot-sandbox-"))
        return self._own_folder
