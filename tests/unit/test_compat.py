"""What differs between versions of Airflow."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_talkpilot.compat import render_text

both = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])


@both
@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ number() }}", "+4930"),
        ("{{ params.number }}", "+4931"),
        ("{{ range(2) | list }}", "[0, 1]"),
        ("no template", "no template"),
    ],
)
def test_the_names_of_airflows_templates_are_known(
    native: bool, template: str, expected: str
) -> None:
    macros = {"number": lambda: "+4930", "params": "hidden by the context"}
    dag = DAG(
        "d",
        schedule=None,
        user_defined_macros=macros,
        render_template_as_native_obj=native,
    )
    context: Any = {"params": {"number": "+4931"}}
    assert render_text(BaseOperator(task_id="t", dag=dag), template, context) == expected
