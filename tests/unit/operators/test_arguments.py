"""Arguments as users write them, and as templates and other tasks give them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator
from airflow.providers.common.compat.sdk import AirflowException as AnyAirflowException

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import ConfigurationError, ServerError
from airflow_provider_talkpilot.bigquery.errors import BigQueryError
from airflow_provider_talkpilot.exceptions import (
    TalkPilotArgumentError,
    TalkPilotTaskError,
    TalkPilotTaskFailError,
)
from airflow_provider_talkpilot.operators.arguments import (
    read_accounts,
    read_agents,
    read_bound,
    read_days,
    read_flag,
    read_interval,
    read_json,
    read_object,
    read_table,
    read_text,
    read_uri,
)
from airflow_provider_talkpilot.operators.base import airflow_errors
from airflow_provider_talkpilot.operators.bigquery import (
    TalkPilotCreateViewsOperator,
    TalkPilotLoadCallsOperator,
)
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.clean import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from airflow_provider_talkpilot.operators.staging import column_choices
from airflow_provider_talkpilot.operators.task_group import TalkPilotCallsTaskGroup
from airflow_provider_talkpilot.sensors.calls import TalkPilotCallsDoneSensor
from airflow_provider_talkpilot.staging.errors import ColumnChoiceError, ManifestError, StagingError
from tests.support.tasks import TaskInstance

A, B = "7b0a2f0c-0000-4000-8000-000000000001", "7b0a2f0c-0000-4000-8000-000000000002"
WHOLE = Interval(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC))
SECRET = "0123456789abcdef" * 4
NOTHING = (None, "", "  \n", "null", "None")
Reader = Callable[[str, Any], Any]


@pytest.mark.parametrize(
    ("read", "given", "expected"),
    [
        (read_agents, ([A, B], (A, B), f'["{A}", "{B}"]', f"['{A}', '{B}']"), [A, B]),
        (read_agents, (A, f" {A} ", [A], A.upper(), [A, A.upper(), f"\t{A}"], [UUID(A)]), [A]),
        (read_agents, (f"{{{A}}}", f"urn:uuid:{A.upper()}", A.replace("-", ""), UUID(A)), [A]),
        (read_object, ("{}", {}), {}),
        (read_object, ({"x": "drop"}, ' {"x": "drop"} ', "{'x': 'drop'}"), {"x": "drop"}),
        (read_flag, (True, "True", "true", " yes ", "1", 1, "on"), True),
        (read_flag, (False, "False", "no", "0", 0, "off"), False),
        (read_text, ("2026", 2026, " 2026 "), "2026"),
        (read_table, ("p1.d.t", " p1.d.t ", "`p1.d.t`", "`p1`.`d`.`t`"), "p1.d.t"),
        (read_bound, ("20260317", 20260317), "20260317"),
        (read_accounts, ("a@b", ["a@b"]), "a@b"),
        (read_accounts, (["a@b", "c@d"], '["a@b", "c@d"]', "['a@b', 'c@d']"), ["a@b", "c@d"]),
        (read_json, ('{"a": [1]}', {"a": [1]}), '{"a": [1]}'),
        (read_json, ("{half",), "{half"),
    ],
)
def test_texts_and_objects_are_equal(read: Reader, given: tuple[Any, ...], expected: Any) -> None:
    for value in given:
        assert read("it", value) == expected, value


@pytest.mark.parametrize(
    ("read", "given", "message"),
    [
        (read_agents, (["x"], "0x5", "{}x", [None], [""], f"{A},{B}", f"{{{A}", A[:-1]), "no UUID"),
        (read_agents, ('{"a": "b"}', 5, "5", {"a": 1}, b"x"), "it is no list: give a JSON list"),
        (read_agents, ([], (), "[]", " [ ] "), "it is an empty list.* out for the default"),
        (read_accounts, ([], "[]"), "it is an empty list"),
        (read_accounts, (["a@b", ""], [None], [["a@b"]]), "it is (empty|a list)"),
        (read_days, (10**9, "36501", "7.5", True, "0"), "a whole number of days, 1 to 36,500"),
        (read_uri, NOTHING, "it is empty: give a text"),
        (
            read_object,
            ("drop", "[]", '["note"]', '{"note": "drop"', "[" * 100_000, 5, True, ["note"]),
            "it is no JSON object: write such as",
        ),
        (read_flag, ("maybe", 2, [True]), "it is .* give true or false"),
        (read_text, (True, {"x": 1}), "it is of type .* give a text"),
        (read_text, (["x"], ("x", "y")), r"it is a list: .* map this task too, with expand\(it="),
    ],
)
def test_meaningless_values_are_errors(read: Reader, given: tuple[Any, ...], message: str) -> None:
    for value in given:
        with pytest.raises(ConfigurationError, match=message) as caught:
            read("it", value)
        assert len(str(caught.value).splitlines()) == 1


RUN = {"data_interval_start": WHOLE.start, "data_interval_end": WHOLE.end}
ABROAD = {
    "data_interval_start": pendulum.datetime(2026, 3, 16),
    "data_interval_end": pendulum.datetime(2026, 3, 17, 9, tz="Asia/Tokyo"),
}


@pytest.mark.parametrize(
    ("context", "start", "end"),
    [
        ({}, "2026-03-16", "2026-03-17"),
        ({}, "2026-03-16T00:00:00Z", "2026-03-17T01:00:00+01:00"),
        ({}, "2026-03-16 00:00", "2026-03-17 00:00:00.000"),
        ({}, WHOLE.start, str(WHOLE.end)),
        ({}, date(2026, 3, 16), "20260317"),
        (RUN, None, None),
        (ABROAD, None, None),
        ({"data_interval_start": 1, "data_interval_end": 2}, "2026-03-16", "2026-03-17"),
    ],
)
def test_intervals(context: Any, start: Any, end: Any) -> None:
    interval = read_interval(context, start, end)
    assert interval == WHOLE
    assert type(interval.start) is datetime


EXTRACT = (TalkPilotExtractCallsOperator, {"staging_uri": "file:///tmp/x"})
ENRICH = (TalkPilotEnrichCallsOperator, {"manifest_uri": "file:///tmp/x"})
CHOOSE = (TalkPilotChooseDaysOperator, {"table": "p1.d.t"})
CLEAN = (TalkPilotCleanStagingOperator, {"staging_uri": "file:///tmp/x"})
LOAD = (TalkPilotLoadCallsOperator, {"manifest_uri": "file:///tmp/x", "table": "p1.d.t"})
VIEWS = (TalkPilotCreateViewsOperator, {"table": "p1.d.t"})
SENSOR: tuple[type[BaseOperator], dict[str, Any]] = (TalkPilotCallsDoneSensor, {})


@pytest.mark.parametrize(
    ("operator", "name", "wrong", "cure"),
    [
        (EXTRACT, "defer_after", (120, timedelta(0), "2m", None), "valid timedelta|than 0 s"),
        (EXTRACT, "deferrable", ("yes", 1, None), "valid boolean"),
        (EXTRACT, "max_rejects", (-1, "5", 0.5, True, None), "equal to 0|valid integer"),
        (EXTRACT, "agent_ids", (5, "x", ["x"]), "no list|no UUID"),
        (EXTRACT, "columns", (5, "x", {"x": "drop"}, {"note": "hsh"}), "columns"),
        (EXTRACT, "staging_uri", ("x/y", "gs://b/../c", "https://a.b/c"), "URI .* malformed"),
        (EXTRACT, "start", ("yesterday", "2026-03-16", 7), "ISO 8601|give both"),
        (EXTRACT, "phone_number", (49151, "", ["+49"]), "valid string|match pattern"),
        (ENRICH, "concurrency", (0, -3, "many", 81), "equal to 1|equal to 80|valid integer"),
        (ENRICH, "refetch_days", (-1, "3", timedelta(3), math.nan, 1e9), "equal to|valid number"),
        (ENRICH, "details", ("sometimes", 5), "give until_complete or every_version or by_webhook"),
        (ENRICH, "manifest_uri", ("", None, "None"), "manifest_uri is empty"),
        (CHOOSE, "staging_uri", ("~/x",), "staging URI .* malformed"),
        (LOAD, "manifest_uri", ("", None, "x/y"), "manifest_uri is empty|malformed"),
        (LOAD, "gcp_conn_id", ("", None), "gcp_conn_id is empty"),
        (CHOOSE, "look_backs", ("[]", '[{"days": 0, "every": 1}]', "x"), "look-backs"),
        (CLEAN, "max_age", (7, timedelta(0), timedelta.max), "valid timedelta|than 0 s|36500 days"),
        (CLEAN, "manifest_uris", (5, [["x", 5]], {"x": 1}), "malformed|of type dict"),
        (LOAD, "table", ("", "calls", None), "project.dataset.table"),
        (LOAD, "max_erased_share", (-0.1, 5, "0.1", None), "equal to [01]|valid number"),
        (LOAD, "recordings_uri", ("bucket",), "recordings_uri .* malformed"),
        (EXTRACT, "table", ("", " ", "None"), "No table is given: write project.dataset.table"),
        *(
            (SENSOR, name, (-1, "5", float("nan"), 1e15, timedelta.max), "valid number|equal to")
            for name in ("poke_interval", "timeout")
        ),
        (LOAD, "recordings_keep_days", ("0", "a week", True), "give a whole number of days"),
        (VIEWS, "views", ([], "[]"), "empty list"),
        (SENSOR, "done_share", (0, 1.1, "1", True, None), "greater than 0|equal to 1|valid number"),
    ],
)
def test_a_wrong_argument_fails_when_the_operator_is_made(
    operator: tuple[type[BaseOperator], dict[str, Any]],
    name: str,
    wrong: tuple[Any, ...],
    cure: str,
) -> None:
    kind, arguments = operator
    for value in wrong:
        with pytest.raises(TalkPilotArgumentError, match=cure) as caught:
            kind(task_id="task", **{**arguments, name: value})
        assert len(str(caught.value).splitlines()) == 1
        assert "49151" not in str(caught.value), "a caller's number"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("clean", ("yes", None, 1)),
        ("loads_at_once", (0, -1, "1", 1.5)),
        ("task_arguments", ([], {"load_calls": 1})),
    ],
)
def test_a_wrong_argument_of_a_task_group_fails(name: str, wrong: tuple[Any, ...]) -> None:
    for value in wrong:
        with (
            DAG("group", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)),
            pytest.raises(TalkPilotArgumentError, match=f"^{name} ") as caught,
        ):
            TalkPilotCallsTaskGroup(staging_uri="/x", table="p1.d.t", **{name: value})
        assert len(str(caught.value).splitlines()) == 1


NEEDED = {"gcp_conn_id", "talkpilot_conn_id", "manifest_uri", "table"}
# Without them every agent is read, or data is not protected.
EVERYTHING = {"agent_ids", "columns", "policy_tags", "recordings_uri", "recordings_keep_days"}
ALL = (EXTRACT, ENRICH, CHOOSE, CLEAN, LOAD, VIEWS, SENSOR)
EVERY_FIELD = [(operator, name) for operator in ALL for name in operator[0].template_fields]


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize(
    ("operator", "name"), EVERY_FIELD, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_value_that_is_missing_at_run_time(
    operator: tuple[type[BaseOperator], dict[str, Any]], name: str, native: bool
) -> None:
    """The XCom of a skipped task is an error. Any other None is the default, unless that is all."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    dag = DAG("missing", schedule=None, start_date=start, render_template_as_native_obj=native)
    first = TalkPilotCleanStagingOperator(task_id="first", staging_uri="/x", dag=dag)
    kind, arguments = operator

    def error_of(value: Any) -> str:
        task = kind(task_id=f"task_{len(dag.tasks)}", dag=dag, **{**arguments, name: value})
        ti = TaskInstance(task.task_id)
        context: Any = {"params": {"none": None, "empty": ""}, "ti": ti, "expanded_ti_count": None}
        try:
            task.render_template_fields(context)
        except TalkPilotTaskFailError as failure:
            return str(failure)
        return ""

    for given, cause in (
        (first.output, "the task first"),
        ("{{ ti.xcom_pull('skipped') }}", "the task upstream"),
    ):
        named = error_of(given).startswith(f"{name} rendered to nothing: {cause}")
        assert named or name == "manifest_uris"
    is_needed = name in NEEDED or (name == "staging_uri" and operator is not CHOOSE)
    assert bool(error_of("{{ params.empty }}")) == is_needed
    is_refused = is_needed or name in EVERYTHING
    assert ("correct the template" in error_of("{{ params.none }}")) == is_refused
    assert bool(error_of("{{ params.none | tojson }}")) == is_needed


