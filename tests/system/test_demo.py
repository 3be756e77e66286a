"""``make demo``'s script: it ends by itself, says what happened, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.system.running import REPOSITORY, clean_environment, eventually, processes_with

pytestmark = pytest.mark.airflow3

SECONDS = 300
STOP_SECONDS = 120  # a busy machine takes long to end so many processes
MARK = "TALKPILOT_DEMO_TEST"


@dataclass
class Running:
    """A demo that runs without a terminal."""

    process: subprocess.Popen[bytes]
    output: Path
    home: Path
    temporary: Path
    mark: str

    def text(self) -> str:
        return self.output.read_text()

    def leaves_nothing(self) -> None:
        assert processes_with(MARK, self.mark) == []
        assert list(self.home.iterdir()) == []
        assert list(self.temporary.iterdir()) == []


@pytest.fixture
def demo(tmp_path: Path) -> Running:
    home, temporary, mark = tmp_path / "home", tmp_path / "tmp", str(uuid4())
    home.mkdir()
    temporary.mkdir()
    environment = clean_environment(HOME=str(home), TMPDIR=str(temporary)) | {
        MARK: mark,
        "PYTHONPATH": str(REPOSITORY),
    }
    output = tmp_path / "out"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.demo"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=home,
            start_new_session=True,
        )
    return Running(process, output, home, temporary, mark)


@pytest.fixture(autouse=True)
def ended(demo: Running) -> object:
    yield
    if demo.process.poll() is None:
        os.killpg(demo.process.pid, signal.SIGKILL)
        demo.process.wait()


def test_it_shows_the_table_and_leaves_nothing(demo: Running) -> None:
    try:
        code = demo.process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it does not end\n{demo.text()}")
    text = demo.text()
    assert code == 0, text
    assert "holds what TalkPilot holds: 32 calls." in text
    assert "4 requests, 0 of them for details" in text
    assert "README.md" in text
    assert max(map(len, text.splitlines())) <= 100
    demo.leaves_nothing()


def test_ctrl_c_ends_it_clean(demo: Running) -> None:
    eventually(lambda: "2/5" in demo.text() or None, SECONDS, "Airflow is being made", demo.text)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(STOP_SECONDS) == 130
    assert demo.text().endswith("Stopped. Nothing is left behind.\n")
    demo.leaves_nothing()
