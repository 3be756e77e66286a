"""``make demo``'s Airflow: a Ctrl-C at the worst moment leaves nothing that runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.airflow_command import Airflow


def test_ctrl_c_while_a_process_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, popen = list[subprocess.Popen[bytes]](), subprocess.Popen

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        process = popen(sleep, **options)
        started.append(process)
        signal.raise_signal(signal.SIGINT)  # it runs, and Airflow() does not know it yet
        return process

    monkeypatch.setattr("scripts.airflow_command.subprocess.Popen", start)
    # A shell starts programs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Airflow(tmp_path, tmp_path / "log", {}).run("version", seconds=60)
    finally:
        signal.signal(signal.SIGINT, before)
    [process] = started
    assert process.returncode is not None