def test_a_template_is_read_after_it_is_rendered() -> None:
    with DAG("rendered", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        task = TalkPilotExtractCallsOperator(
            task_id="extract",
            staging_uri="/x",
            agent_ids=["{{ params.agent }}"],
            columns="{% if false %}{}{% endif %}",
        )
    for wrong in ("x", "{{ another }}"):
        context: Any = {"params": {"agent": wrong}}
        with pytest.raises(TalkPilotArgumentError, match="is no UUID"):
            task.render_template_fields(context)
    context = {"params": {"agent": f" {A.upper()}"}}
    task.render_template_fields(context)
    assert task.agent_ids == [A]


def test_the_secret_is_the_password_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, password in (("TALKPILOT_HASH", SECRET), ("ANOTHER", SECRET[::-1])):
        connection = json.dumps({"conn_type": "generic", "password": password})
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", connection)
    default, another, again = (
        column_choices({"note": "hash"}, name)
        for name in ("talkpilot_hash", "another", "talkpilot_hash")
    )
    assert default.recorded == again.recorded != another.recorded


@pytest.mark.parametrize(
    ("connection", "cure"),
    [
        (None, "no connection .*openssl rand -hex 32"),
        *(
            (
                {"conn_type": "generic", "password": password},
                "needs 32 at least.*openssl rand -hex 32.*hash_conn_id",
            )
            for password in (None, SECRET[:31], SECRET[:31] + "\n", " " * 64)
        ),
    ],
)
def test_there_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, str | None] | None, cure: str
) -> None:
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_TALKPILOT_HASH", json.dumps(connection))
    kind = ColumnChoiceError if connection else ConfigurationError
    with pytest.raises(kind, match=cure) as caught:
        column_choices({"note": "hash"}, "talkpilot_hash")
    assert len(str(caught.value).splitlines()) == 1
    assert SECRET[:31] not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [
        (ConfigurationError("x"), False),
        (ConfigurationError("x", retryable=True), True),
        (ServerError("x", status=500), True),
        (StagingError("x"), True),
        (ManifestError("x"), False),
        (BigQueryError("x"), False),
        (BigQueryError("x", retryable=True), True),
    ],
    ids=repr,
)
def test_errors_become_those_of_airflow(error: Exception, is_retried: bool) -> None:
    with pytest.raises(AnyAirflowException) as caught, airflow_errors():
        raise error
    kind = TalkPilotTaskError if is_retried else TalkPilotTaskFailError
    assert type(caught.value) is kind
    assert issubclass(kind, AirflowFailException) != is_retried
    assert str(caught.value) == "x"
    assert caught.value.error is error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
