"""The BigQuery and the Cloud Storage emulator, started and used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_talkpilot.sandbox import BigQueryEmulator, StorageEmulator, pytest_plugin
from airflow_provider_talkpilot.sandbox.emulators import bigquery as bigquery_module
from airflow_provider_talkpilot.sandbox.emulators import storage as storage_module
from airflow_provider_talkpilot.sandbox.emulators.processes import (
    EmulatorError,
    GuardedProcess,
    MissingExtraError,
)
from tests.support.waiting import wait_until

# The fixtures that users get, here without the package being installed.
bigquery_emulator = pytest_plugin.bigquery_emulator
storage_emulator = pytest_plugin.storage_emulator

pytestmark = pytest.mark.integration


CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
PARENT = f"""
import sys, time
from airflow_provider_talkpilot.sandbox.emulators.processes import GuardedProcess

process = GuardedProcess([sys.executable, '-c', {CHILD!r}])
pid = process.wait_for(lambda: process.log().strip() or None, 20)
print(process.pid, pid, flush=True)
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie has ended.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " not in stat.read_text()


def test_an_emulator_starts_once(
    bigquery_emulator: BigQueryEmulator, storage_emulator: StorageEmulator
) -> None:
    for emulator in (bigquery_emulator, storage_emulator):
        with pytest.raises(RuntimeError, match="already"):
            emulator.start()


@pytest.mark.parametrize("emulator", [BigQueryEmulator, StorageEmulator])
def test_missing_packages_are_named(
    emulator: type[BigQueryEmulator | StorageEmulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bigquery_module, storage_module):
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install '.*\[sandbox\]'"):
        emulator().start()


def test_a_command_that_fails_shows_its_log() -> None:
    program = "import sys; sys.exit('no such luck')"
    process = GuardedProcess([sys.executable, "-c", program])
    with pytest.raises(EmulatorError, match="no such luck"):
        process.wait_for(lambda: None, 10)
    assert not process.is_running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_emulators_go_when_their_parent_is_killed(number: int) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        guard, command = parent.stdout.readline().split()
        assert is_alive(int(command))
        parent.send_signal(number)
    wait_until(lambda: not is_alive(int(guard)) and not is_alive(int(command)))


def test_command_goes_when_its_guard_is_killed() -> None:
    process = GuardedProcess([sys.executable, "-c", CHILD])
    command = process.wait_for(lambda: process.log().strip() or None, 20)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(int(command)))
    process.stop()
