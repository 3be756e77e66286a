"""What tasks tell OpenLineage: what was read and written, how many rows, which columns.

OpenLineage's provider asks operators for it and is there only where somebody installed it, so all
of its names are imported when it asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.lineage.movements import BIGQUERY, Movement, Place, api_place

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        InputDataset,
        OutputDataset,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )
    from airflow.providers.common.compat.sdk import Asset
    from airflow.providers.openlineage.extractors import OperatorLineage
    from google.cloud.bigquery import SchemaField


class OpenLineageMixin:
    """Of an operator that moves data: answers OpenLineage when the task is done."""

    movement: Movement | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Say what was read and written; nothing of a task that did not get there."""
        return operator_lineage(self.movement)


def operator_lineage(movement: Movement | None) -> OperatorLineage[Any, Any]:
    """Write a movement as OpenLineage's provider wants it.

    :param movement: what a task did; None for nothing.
    """
    from airflow.providers.common.compat.openlineage.facet import ExternalQueryRunFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    if movement is None:
        return OperatorLineage()
    run_facets = {}
    if movement.job_id:
        run_facets["externalQuery"] = ExternalQueryRunFacet(
            externalQueryId=movement.job_id, source=BIGQUERY
        )
    return OperatorLineage(
        inputs=[_input(place) for place in movement.sources],
        outputs=[_output(movement)],
        run_facets=run_facets,
    )


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Name the API of a ``talkpilot://`` asset, which the hook notes, as operators name it.

    :param asset: the asset.
    :param lineage_context: the hook that noted it.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    place = api_place(asset.uri)
    return Dataset(namespace=place.namespace, name=place.name)


def _input(place: Place) -> InputDataset:
    from airflow.providers.common.compat.openlineage.facet import InputDataset

    return InputDataset(namespace=place.namespace, name=place.name)


def _output(movement: Movement) -> OutputDataset:
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )

    target = movement.target
    return OutputDataset(
        namespace=target.namespace,
        name=target.name,
        facets={"schema": _table_schema()} if target.namespace == BIGQUERY else {},
        outputFacets={
            "outputStatistics": OutputStatisticsOutputDatasetFacet(
                rowCount=movement.rows, size=movement.bytes, fileCount=movement.files
            )
        },
    )


def _table_schema() -> SchemaDatasetFacet:
    from airflow.providers.common.compat.openlineage.facet import SchemaDatasetFacet

    from airflow_provider_talkpilot.bigquery.schema import target_schema

    return SchemaDatasetFacet(fields=[_field(column) for column in target_schema()])


def _field(column: SchemaField) -> SchemaDatasetFacetFields:
    from airflow.providers.common.compat.openlineage.facet import SchemaDatasetFacetFields

    return SchemaDatasetFacetFields(
        name=column.name,
        type=column.field_type,
        description=column.description,
        fields=[_field(field) for field in column.fields],
    )
