"""``make demo``'s script: it ends by itself, says what happened, and leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.running import Program

pytestmark = [pytest.mark.airflow3, pytest.mark.slow]

SECONDS = 900


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path, "scripts.demo") as running:
        yield running


def leaves_nothing(demo: Program) -> None:
    assert demo.processes() == []
    assert list(demo.home.iterdir()) == []
    assert list(demo.temporary.iterdir()) == []


def test_it_shows_the_table_and_leaves_nothing(demo: Program) -> None:
    assert demo.process.wait(SECONDS) == 0, demo.text()
    text = demo.text()
    assert "holds what TalkPilot holds: 32 calls." in text
    assert text.count("7 requests, 0 of them for details") == 3
    assert "7   4 + 16 = 20" in text
    assert "README.md" in text
    assert max(map(len, text.splitlines())) <= 100
    leaves_nothing(demo)


def test_ctrl_c_ends_it_clean(demo: Program) -> None:
    demo.says("(2/5)", SECONDS)
    assert demo.stop() == 130
    assert demo.text().endswith("Stopped. Nothing is left behind.\n")
    leaves_nothing(demo)
