"""Every statement as Google's own analyzer of GoogleSQL reads it: names, types, functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.bigquery import statements
from airflow_provider_talkpilot.bigquery.statements import render
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.bigquery.views import VIEWS
from airflow_provider_talkpilot.staging.rows.columns import (
    AGENTS,
    CALLS,
    PERFORMANCE,
    Column,
    staging_columns,
)

pytestmark = pytest.mark.slow  # the analyzer is WebAssembly: half a minute goes by until it runs

DAY = date(2026, 3, 16)
TARGET = TableId.parse("demo.calls.calls")
INTERVAL = Interval(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC))
LOAD = {"read_before": INTERVAL.end, "interval": INTERVAL, "has_performance": False}
MERGE = LOAD | {"erased_at": INTERVAL.end, "staged_rows": 46, "duplicates": 0, "gone_agents": []}
RECORDS = {"has_performance": True}
KINDS = ("calls", "details")
STATEMENTS: list[tuple[str, dict[str, Any]]] = [
    *(("compare", LOAD | records | {"kind": kind}) for kind in KINDS for records in ({}, RECORDS)),
    *(
        ("merge", MERGE | {"kind": kind} | rare)
        for kind in KINDS
        for rare in ({}, {"duplicates": 1, "gone_agents": ["a", "b"]})
    ),
    ("merge", MERGE | RECORDS | {"kind": "details"}),
    *(("add_column", {"column": column}) for column in CALLS if column.mode != "REQUIRED"),
    *(("widen_column", {"column": column}) for column in CALLS if column.type == "FLOAT64"),
    ("merge_performance", {"interval": INTERVAL, "kind": "performance", "keeps_scores": True}),
    ("purge_performance", {"interval": INTERVAL, "purged_at": INTERVAL.end}),
    *(("known_details", {"interval": INTERVAL, "has_recordings": has}) for has in (False, True)),
    ("merge_agents", {}),
    ("create_lock", {}),
    *(
        ("recordings_to_purge", MERGE | {"kind": kind, "archive": archive})
        for kind in KINDS
        for archive in (False, True)
    ),
    ("old_recordings", {"began_before": INTERVAL.start, "archived_before": INTERVAL.end}),
    ("mark_recordings_deleted", {"began_before": INTERVAL.start, "archived_before": INTERVAL.end}),
    ("earliest_call", {"end": DAY}),
    ("unpurged_days", {"intervals": [INTERVAL, INTERVAL]}),
    *(
        (
            f"view_{view}",
            {
                "columns": [column.name for column in CALLS],
                "has_agents": has,
                "has_performance": has,
            },
        )
        for view in VIEWS
        for has in (False, True)
    ),
]
Analyse = Callable[[str, str], None]


@pytest.fixture(scope="module")
def analyse() -> Analyse:
    """Analyses a statement or script, for a kind of staged rows; raises what the analyzer finds."""
    from zetasql.api import Analyzer, CatalogBuilder, TableBuilder, TypeFactory
    from zetasql.types import (
        AnalyzerOptions,
        LanguageFeature,
        LanguageOptions,
        ProductMode,
        TypeKind,
        ZetaSQLBuiltinFunctionOptions,
    )

    def type_of(column: Column) -> Any:
        if column.fields:
            inner = TypeFactory.create_struct_type([(f.name, type_of(f)) for f in column.fields])
        else:
            inner = TypeFactory.create_simple_type(
                TypeKind[f"TYPE_{column.type.replace('FLOAT64', 'DOUBLE')}"]
            )
        return TypeFactory.create_array_type(inner) if column.is_repeated else inner

    def table(name: str, columns: list[Column]) -> Any:
        builder = TableBuilder(name)
        for column in columns:
            builder.add_column(column.name, type_of(column))
        return builder.build()

    language = LanguageOptions.maximum_features()
    language.product_mode = ProductMode.PRODUCT_EXTERNAL
    # BigQuery has it, though it is no part of the whole language.
    language.enabled_language_features.append(LanguageFeature.FEATURE_ALTER_COLUMN_SET_DATA_TYPE)
    functions = ZetaSQLBuiltinFunctionOptions(language_options=language)
    options = AnalyzerOptions(language_options=language, allow_undeclared_parameters=True)
    lock = TableBuilder(str(TARGET.lock)).add_column("loads", TypeKind.TYPE_INT64).build()

    def analyse(sql: str, kind: str = "calls") -> None:
        catalog = (
            CatalogBuilder("demo")
            .add_table(table(str(TARGET), list(CALLS)))
            .add_table(table("kept", list(CALLS)))
            .add_table(table("demo.calls.staging", staging_columns(kind)))
            .add_table(table(str(TARGET.performance), list(PERFORMANCE)))
            .add_table(table(str(TARGET.agents), list(AGENTS)))
            .add_table(lock)
            .with_builtin_functions(functions)
            .build()
        )
        analyzer = Analyzer(options, catalog)
        for statement in filter(str.strip, re.split(r";\s*(?:\n|$)", sql)):
            # It finds faults before it sends its tree, which can be too deep for protobuf to read.
            with suppress(DecodeError):
                analyzer.analyze_statement(statement)

    return analyse


def filled_in(name: str, values: dict[str, Any]) -> str:
    sql = render(name, target=TARGET, staging=TARGET.sibling("staging"), **values)
    return sql.replace("@agents)", "['{}'])")  # alone, a parameter has no type


def test_every_file_is_analysed() -> None:
    files = Path(statements.__file__).with_name("sql").glob("[!_]*.sql")
    assert {file.stem for file in files} == {name for name, _ in STATEMENTS}


@pytest.mark.parametrize(
    ("name", "values"), STATEMENTS, ids=[f"{n}-{name}" for n, (name, _) in enumerate(STATEMENTS)]
)
def test_google_reads_it(analyse: Analyse, name: str, values: dict[str, Any]) -> None:
    analyse(filled_in(name, values), values.get("kind", "calls"))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("S.customer_name", "S.custmer_name", "custmer_name"),
        ("T.erased_at IS NULL OR", "T.erased_at > 5 OR", "No matching signature"),
    ],
    ids=["a misspelt column", "a type error"],
)
def test_a_fault_is_found(analyse: Analyse, right: str, wrong: str, message: str) -> None:
    name, values = next(pair for pair in STATEMENTS if pair[0] == "merge")
    sql = filled_in(name, values)
    assert right in sql
    with pytest.raises(Exception, match=message):
        analyse(sql.replace(right, wrong), "calls")
