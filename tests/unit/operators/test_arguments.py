"""Arguments: as users write them, and as templates, XComs and native rendering give them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pendulum
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator
from airflow.providers.common.compat.sdk import AirflowException as AnyAirflowException

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.api.errors import (
    ConfigurationError,
    IntervalError,
    ServerError,
)
from airflow_provider_talkpilot.bigquery.errors import BigQueryLoadError
from airflow_provider_talkpilot.exceptions import (
    TalkPilotArgumentError,
    TalkPilotTaskError,
    TalkPilotTaskFailError,
)
from airflow_provider_talkpilot.operators.arguments import (
    optional,
    read_accounts,
    read_agents,
    read_bound,
    read_choices,
    read_days,
    read_flag,
    read_interval,
    read_json,
    read_known,
    read_manifest,
    read_object,
    read_table,
    read_text,
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
from airflow_provider_talkpilot.operators.requests import column_choices
from airflow_provider_talkpilot.operators.resync import TalkPilotChooseDaysOperator
from airflow_provider_talkpilot.operators.staging import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.operators.task_group import TalkPilotCallsTaskGroup
from airflow_provider_talkpilot.sensors.calls import TalkPilotCallsDoneSensor
from airflow_provider_talkpilot.staging.errors import (
    ColumnChoiceError,
    ManifestError,
    StagingError,
)
from tests.support.tasks import TaskInstance

A, B = "7b0a2f0c-0000-4000-8000-000000000001", "7b0a2f0c-0000-4000-8000-000000000002"
WHOLE = Interval(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 17, tzinfo=UTC))
SECRET = "0123456789abcdef" * 4
NOTHING = (None, "", "  \n", "null", "None")


Reader = Callable[[str, Any], Any]


@pytest.mark.parametrize(
    ("read", "given", "found"),
    [
        (read_agents, (None, "", "  \n", "null"), None),
        (read_agents, ([A, B], (A, B), f'["{A}", "{B}"]', f"['{A}', '{B}']"), [A, B]),
        (read_agents, (A, f" {A} ", [A], A.upper(), [A, A.upper(), f"\t{A}"], [UUID(A)]), [A]),
        (read_agents, (f"{{{A}}}", f"urn:uuid:{A.upper()}", A.replace("-", ""), UUID(A)), [A]),
        (read_object, (*NOTHING[:-1], "{}", {}), {}),
        (
            read_object,
            ({"note": "drop"}, ' {"note": "drop"} ', "{'note': 'drop'}"),
            {"note": "drop"},
        ),
        (read_flag, (True, "True", "true", " yes ", "1", 1, "on"), True),
        (read_flag, (*NOTHING, False, "False", "no", "0", 0, "off"), False),
        (read_text, NOTHING, None),
        (read_text, ("2026", 2026, " 2026 "), "2026"),
        (read_table, ("p1.d.t", " p1.d.t ", "`p1.d.t`", "`p1`.`d`.`t`"), "p1.d.t"),
        (read_known, (None,), None),
        (read_bound, NOTHING, None),
        (read_accounts, NOTHING, None),
        (read_accounts, ("a@b", ["a@b"]), "a@b"),
        (read_accounts, (["a@b", "c@d"], '["a@b", "c@d"]', "['a@b', 'c@d']"), ["a@b", "c@d"]),
        (read_json, NOTHING, ""),
        (read_json, ('{"a": [1]}', {"a": [1]}), '{"a": [1]}'),
        (read_json, ("{half",), "{half"),
    ],
)
def test_text_and_objects_mean_the_same(read: Reader, given: tuple[Any, ...], found: Any) -> None:
    for value in given:
        assert read("it", value) == found, value


@pytest.mark.parametrize(
    ("read", "given", "says"),
    [
        (read_agents, (["x"], "x", "{}x", [None], [""], f"{A},{B}", f"{{{A}", A[:-1]), "no UUID"),
        (read_agents, ('{"a": "b"}', 5, "5", {"a": 1}, b"x"), "it is no list: give a JSON list"),
        (read_agents, ([], (), "[]", " [ ] "), "it is an empty list.* out for the default"),
        (read_agents, ("None", " None "), "it is the text None: its template found nothing"),
        (read_choices, ("None",), "it is the text None: its template found nothing"),
        (read_accounts, ([], "[]"), "it is an empty list"),
        (read_accounts, (["a@b", ""], [None], [["a@b"]]), "it is (empty|of type)"),
        (read_object, ("None",), "it is the text None"),
        (optional(read_days), ("None",), "it is the text None"),
        (read_days, (10**9, "36501", "7.5", True, "0"), "a whole number of days, 1 to 36,500"),
        (read_manifest, NOTHING, "task that stages .* was skipped, was marked as succeeded"),
        (
            read_object,
            ("drop", "[]", '["note"]', '{"note": "drop"',
             "[" * 100_000, 5, True, ["note"]),
            "it is no JSON object: write such as",
        ),
        (read_flag, ("maybe", 2, [True]), "it is .* give true or false"),
        (read_text, (True, ["x"], {"x": 1}), "it is of type .* give a text"),
    ],
)  # fmt: skip
def test_what_means_nothing(read: Reader, given: tuple[Any, ...], says: str) -> None:
    for value in given:
        with pytest.raises(ConfigurationError, match=says) as caught:
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
        ({}, date(2026, 3, 16), 20260317),
        (RUN, None, None),
        (RUN, "", ""),
        (ABROAD, None, None),
        ({"data_interval_start": 1, "data_interval_end": 2}, "2026-03-16", "2026-03-17"),
    ],
)
def test_intervals(context: Any, start: Any, end: Any) -> None:
    found = read_interval(context, start, end)
    assert found == WHOLE
    assert type(found.start) is datetime


@pytest.mark.parametrize("context", [{}, {"data_interval_start": None, "data_interval_end": None}])
def test_no_interval(context: Any) -> None:
    with pytest.raises(IntervalError, match="data_interval_start and data_interval_end"):
        read_interval(context, None, None)


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
        (
            EXTRACT,
            "defer_after",
            (120, timedelta(0), "2m", None),
            "defer_after cannot be used.* timedelta|greater than 0 sec",
        ),
        (EXTRACT, "deferrable", ("yes", 1, None), "valid boolean"),
        (
            EXTRACT,
            "max_rejects",
            (-1, "5", 0.5, True, None),
            "greater than or equal to 0|valid integer",
        ),
        (EXTRACT, "agent_ids", (5, "x", ["x"]), "no list|no UUID"),
        (EXTRACT, "columns", (5, "x", {"x": "drop"}, {"note": "hsh"}), "columns"),
        (EXTRACT, "staging_uri", ("x/y", "gs://b/../c", "gs://b/*"), "staging URI .* malformed"),
        (EXTRACT, "start", ("yesterday", "2026-03-16", 7), "ISO 8601|give both"),
        (EXTRACT, "phone_number", (49151, "", ["+49"]), "valid string|match pattern"),
        (ENRICH, "concurrency", (0, -3, "many", 10_000), "equal to 1|equal to 256|valid integer"),
        (
            ENRICH,
            "rescore_days",
            (-1, "3", timedelta(days=3), float("nan"), 1e9),
            "equal to 0|valid number|equal to 36500",
        ),
        (ENRICH, "enabled", ("maybe",), "give true or false"),
        (ENRICH, "manifest_uri", ("", None, "None"), "manifest_uri is nothing"),
        (CHOOSE, "staging_uri", ("~/x",), "staging URI .* malformed"),
        (LOAD, "manifest_uri", ("", None, "x/y"), "manifest_uri is nothing|malformed"),
        (LOAD, "gcp_conn_id", ("", None), "gcp_conn_id is empty"),
        (CLEAN, "staging_uri", ("", "x/y"), "staging URI"),
        (CHOOSE, "look_backs", ("[]", '[{"days": 0, "every": 1}]', "x"), "look-backs"),
        (
            CLEAN,
            "max_age",
            (7, timedelta(0), -timedelta(1), timedelta.max),
            "valid timedelta|greater than 0 seconds|equal to 36500 days",
        ),
        (CLEAN, "manifest_uris", (5, [["x", 5]], {"x": 1}), "manifest_uris is no list"),
        (LOAD, "table", ("", "calls", None), "project.dataset.table"),
        (LOAD, "max_erased_share", (-0.1, 5, "0.1", None), "equal to [01]|valid number"),
        (LOAD, "maximum_bytes_billed", (0, "1"), "equal to 1|valid integer"),
        (LOAD, "policy_tags", (5, "x", ["x"]), "policy_tags is no JSON object"),
        (LOAD, "recordings_uri", ("bucket",), "recordings_uri .* malformed"),
        (EXTRACT, "table", ("", " ", "None"), "No table is given: write project.dataset.table"),
        (EXTRACT, "staging_uri", ("https://storage.googleapis.com/b", "gs://b /x"), "malformed"),
        *(
            (SENSOR, name, (-1, "5", float("nan"), 1e15, timedelta.max), "valid number|equal to")
            for name in ("poke_interval", "timeout")
        ),
        (LOAD, "recordings_keep_days", ("0", "a week", True), "give a whole number of days"),
        (VIEWS, "views", (5, {"x": 1}), "views is no list"),
        (VIEWS, "views", ([], "[]"), "empty list"),
        (
            SENSOR,
            "done_share",
            (0, -1, 1.1, 50, "1", True, None),
            "greater than 0|equal to 1|valid number",
        ),
        (SENSOR, "agent_ids", ("x",), "no UUID"),
    ],
)
def test_what_can_never_work_is_told_when_the_operator_is_made(
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
        ("assets", ("one", ("one",), ("one", 2))),
        ("task_arguments", ([], {"load_calls": 1})),
    ],
)
def test_a_task_group_tells_so_too(name: str, wrong: tuple[Any, ...]) -> None:
    for value in wrong:
        with (
            DAG("group", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)),
            pytest.raises(TalkPilotArgumentError, match=f"^{name} ") as caught,
        ):
            TalkPilotCallsTaskGroup(staging_uri="/x", table="p1.d.t", **{name: value})
        assert len(str(caught.value).splitlines()) == 1


ALL = (EXTRACT, ENRICH, CHOOSE, CLEAN, LOAD, VIEWS, SENSOR)
every_field = pytest.mark.parametrize(
    ("operator", "name"),
    [(operator, name) for operator in ALL for name in operator[0].template_fields],
    ids=lambda each: getattr(each, "__name__", each),
)


@every_field
def test_what_another_task_did_not_give_is_no_default(
    operator: tuple[type[BaseOperator], dict[str, Any]], name: str
) -> None:
    """Airflow gives None for the XCom of a task that was skipped or marked as succeeded."""
    kind, arguments = operator
    with DAG("absent", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        first = TalkPilotCleanStagingOperator(task_id="first", staging_uri="/x")
        task = kind(task_id="second", **{**arguments, name: first.output})
    context: Any = {"ti": TaskInstance("second"), "params": {}, "expanded_ti_count": None}
    if name == "manifest_uris":
        task.render_template_fields(context)
        return
    with pytest.raises(
        TalkPilotTaskFailError, match=f"{name} is nothing: the task first"
    ) as caught:
        task.render_template_fields(context)
    assert len(str(caught.value).splitlines()) == 1


MORE = ["agent_ids", "columns", "table", "policy_tags", "manifest_uri"]
MORE += ["recordings_uri", "recordings_keep_days"]


@every_field
def test_none_of_a_template_is_the_same_as_text_and_as_object(
    operator: tuple[type[BaseOperator], dict[str, Any]], name: str
) -> None:
    """Where nothing would mean more, such as every agent, it is refused; always of an XCom."""
    kind, arguments = operator
    found: list[str] = []
    lost: list[str] = []
    for native in (False, True):
        start = datetime(2026, 1, 1, tzinfo=UTC)
        dag = DAG("none", schedule=None, start_date=start, render_template_as_native_obj=native)
        context: Any = {"params": {"absent": None}, "ti": SimpleNamespace(xcom_pull=lambda _: None)}
        for template, results in (("params.absent", found), ("ti.xcom_pull('skipped')", lost)):
            given = {**arguments, name: f"{{{{ {template} }}}}"}
            task = kind(task_id=f"task{len(results)}_{template[:2]}", dag=dag, **given)
            try:
                task.render_template_fields(context)
                results.append(repr(getattr(task, name)))
            except (TalkPilotArgumentError, TalkPilotTaskFailError) as error:
                results.append(f"refused: {error}")
    assert found[0] == found[1]
    assert found[0].startswith("refused: ") or name not in MORE
    assert lost[0] == lost[1]
    assert lost[0].startswith(f"refused: {name} is nothing: the task") or name == "manifest_uris"


def test_templates_and_other_tasks_values_are_read_when_the_task_runs() -> None:
    with DAG("arguments", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        extract = TalkPilotExtractCallsOperator(
            task_id="extract",
            staging_uri="{{ var.value.x }}",
            agent_ids=["{{ params.agent }}"],
            columns="{% if x %}{}{% endif %}",
        )
        TalkPilotEnrichCallsOperator(
            task_id="enrich", manifest_uri=extract.output, enabled="{{ x }}", table="{{ x }}"
        )


def test_a_templates_result_is_read_before_the_task_runs() -> None:
    with DAG("rendered", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        task = TalkPilotExtractCallsOperator(
            task_id="extract", staging_uri="/x", agent_ids="{{ params.agents }}"
        )
    context: Any = {"params": {}}
    for wrong in ("x", "{{ another }}"):
        context["params"]["agents"] = wrong
        with pytest.raises(TalkPilotArgumentError, match="is no UUID"):
            task.render_template_fields(context)
    context["params"]["agents"] = f" {A.upper()}"
    task.render_template_fields(context)
    assert task.agent_ids == [A]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def change(password: str | None, name: str = "TALKPILOT_HASH") -> None:
        connection = {"conn_type": "generic", "password": password}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))

    return change


def test_the_secret_is_the_connections_password(connect: Any) -> None:
    connect(SECRET)
    connect(SECRET[::-1], "ANOTHER")
    default, another, again = (
        column_choices({"note": "hash"}, name)
        for name in ("talkpilot_hash", "another", "talkpilot_hash")
    )
    assert default.recorded == again.recorded != another.recorded


def test_no_connection() -> None:
    with pytest.raises(ColumnChoiceError, match=r"no connection .*openssl rand -hex 32") as caught:
        column_choices({"note": "hash"}, "no_such_connection")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("password", [None, SECRET[:31]])
def test_no_secret(connect: Any, password: str | None) -> None:
    connect(password)
    with pytest.raises(ColumnChoiceError, match="needs 32 at least") as caught:
        column_choices({"note": "hash"}, "talkpilot_hash")
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "can_be_tried_again"),
    [
        (ConfigurationError("x"), False),
        (ServerError("x", status=500), True),
        (StagingError("x"), True),
        (ManifestError("x"), False),
        (BigQueryLoadError("x"), False),
        (BigQueryLoadError("x", retryable=True), True),
    ],
    ids=repr,
)
def test_errors(error: Exception, can_be_tried_again: bool) -> None:
    with pytest.raises(AnyAirflowException) as caught, airflow_errors():
        raise error
    kind = TalkPilotTaskError if can_be_tried_again else TalkPilotTaskFailError
    assert type(caught.value) is kind
    assert issubclass(kind, AirflowFailException) != can_be_tried_again
    assert str(caught.value) == "x"
    assert caught.value.error is error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
