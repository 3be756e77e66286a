"""Policy tags of columns: who may read them is decided in BigQuery."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.cloud.bigquery import Client, SchemaField, Table

from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.staging.columns import DETAIL_DRIFT, DRIFT, TABLES

log = logging.getLogger(__name__)

_SHAPE = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/taxonomies/[^/\s]+/policyTags/[^/\s]+")


def checked_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Check policy tags.

    :param tags: a tag's full resource name by column.
    :return: the same.
    :raises BigQueryLoadError: when a column is none of ours, or a name has another shape.
    """
    names = list(dict.fromkeys(column.name for table in TABLES.values() for column in table))
    for name, tag in tags.items():
        if name not in names:
            raise BigQueryLoadError(
                f"policy_tags names {plain(repr(name))}, which is no column. The columns are "
                f"{', '.join(names)}."
            )
        if not isinstance(tag, str) or not _SHAPE.fullmatch(tag):
            raise BigQueryLoadError(
                f"policy_tags says {plain(repr(tag))} of {name}: give the tag's full name, "
                "projects/P/locations/L/taxonomies/T/policyTags/N."
            )
    return dict(tags)


def tagged(schema: Iterable[SchemaField], tags: Mapping[str, str]) -> list[SchemaField]:
    """Set tags in a schema; whatever else it says stays.

    :param schema: of a table to be made, or as BigQuery has it.
    :param tags: a tag by column, or by ``column.field``; what the schema lacks is left out.
    :return: the schema with them.
    :raises BigQueryLoadError: when a column has another tag.
    """
    return [_tagged(field, field.name, tags) for field in schema]


def tagged_like(
    schema: Iterable[SchemaField], target: Iterable[SchemaField], tags: Mapping[str, str]
) -> list[SchemaField]:
    """Set the tags that the target's columns have in the schema of a staging table.

    What becomes ``extra`` has the tag of ``extra``.

    :param schema: of a staging table.
    :param target: the target's, as BigQuery has it, with the tags that users set by hand.
    :param tags: a tag by column, for columns that have none there.
    :return: the schema with them.
    """
    found = {**tags, **_tags_of(target)}
    if extra := found.get("extra"):
        found |= dict.fromkeys((DRIFT.name, DETAIL_DRIFT.name), extra)
    return tagged(schema, found)


def add_missing_tags(client: Client, table: Table, tags: Mapping[str, str]) -> Table:
    """Set the tags that an existing table lacks. None is changed or taken away.

    :param client: BigQuery.
    :param table: as BigQuery has it.
    :param tags: a tag by column.
    :return: the table as BigQuery has it then.
    :raises BigQueryLoadError: when a column has another tag.
    """
    schema = tagged(table.schema, tags)
    if _plain(schema) == _plain(table.schema):
        return table
    log.info("Setting policy tags of %s on %s.", ", ".join(tags), table.reference)
    table.schema = schema
    return client.update_table(table, ["schema"])


def _tags_of(schema: Iterable[SchemaField], path: str = "") -> dict[str, str]:
    found = {}
    for field in schema:
        name = path + field.name.lower()
        if field.policy_tags:
            found[name] = str(field.policy_tags.names[0])
        found |= _tags_of(field.fields, f"{name}.")
    return found


def _tagged(
    field: SchemaField, path: str, tags: Mapping[str, str], outer: str | None = None
) -> SchemaField:
    tag, described = tags.get(path, outer), field.to_api_repr()
    if field.fields:  # BigQuery tags what holds values, not what holds columns
        inner = [_tagged(part, f"{path}.{part.name}", tags, tag) for part in field.fields]
        return SchemaField.from_api_repr({**described, "fields": _plain(inner)})
    if tag is None:
        return field
    there = list(field.policy_tags.names) if field.policy_tags else []
    if there and there != [tag]:
        # It may be the stricter one, and set by hand.
        raise BigQueryLoadError(
            f"The column {path} has the policy tag {there[0]}, and policy_tags names {tag}. "
            "Name the one it has, or take that off the column in BigQuery first."
        )
    return SchemaField.from_api_repr({**described, "policyTags": {"names": [tag]}})


def _plain(schema: Iterable[SchemaField]) -> list[dict[str, Any]]:
    return [field.to_api_repr() for field in schema]
