"""Every picture is in a document, with words for who does not see it, and small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.pictures import IMAGES, MOST_BYTES
from tests.support.docs import DOCS

PICTURES = sorted(IMAGES.glob("*"))


def shown() -> dict[Path, str]:
    """The pictures in all documents, and their words."""
    found = {}
    for document in [DOCS.parent / "README.md", *DOCS.glob("*.md")]:
        for words, target in re.findall(r"!\[(.*?)\]\((.+?)\)", document.read_text("utf-8")):
            found[(document.parent / target).resolve()] = words
    return found


def test_every_picture_is_shown_and_told() -> None:
    assert set(shown()) == set(PICTURES)
    assert all(len(words) > 20 for words in shown().values())


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_what_its_name_says(path: Path) -> None:
    begins = {".png": b"\x89PNG\r\n", ".svg": b"<svg "}[path.suffix]
    assert path.read_bytes().startswith(begins)
    assert path.stat().st_size < MOST_BYTES
