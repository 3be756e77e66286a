"""Part files: one record a line, complete or absent, recognised when torn."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_talkpilot.staging.errors import ManifestError
from airflow_provider_talkpilot.staging.inventory import list_parts
from airflow_provider_talkpilot.staging.parts import Part, PartWriter, read_intact, read_records
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


def stage(folder: ObjectStoragePath, rows: list[Any]) -> Part | None:
    with PartWriter(folder, "calls") as writer:
        writer.write(rows)
        return writer.flush()


@given(batch=records)
def test_one_line_a_record(batch: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = parse_uri(temporary)
        part = stage(folder, batch)
        if part is None:
            assert not batch
            assert not list(Path(temporary).iterdir())
            return
        stored = Path(temporary, part.name).read_bytes()
        assert stored.endswith(b"\n")
        assert [json.loads(line) for line in stored.removesuffix(b"\n").split(b"\n")] == batch
        assert stored.count(b"\n") == part.rows == len(batch)
        assert (part.bytes, part.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
        assert list(read_records(folder / part.name)) == batch
        assert read_intact(folder / part.name) == (part, batch)


@given(kept=records, dropped=records, after=records)
def test_an_error_drops_its_block(kept: list[Any], dropped: list[Any], after: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = parse_uri(temporary)
        with PartWriter(folder, "calls") as writer:
            writer.write(kept)
            with suppress(KeyError), writer.all_or_nothing():
                writer.write(dropped)
                raise KeyError
            assert writer.rows == len(kept)
            writer.write(after)
            part = writer.flush()
        assert (list(read_records(folder / part.name)) if part else []) == kept + after


def test_parts_are_numbered_and_start_empty(folder: ObjectStoragePath) -> None:
    with PartWriter(folder, "details", first=7) as writer:
        for text in ("a", "b"):
            writer.write([{"text": text}])
            part = writer.flush()
            assert part
            assert (part.rows, writer.rows, writer.bytes) == (1, 0, 0)
        assert writer.flush() is None
    names = [path.name[:14] for path in list_parts(folder, "details")]
    assert names == ["details-00007-", "details-00008-"]


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
    part = stage(folder, [{"number": number} for number in range(100)])
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


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "is gone.* again"),
        *[(stored, "torn or was altered: .* again") for stored in (b"{", b"\x1f\x8b", b"{}\nx,")],
    ],
)
def test_a_part_that_cannot_be_read(
    folder: ObjectStoragePath, stored: bytes | None, message: str
) -> None:
    path = folder / "calls-00000-0123456789abcdef.jsonl"
    if stored:
        Path(path.path).write_bytes(stored)
    assert read_intact(path) is None
    with pytest.raises(ManifestError, match=message):
        list(read_records(path))
