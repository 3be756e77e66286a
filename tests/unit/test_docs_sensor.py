"""docs/sensor.md: its example is a DAG that Airflow takes, its arguments are the sensor's."""

from __future__ import annotations

import inspect
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, conf

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.done import Progress
from airflow_provider_talkpilot.sensors.calls import TalkPilotCallsDoneSensor
from tests.support.docs import DOCS, code, section, table

TEXT = (DOCS / "sensor.md").read_text(encoding="utf-8")


def test_every_argument_is_told_with_its_default() -> None:
    told = {
        name.strip(" `"): default
        for names, _, default in table(section(TEXT, "Use"))
        for name in names.split(",")
    }
    parameters = inspect.signature(TalkPilotCallsDoneSensor.__init__).parameters
    own = {name: p.default for name, p in parameters.items() if name not in ("self", "kwargs")}
    assert set(told) == set(own)
    assert told["done_share"] == str(own["done_share"])
    assert told["talkpilot_conn_id"] == own["talkpilot_conn_id"]
    assert told["poke_interval"] == f"{own['poke_interval'] // 60} minutes"


def test_what_is_templated_is_said() -> None:
    templated = {
        name.strip(" `")
        for names, what, _ in table(section(TEXT, "Use"))
        for name in names.split(",")
        if "(templated)" in what
    }
    assert templated | {"talkpilot_conn_id"} == set(TalkPilotCallsDoneSensor.template_fields)


def test_the_timeout_is_airflows() -> None:
    [days] = [part for part in TEXT.split("`") if "days), " in part]
    assert f"({conf.getfloat('sensors', 'default_timeout') / 86400:g} days)" in days


def test_the_lines_in_the_log() -> None:
    [text] = code(TEXT, "text")
    day = Interval.parse("2026-03-18", "2026-03-19")
    said = [Progress(False, 40, 37), Progress(False, 3, 0, is_whole=False)]
    assert text.splitlines() == [f"{progress.of(day)} (1 request(s))." for progress in said]


def test_the_example_is_a_dag() -> None:
    [source] = code(TEXT, "python")
    names: dict[str, object] = {}
    exec(compile(source, str(Path("sensor.md")), "exec"), names)
    [dag] = [value for value in _dags(names) if isinstance(value, DAG)]
    assert dag.task_ids == ["calls_done", "extract_calls", "load_calls"]
    assert dag.get_task("extract_calls").upstream_task_ids == {"calls_done"}


def _dags(names: dict[str, object]) -> list[object]:
    """The DAG of the tasks: the example gives it no name."""
    return list(
        {id(task.dag): task.dag for task in names.values() if hasattr(task, "dag")}.values()
    )
