"""Starts emulators as processes that cannot outlive this one."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from airflow_provider_talkpilot.sandbox.emulators import guard

HOST = "127.0.0.1"
_STOP_SECONDS = 12
_POLL_SECONDS = 0.02
_LOG_TAIL = 2000

Found = TypeVar("Found")

# The environment's proxies are for other machines.
loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class EmulatorError(RuntimeError):
    """An emulator did not start; the message says why and what to do."""


class MissingExtraError(EmulatorError):
    """A package of the extra ``sandbox`` is not installed.

    :param package: its name.
    """

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed: pip install 'airflow-provider-talkpilot[sandbox]'"
        )


def free_port() -> int:
    """Return a port that is free now; another process can take it before the caller does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def bind(port: int = 0) -> socket.socket:
    """Bind a socket to the loopback address, so that no other program can take the port.

    :param port: 0 chooses a free one.
    :raises OSError: when the port is in use.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


class GuardedProcess:
    """A command that runs until :meth:`stop`, or until this process ends.

    :param command: program and arguments.
    :param environment: environment variables, on top of this process's.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self._name = Path(command[0]).name
        # A file without a name: it disappears with the last process that has it open.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open until stop()
        try:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(guard.__file__)), *command],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, **(environment or {})},
                # Ctrl-C in a terminal goes to this process, which then ends the command.
                start_new_session=True,
            )
        except OSError:
            self._log.close()
            raise

    @property
    def pid(self) -> int:
        """The process id of the guard, which is the command's parent."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return what the command has printed; empty after :meth:`stop`."""
        if self._log.closed:
            return ""
        descriptor = self._log.fileno()
        # Not `read`: it would move the position where the command writes.
        content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        return content.decode(errors="replace")

    def wait_for(self, look: Callable[[], Found | None], seconds: float) -> Found:
        """Call a function until it returns something else than None.

        :param look: the function.
        :param seconds: how long to wait at most.
        :raises EmulatorError: when the command ended or the time is over; the command is stopped.
        """
        deadline = time.monotonic() + seconds
        while self.is_running and time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(_POLL_SECONDS)
        reason = f"did not respond within {seconds:g} seconds" if self.is_running else "ended"
        tail = self.log()[-_LOG_TAIL:].strip()
        self.stop()
        raise EmulatorError(f"{self._name} {reason}. The end of its log:\n{tail}")

    def stop(self) -> None:
        """End the command: with SIGTERM, then with SIGKILL; may be called twice."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def responds(url: str) -> bool | None:
    """Return True if a GET of the address succeeds, else None."""
    try:
        with loopback.open(url, timeout=5) as response:
            return True if response.status < 400 else None
    except (urllib.error.URLError, OSError):
        return None
