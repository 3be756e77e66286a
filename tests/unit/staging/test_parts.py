"""Part files: one record a line, complete or absent, recognised when torn."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.inventory import list_parts
from airflow_provider_talkpilot.staging.parts import PartWriter, read_intact, read_records
from airflow_provider_talkpilot.staging.storage import parse_uri

SEPARATORS = '\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0"\\'
records = st.lists(
    st.dictionaries(
        st.text(max_size=5), st.text(st.sampled_from(SEPARATORS) | st.characters(codec="utf-8"))
    ),
    max_size=5,
)


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStoragePath:
    return parse_uri(tmp_path.as_uri())


def content(path: ObjectStoragePath) -> bytes:
    return Path(path.path).read_bytes()


@given(batch=records)
def test_one_line_a_record(batch: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = parse_uri(temporary)
        with PartWriter(folder, "calls") as writer:
            writer.write(batch)
            part = writer.flush()
        if part is None:
            assert not batch
            assert not list(Path(temporary).iterdir())
            return
        stored = content(folder / part.name)
        assert stored.endswith(b"\n")
        assert [json.loads(line) for line in stored.removesuffix(b"\n").split(b"\n")] == batch
        assert stored.count(b"\n") == part.rows == len(batch)
        assert (part.bytes, part.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
        assert list(read_records(folder / part.name)) == batch
        assert read_intact(folder / part.name) == (part, batch)


@given(kept=records, dropped=records, after=records)
def test_rollback(kept: list[Any], dropped: list[Any], after: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = parse_uri(temporary)
        with PartWriter(folder, "calls") as writer:
            writer.write(kept)
            mark = writer.mark()
            writer.write(dropped)
            writer.rollback(mark)
            assert writer.rows == len(kept)
            writer.write(after)
            part = writer.flush()
        found = list(read_records(folder / part.name)) if part else []
        assert found == kept + after


def test_parts_are_numbered_and_start_empty(folder: ObjectStoragePath) -> None:
    with PartWriter(folder, "details", first=7) as writer:
        for text in ("a", "b"):
            writer.write([{"text": text}])
            part = writer.flush()
            assert part
            assert part.rows == 1
            assert (writer.rows, writer.bytes) == (0, 0)
        assert writer.flush() is None
    names = [path.name[:14] for path in list_parts(folder, "details")]
    assert names == ["details-00007-", "details-00008-"]


def test_the_same_rows_make_the_same_part(folder: ObjectStoragePath) -> None:
    names = []
    for _ in range(2):
        with PartWriter(folder, "calls") as writer:
            writer.write([{"a": 1}])
            part = writer.flush()
            assert part
            names.append(part.name)
    assert names[0] == names[1]


def test_nothing_is_staged_without_a_flush(folder: ObjectStoragePath, tmp_path: Path) -> None:
    with PartWriter(folder, "calls") as writer:
        writer.write([{"a": 1}])
    assert not list(tmp_path.iterdir())


def test_a_record_that_cannot_be_written_takes_nothing_with_it(folder: ObjectStoragePath) -> None:
    with PartWriter(folder, "calls") as writer:
        writer.write([{"a": 1}])
        with pytest.raises(ValueError, match="serialize"):
            writer.write([{"a": 2}, {"a": object()}])
        part = writer.flush()
    assert part
    assert list(read_records(folder / part.name)) == [{"a": 1}]


@pytest.mark.parametrize("harm", ["cut", "longer", "altered", "empty"])
def test_a_harmed_part_is_recognised(folder: ObjectStoragePath, harm: str) -> None:
    with PartWriter(folder, "details") as writer:
        writer.write([{"number": number} for number in range(100)])
        part = writer.flush()
    assert part
    path = Path((folder / part.name).path)
    stored = path.read_bytes()
    harmed = {
        "cut": stored[:-7],
        "longer": stored + b"{}\n",
        "altered": stored[:-3] + bytes([stored[-3] ^ 1]) + stored[-2:],
        "empty": b"",
    }
    path.write_bytes(harmed[harm])
    assert read_intact(folder / part.name) is None


def test_a_part_that_is_gone(folder: ObjectStoragePath) -> None:
    gone = folder / "calls-00000-0123456789abcdef.jsonl"
    assert read_intact(gone) is None
    with pytest.raises(ManifestError, match="again"):
        list(read_records(gone))


@pytest.mark.parametrize("stored", [b"{", b"\x1f\x8b", b"{}\nnull,"])
def test_a_torn_part_says_so(folder: ObjectStoragePath, stored: bytes) -> None:
    path = folder / "calls-00000-0123456789abcdef.jsonl"
    Path(path.path).write_bytes(stored)
    with pytest.raises(ManifestError, match=r"torn or was altered: .* again"):
        list(read_records(path))
