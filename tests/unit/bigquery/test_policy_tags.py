"""Policy tags in schemas. The emulators accept them and do not return them: hence the fake."""

from __future__ import annotations

from typing import Any, cast

import pytest
from google.cloud.bigquery import Client, SchemaField, Table

from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.bigquery.policy_tags import (
    add_missing_tags,
    checked_tags,
    tagged,
    tagged_like,
)
from airflow_provider_talkpilot.bigquery.schema import staging_schema, target_schema

TAG, OTHER = (f"projects/p/locations/eu/taxonomies/1/policyTags/{n}" for n in (2, 3))


def tags_in(schema: list[SchemaField], path: str = "") -> dict[str, list[str]]:
    found = {}
    for field in schema:
        name = f"{path}{field.name}"
        if field.policy_tags:
            found[name] = list(field.policy_tags.names)
        found |= tags_in(list(field.fields), f"{name}.")
    return found


def without_tags(schema: list[SchemaField]) -> list[dict[str, Any]]:
    def plain(field: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in field.items() if name != "policyTags"}
        if "fields" in kept:
            kept["fields"] = [plain(inner) for inner in kept["fields"]]
        return kept

    return [plain(field.to_api_repr()) for field in schema]


class FakeClient:
    """Keeps a table's schema with its tags, as Google does."""

    def __init__(self, schema: list[SchemaField]) -> None:
        self.table, self.updates = Table("demo.calls.calls", schema=schema), 0

    def update_table(self, table: Table, fields: list[str]) -> Table:
        assert fields == ["schema"]
        self.updates += 1
        self.table = Table.from_api_repr(table.to_api_repr())
        return self.table

    def add(self, tags: dict[str, str]) -> dict[str, list[str]]:
        add_missing_tags(cast(Client, self), self.table, tags)
        return tags_in(self.table.schema)


def test_a_staging_table_has_the_tags_that_were_set_by_hand() -> None:
    by_hand = tagged(target_schema(), {"phone_number": TAG, "extra": OTHER})
    [transcript] = [field for field in by_hand if field.name == "transcript"]
    role, text = transcript.to_api_repr()["fields"]
    text["policyTags"] = {"names": [OTHER]}
    resource = {**transcript.to_api_repr(), "fields": [role, text]}
    target = [*(f for f in by_hand if f is not transcript), SchemaField.from_api_repr(resource)]
    for kind, inside in (("calls", {}), ("details", {"transcript.text": [OTHER]})):
        schema = staging_schema(kind)
        found = tagged_like(schema, target, {"note": TAG})
        drift = {field.name: [OTHER] for field in schema if "drift" in field.name}
        wanted = {"phone_number": [TAG], "note": [TAG], "extra": [OTHER], **drift, **inside}
        assert tags_in(found) == wanted
        assert drift
        assert without_tags(found) == without_tags(schema)


def test_missing_tags_are_added_once_and_others_stay() -> None:
    client = FakeClient(tagged(target_schema(), {"note": OTHER}))
    assert client.add({}) == {"note": [OTHER]}
    assert client.updates == 0
    tags = {"transcript": TAG, "phone_number": TAG, "note": OTHER}
    for _ in range(2):
        assert client.add(tags) == {
            "phone_number": [TAG],
            "note": [OTHER],
            "transcript.role": [TAG],
            "transcript.text": [TAG],
        }
    assert client.updates == 1
    assert without_tags(client.table.schema) == without_tags(target_schema())


@pytest.mark.parametrize("column", ["note", "transcript"])
def test_another_tag_is_not_replaced(column: str) -> None:
    client = FakeClient(tagged(target_schema(), {column: OTHER}))
    with pytest.raises(BigQueryError, match=f"The column {column}") as caught:
        client.add({"phone_number": TAG, column: TAG})
    message = str(caught.value)
    assert OTHER in message
    assert TAG in message
    assert len(message.splitlines()) == 1
    assert client.updates == 0


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ({"phone": TAG}, r"'phone', which is no column\. The columns are id, .*phone_number"),
        ({"note": "secret"}, "'secret' of note: give the tag's full name"),
        ({"note": TAG + "\n"}, "full name"),
        ({"note": [TAG]}, "full name"),
    ],
    ids=str,
)
def test_bad_tags(given: dict[str, Any], cure: str) -> None:
    given = {"extra": TAG, **given}
    with pytest.raises(BigQueryError, match=cure) as caught:
        checked_tags(given)
    assert len(str(caught.value).splitlines()) == 1
