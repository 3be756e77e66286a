"""The differences between versions of Airflow."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_talkpilot import compat
from airflow_provider_talkpilot.compat import render_text


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ number() }}", "+4930"),
        ("{{ params.number }}", "+4931"),
        ("{{ range(2) | list }}", "[0, 1]"),
        ("no template", "no template"),
    ],
)
def test_a_text_is_rendered_with_the_names_of_airflows_templates(
    native: bool, template: str, expected: str
) -> None:
    macros = {"number": lambda: "+4930", "params": "hidden by the context"}
    dag = DAG("d", schedule=None, user_defined_macros=macros, render_template_as_native_obj=native)
    context: Any = {"params": {"number": "+4931"}}
    assert render_text(BaseOperator(task_id="t", dag=dag), template, context) == expected


@pytest.mark.skipif(compat.IS_AIRFLOW_3, reason="only Airflow 2.11.0 and 3.0 come without it")
def test_every_name_is_found_without_the_module_that_has_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "airflow.providers.common.compat.sdk"
    monkeypatch.setitem(sys.modules, module, None)
    source = ast.parse(Path(compat.__file__).read_text(encoding="utf-8"))
    [names] = [
        node.names
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and node.module == module
    ]
    assert [name.name for name in names if not hasattr(compat, name.name)] == []
