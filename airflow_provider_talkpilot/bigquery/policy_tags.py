"""Policy tags of columns: with them, users decide in BigQuery who may read a column."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from google.cloud.bigquery import Client, SchemaField, Table

from airflow_provider_talkpilot.api.redaction import plain
from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.staging.rows.columns import DETAIL_DRIFT, DRIFT, TABLES

log = logging.getLogger(__name__)

_SHAPE = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/taxonomies/[^/\s]+/policyTags/[^/\s]+")


def checked_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Check policy tags, and return them.

    :param tags: a tag's full resource name by column.
    :raises BigQueryError: when a column is none of ours, or a name has another shape.
    """
    names = list(dict.fromkeys(column.name for table in TABLES.values() for column in table))
    for name, tag in tags.items():
        if name not in names:
            raise BigQueryError(
                f"policy_tags names {plain(repr(name))}, which is no column. The columns are "
                f"{', '.join(names)}."
            )
        if not isinstance(tag, str) or not _SHAPE.fullmatch(tag):
            raise BigQueryError(
                f"policy_tags says {plain(repr(tag))} of {name}: give the tag's full name, "
                "projects/P/locations/L/taxonomies/T/policyTags/N."
            )
    return dict(tags)


def tagged(schema: Iterable[SchemaField], tags: Mapping[str, str]) -> list[SchemaField]:
    """Add tags to a schema, and change nothing else in it.

    :param schema: of a table to be created, or as BigQuery has it.
    :param tags: a tag by column, or by ``column.field``; names that the schema lacks are ignored.
    :raises BigQueryError: when a column has another tag.
    """
    return [_tagged_field(field, field.name, tags) for field in schema]


def tagged_like(
    schema: Iterable[SchemaField], target: Iterable[SchemaField], tags: Mapping[str, str]
) -> list[SchemaField]:
    """Add the tags of the target's columns to the schema of a staging table.

    The columns whose values go to ``extra`` get the tag of ``extra``.

    :param schema: of a staging table.
    :param target: the target's, as BigQuery has it, with the tags that users set by hand.
    :param tags: a tag by column, for columns that have none in the target.
    """
    tags = {**tags, **_tags_in(target)}
    if extra := tags.get("extra"):
        tags |= dict.fromkeys((DRIFT.name, DETAIL_DRIFT.name), extra)
    return tagged(schema, tags)


def add_missing_tags(client: Client, table: Table, tags: Mapping[str, str]) -> Table:
    """Add the tags that an existing table lacks; change and remove none.

    :param client: BigQuery.
    :param table: as BigQuery has it.
    :param tags: a tag by column.
    :return: the table as BigQuery has it then.
    :raises BigQueryError: when a column has another tag.
    """
    schema = tagged(table.schema, tags)
    if _resources(schema) == _resources(table.schema):
        return table
    log.info("Setting policy tags of %s on %s.", ", ".join(tags), table.reference)
    table.schema = schema
    return client.update_table(table, ["schema"])


def _tags_in(schema: Iterable[SchemaField], prefix: str = "") -> dict[str, str]:
    """Return the tags by ``column`` or ``column.field``."""
    tags = {}
    for field in schema:
        path = prefix + field.name.lower()
        if field.policy_tags:
            tags[path] = str(field.policy_tags.names[0])
        tags |= _tags_in(field.fields, f"{path}.")
    return tags


def _tagged_field(
    field: SchemaField, path: str, tags: Mapping[str, str], outer_tag: str | None = None
) -> SchemaField:
    """Add a field's own tag, or else the tag of the column that it is in."""
    tag, resource = tags.get(path, outer_tag), field.to_api_repr()
    if field.fields:  # BigQuery allows no tag on a STRUCT, only on the fields in it
        inner = [_tagged_field(part, f"{path}.{part.name}", tags, tag) for part in field.fields]
        return SchemaField.from_api_repr({**resource, "fields": _resources(inner)})
    if tag is None:
        return field
    names = list(field.policy_tags.names) if field.policy_tags else []
    if names and names != [tag]:
        # It may be the stricter one, and set by hand.
        raise BigQueryError(
            f"The column {path} has the policy tag {names[0]}, and policy_tags names {tag}. "
            "Name the one it has, or take that off the column in BigQuery first."
        )
    return SchemaField.from_api_repr({**resource, "policyTags": {"names": [tag]}})


def _resources(schema: Iterable[SchemaField]) -> list[dict[str, Any]]:
    return [field.to_api_repr() for field in schema]
