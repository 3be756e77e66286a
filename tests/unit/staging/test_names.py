"""Staging's names: where a run stages, and what is ours there."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from airflow_provider_talkpilot.api import CallFilters, Interval
from airflow_provider_talkpilot.staging.errors import StagingUriError
from airflow_provider_talkpilot.staging.names import (
    FileName,
    Folder,
    interval_folder,
    ledger_folder,
    public_name,
    root_of,
    unfinished_name,
)
from airflow_provider_talkpilot.staging.storage import normal_uri, parse_uri

DAY = Interval(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC))
PLAIN = "file:///staging/dag/talkpilot_default/all/20260316T000000Z_20260317T000000Z"
SHA256 = "0123456789abcdef" * 4
# Ids that would be alike if a folder were only stripped of strange characters.
ALIKE = ("a/b", "a b", "a-b", "ü", "ö", "inbox", "inbox-dag", "_quota", "..")


def folder_of(**fields: Any) -> str:
    """The folder of a run; only the named arguments differ from the usual ones."""
    given: dict[str, Any] = {
        "dag_id": "dag",
        "connection_id": "talkpilot_default",
        "agent_ids": None,
        "filters": CallFilters(),
        "interval": DAY,
        **fields,
    }
    path = interval_folder(parse_uri("file:///staging"), **given)
    parsed = Folder.parse(path)
    assert parsed
    assert (parsed.interval, str(root_of(path))) == (given["interval"], "file:///staging")
    return str(path)


def test_the_same_work_stages_in_the_same_folder() -> None:
    assert folder_of() == folder_of(columns={}) == PLAIN
    assert folder_of(agent_ids=["b", "a"]) == folder_of(agent_ids=["a", "b"])
    both = {"note": "drop", "employee": "drop"}
    assert folder_of(columns=both) == folder_of(columns=dict(reversed(both.items())))


def test_other_work_stages_elsewhere() -> None:
    differences: list[list[dict[str, Any]]] = [
        [{}, *({"dag_id": name} for name in ALIKE)],
        [{}, *({"connection_id": name} for name in ALIKE)],
        [{}, {"agent_ids": ["a"]}, {"agent_ids": ["a", "b"]}],
        [{}, {"filters": CallFilters(done=True)}, {"filters": CallFilters(search="x")}],
        [{}, *({"columns": {"note": choice}} for choice in ("drop", "hash-11111111", "hash-2"))],
        [{}, {"interval": Interval(DAY.start.replace(microsecond=5), DAY.end)}],
    ]
    runs = [{k: v for part in parts for k, v in part.items()} for parts in product(*differences)]
    assert len({folder_of(**run) for run in runs}) == len(runs)
    assert len({ledger_folder(parse_uri("/x"), name).path for name in ALIKE}) == len(ALIKE)


def test_a_path_has_no_callers_number_and_no_strange_character() -> None:
    path = folder_of(filters=CallFilters(phone_number="+493023125001", search="Müller"))
    assert "3023125001" not in path
    assert "ller" not in path
    # Readers of the path cannot try all numbers: they lack the key.
    paths = [folder_of(filters=CallFilters(search="x"), api_key=key) for key in ("one", "two")]
    assert paths[0] != paths[1]
    assert "/" not in folder_of(dag_id="a/../b c").split("/staging/")[1].split("/talkpilot")[0]


def test_a_public_name_lacks_the_digest_of_a_number() -> None:
    path = folder_of(filters=CallFilters(phone_number="+493023125001"), columns={"note": "drop"})
    name = public_name(parse_uri(path))
    assert name.startswith("file:///staging/dag/talkpilot_default/all-selection-columns-")
    assert public_name(parse_uri(PLAIN)) == PLAIN.rpartition("/")[0]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (FileName("part", "rejects", SHA256, 7), "rejects-00007-0123456789abcdef.jsonl"),
        (FileName("part", "calls", SHA256, 123456), "calls-123456-0123456789abcdef.jsonl"),
        (FileName("manifest", "calls", SHA256), "calls-manifest-0123456789abcdef.json"),
        (FileName("loaded", "details", SHA256), "details-loaded-0123456789abcdef.json"),
        (FileName("checkpoint", "details"), "details-checkpoint.json"),
    ],
)
def test_names_are_read_as_they_were_made(given: FileName, name: str) -> None:
    assert str(given) == name
    read = given._replace(checksum=given.checksum[:16])
    assert FileName.parse(name) == read
    assert FileName.parse(unfinished_name(name)) == read._replace(unfinished=True)


@pytest.mark.parametrize(
    "name",
    [".README.01234567", "rejects-checkpoint.json", "calls-checkpoint-0123456789abcdef.json"],
)
def test_files_that_are_not_ours(name: str) -> None:
    assert FileName.parse(name) is None


@pytest.mark.parametrize(
    ("given", "one"),
    [
        (("gs://bucket/a/b", "gs://bucket//a/b", " gs://bucket/a///b// ", "GS://bucket/a/b/"),
         "gs://bucket/a/b"),
        (("gs://bucket", "gs://bucket/", "gs://bucket//"), "gs://bucket"),
        (("s3://conn@bucket/a", "s3://conn@bucket//a/"), "s3://conn@bucket/a"),
        (("/a/b", "//a//b/", "file:///a/b", "file:////a/b/", "local:///a/b"), "file:///a/b"),
        (("/ü b/c", "file:///ü b/c"), "file:///ü b/c"),
        (("gs://bucket/50%/x~", "gs://bucket/50%/x~/"), "gs://bucket/50%/x~"),
    ],
)  # fmt: skip
def test_a_place_has_one_uri(given: tuple[str, ...], one: str) -> None:
    assert {normal_uri(uri) for uri in given} == {one}
    assert normal_uri(one) == one


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        (("", "  "), "set staging_uri"),
        (("a/b", "./a", "~/a", "a", "file:a", "file://a/b", "file://~/a", "gs:/bucket", "gs://",
          "gs:///a", "://a", "local://a", "C:\\a", "bucket//folder"), "shape is gs://bucket/folder"),
        (("/a/../b", "/./a", "gs://bucket/..", "gs://bucket/./a", "/~/a", "/~kim/a",
          "gs://bucket/~"), "write the whole path"),
        (("gs://bucket/a*", "gs://bucket/a?b=c", "gs://bucket/a#1", "/a[1]", "/a\nb", "/a\\b"),
         "leave out"),
        (("file:///a%20b", "/100%"), "without %"),
        (("gs:// bucket/a", "gs://bucket /a"), "blanks around"),
    ],
)  # fmt: skip
def test_a_uri_that_could_be_another_place(given: tuple[Any, ...], cure: str) -> None:
    for uri in given:
        with pytest.raises(StagingUriError, match=cure) as caught:
            normal_uri(uri)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(StagingUriError, match="install the Airflow provider of its scheme"):
        parse_uri("nowhere://bucket/a")
