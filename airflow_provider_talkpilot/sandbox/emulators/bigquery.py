"""A BigQuery on this machine: bqemulator, in a process of its own."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from airflow_provider_talkpilot.sandbox.emulators.processes import (
    HOST,
    GuardedProcess,
    MissingExtraError,
    responds,
)
from airflow_provider_talkpilot.sandbox.emulators.service import Emulator

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from google.cloud.bigquery import Client

EXTENSIONS = ("spatial", "avro")
"""DuckDB extensions that bqemulator needs and would download."""

_PACKAGES = ("bqemulator", "duckdb_extensions", *(f"duckdb_extension_{e}" for e in EXTENSIONS))
_START_SECONDS = 60
_LISTENS = re.compile(r'^\{.*"port": (\d+).*"event": "rest\.listen".*\}$', re.MULTILINE)


def install_extensions(home: Path) -> None:
    """Install the DuckDB extensions from their Python packages into a home folder, if missing.

    :param home: DuckDB looks for them in ``.duckdb`` below it.
    """
    import duckdb

    import_extension = importlib.import_module("duckdb_extensions").import_extension
    directory = home / ".duckdb" / "extensions"
    directory.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET extension_directory = ?", [str(directory)])
        for name in EXTENSIONS:
            if not _is_installed(connection, name):
                try:
                    import_extension(name, con=connection)
                except duckdb.Error:
                    # Another process may have installed it at the same moment.
                    if not _is_installed(connection, name):
                        raise


def _is_installed(connection: DuckDBPyConnection, name: str) -> bool:
    query = "SELECT installed FROM duckdb_extensions() WHERE extension_name = ?"
    row = connection.execute(query, [name]).fetchone()
    return bool(row and row[0])


def _is_writable(home: Path) -> bool:
    try:
        (home / ".duckdb").mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=home / ".duckdb"):
            return True
    except OSError:
        return False


class BigQueryEmulator(Emulator):
    """A BigQuery on this machine, empty at the start and removed at the end.

    :param project: the project that clients use.
    :param gcs_root: folder where ``gs://bucket/name`` is ``bucket/name``; None makes one, and
        removes it at the end.
    :param port: port of the REST API; 0 chooses a free one.
    :param home: home folder for DuckDB's extensions; None is the user's, or a temporary one if
        that is not writable.
    """

    def __init__(
        self,
        *,
        project: str = "demo",
        gcs_root: Path | str | None = None,
        port: int = 0,
        home: Path | str | None = None,
    ) -> None:
        super().__init__(project, gcs_root, port)
        self._home = None if home is None else Path(home)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which Airflow's Google provider uses it."""
        connection = {
            "conn_type": "google_cloud_platform",
            "extra": {"is_anonymous": True, "project": self.project, "location": "US"},
        }
        return {
            "BIGQUERY_EMULATOR_HOST": self.url,
            "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(connection),
        }

    def start(self) -> Self:
        """Start it; return when it responds (about 3 seconds).

        :raises MissingExtraError: when a package is not installed.
        :raises EmulatorError: when it does not start.
        """
        if self._process is not None:
            raise RuntimeError("the BigQuery emulator runs already")
        for package in _PACKAGES:
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(package.replace("_", "-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        home = self._home or Path(os.environ.get("HOME") or Path.home())
        if self._home is None and not _is_writable(home):
            home = self._folder() / "home"
        install_extensions(home)
        self.gcs_root.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bqemulator", "start", "--ephemeral"]
        command += ["--rest-host", HOST, "--grpc-host", HOST, "--grpc-port", "0"]
        # It chooses its port itself and logs it, so no other process can take the port first.
        command += ["--rest-port", str(self._port), "--log-format", "json", "--log-level", "info"]
        command += ["--project", self.project]
        environment = {
            "HOME": str(home),
            "BQEMU_GCS_LOCAL_ROOT": str(self.gcs_root),
            # By default it shares one folder with every other emulator, and leaves it behind.
            "BQEMU_UPLOAD_STAGING_DIR": str(self._folder() / "uploads"),
        }
        process = self._process = GuardedProcess(command, environment)

        def port() -> int | None:
            match = _LISTENS.search(process.log())
            return int(match[1]) if match else None

        self.url = f"http://{HOST}:{process.wait_for(port, _START_SECONDS)}"
        process.wait_for(lambda: responds(f"{self.url}/readyz"), _START_SECONDS)

    def client(self) -> Client:
        """Create a client of Google's library, without credentials."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.bigquery import Client

        return Client(
            project=self.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self.url},
        )
