"""The receiver of webhooks in a process: as a program, and as its container runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess

PROGRAM = [sys.executable, "-m", "airflow_provider_talkpilot.webhook"]
_START_SECONDS = 120  # a busy machine
# As in the container, where there is no Airflow.
_WITHOUT_AIRFLOW = "import runpy, sys; sys.modules['airflow'] = None; sys.argv = sys.argv[1:]; "
_RUN = "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"


def container_command() -> list[str]:
    """Return the Containerfile's command, for this Python without Airflow."""
    containerfile = Path(__file__).parents[2] / "Containerfile"
    [command] = re.findall(r"^CMD (\[.+\])$", containerfile.read_text("utf-8"), re.MULTILINE)
    python, dash_m, *rest = json.loads(command)
    assert (python, dash_m) == ("python", "-m")
    return [sys.executable, "-c", _WITHOUT_AIRFLOW + _RUN, *rest]


class Receiver:
    """A receiver that runs.

    :param url: its address, with a slash at the end.
    """

    def __init__(self, process: GuardedProcess) -> None:
        found = process.wait_for(
            lambda: re.search(r"running on http://[\d.]+:(\d+)", process.log()), _START_SECONDS
        )
        self.url = f"http://127.0.0.1:{found[1]}/"
        self._process = process

    @property
    def log(self) -> str:
        """The output so far."""
        return self._process.log()

    def kill(self) -> None:
        """Kill the guard, after which the kernel kills the receiver."""
        os.kill(self._process.pid, signal.SIGKILL)


@contextmanager
def running(
    command: list[str], staging_uri: str, settings: Mapping[str, str]
) -> Iterator[Receiver]:
    """A receiver that runs until the end of the block.

    :param settings: environment variables.
    """
    environment = {"TALKPILOT_STAGING_URI": staging_uri, "PORT": "0", **settings}
    process = GuardedProcess(command, environment)
    try:
        yield Receiver(process)
    finally:
        process.stop()
