"""docs/operators.md: its example is a DAG that Airflow takes, its arguments are the operators'."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from scripts.reference import OPERATORS, page
from tests.support.docs import DOCS, code, section, table

TEXT = (DOCS / "operators.md").read_text(encoding="utf-8")

each_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda each: each.__name__)


def arguments(operator: type[Any]) -> dict[str, str]:
    return {row[0]: row[-1] for row in table(section(TEXT, operator.__name__))}


def test_it_is_what_the_docstrings_say() -> None:
    assert page(TEXT) == TEXT, "make reference writes it anew"


@each_operator
def test_every_argument_is_told(operator: type[Any]) -> None:
    taken = set[str]()
    for owner in operator.__mro__:
        if owner is BaseOperator or owner.__module__.startswith("airflow."):
            break
        taken |= set(inspect.signature(owner).parameters)
    assert set(arguments(operator)) == taken - {"self", "args", "kwargs"}


@each_operator
def test_what_is_templated_is_said(operator: type[Any]) -> None:
    said = {name for name, what in arguments(operator).items() if "(templated)" in what}
    assert said == set(operator.template_fields)


def test_the_examples_are_dags() -> None:
    one_line, source = code(TEXT, "python")
    with DAG("one_line", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as short:
        exec(compile(one_line, "operators.md", "exec"), {})
    assert len(short.tasks) == 5
    names: dict[str, Any] = {}
    exec(compile(source, str(Path("operators.md")), "exec"), names)
    dag = names["extract"].dag
    assert isinstance(dag, DAG)
    upstream = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    assert upstream["load_details"] == {"enrich_calls", "load_calls"}
    assert {"extract_calls", "enrich_calls", "load_details"} <= upstream["clean_staging"]
    assert upstream["create_views"] == {"load_details"}
