"""The differences between the versions of Airflow, all in this module."""

from __future__ import annotations

import os
import sys
from collections import ChainMap
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from airflow.utils.types import DagRunType

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from airflow.providers.common.compat.sdk import (
        DAG as DAG,
        AirflowException as AirflowException,
        AirflowFailException as AirflowFailException,
        AirflowNotFoundException as AirflowNotFoundException,
        AirflowPlugin as AirflowPlugin,
        AirflowSensorTimeout as AirflowSensorTimeout,
        AirflowSkipException as AirflowSkipException,
        Asset as Asset,
        AssetAlias as AssetAlias,
        BaseHook as BaseHook,
        BaseOperator as BaseOperator,
        BaseOperatorLink as BaseOperatorLink,
        BaseSensorOperator as BaseSensorOperator,
        Connection as Connection,
        Context as Context,
        DAGNode as DAGNode,
        ObjectStoragePath as ObjectStoragePath,
        Param as Param,
        PokeReturnValue as PokeReturnValue,
        Stats as Stats,
        TaskGroup as TaskGroup,
        TaskInstanceKey as TaskInstanceKey,
        Variable as Variable,
        XCom as XCom,
        XComArg as XComArg,
        conf as conf,
        task as task,
        task_group as task_group,
    )

IS_AIRFLOW_3: bool = AIRFLOW_V_3_0_PLUS

# Where to look for Airflow's names. The first module has all of them since common-compat 1.12, but
# Airflow 2.11.0 and 3.0 came with older versions, which lack that module.
_MODULES = (
    "airflow.providers.common.compat.sdk",
    "airflow.sdk",
    "airflow.sdk.execution_time.xcom",
    "airflow.exceptions",
    "airflow.configuration",
    "airflow.stats",
    "airflow.plugins_manager",
    "airflow.hooks.base",
    "airflow.models",
    "airflow.decorators",
    "airflow.models.xcom_arg",
    "airflow.io.path",
    "airflow.sensors.base",
    "airflow.utils.task_group",
    "airflow.utils.context",
    "airflow.models.taskinstancekey",
    "airflow.sdk.definitions._internal.node",
)
# Their names in Airflow 2.
_DATASETS = {"Asset": "Dataset", "AssetAlias": "DatasetAlias"}


def __getattr__(name: str) -> Any:
    """Return one of Airflow's names from the module where this version of Airflow has it.

    :raises AttributeError: when no module has it.
    """
    if not name.startswith("_"):
        for module in _MODULES:
            with suppress(ImportError, AttributeError):
                return getattr(import_module(module), name)
        if name in _DATASETS:
            return getattr(import_module("airflow.datasets"), _DATASETS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def read_settings_as_server() -> None:
    """Allow this process to read connections and Variables from Airflow's database.

    Airflow 3 allows that to its servers and commands, which it knows by this setting.
    """
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"


def get_variable(name: str) -> str | None:
    """Read a Variable, in a task as well as in a server or a command of Airflow's.

    :return: its text; None if there is no such Variable.
    """
    # Airflow 3 recognises a task in the same way. In 3.0, the Variable for tasks works only there.
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    is_task = hasattr(runner, "SUPERVISOR_COMMS")
    variable = __getattr__("Variable") if is_task else import_module("airflow.models").Variable
    found = variable.get(name, None)
    return None if found is None else str(found)


def explain_missing_connection(connection_id: str, cure: str) -> tuple[str, bool]:
    """Explain why Airflow does not find a connection.

    :param cure: what to do if it does not exist.
    :return: the explanation, and whether the next try may find it.
    """
    variable = f"AIRFLOW_CONN_{connection_id.upper()}"
    if os.environ.get(variable):
        return (
            f"Airflow cannot read the connection {connection_id!r}: {variable} in the environment "
            "is neither a URI nor JSON of a connection. Correct it."
        ), False
    # Airflow also says that it is not defined when it cannot read where connections are.
    return (
        f"{cure} If it exists, Airflow's database or secrets backend failed: the next try may work."
    ), True


def is_known(alias: AssetAlias) -> bool:
    """Return whether Airflow's database has an alias.

    Airflow 2 fails a task whose event goes through an alias that no scheduler has read yet, as in
    ``airflow dags test``. No DAG can wait for such an event. Airflow 3 creates a missing alias.
    """
    if IS_AIRFLOW_3:
        return True
    from airflow.models.dataset import DatasetAliasModel  # type: ignore[import-not-found]
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = select(DatasetAliasModel.id).where(DatasetAliasModel.name == alias.name)
        return session.scalar(found) is not None


def run_type(ti: TaskInstance) -> DagRunType:
    """Return the type of a task instance's run.

    :param ti: as the scheduler has it. While Airflow creates it, its run is not loaded yet. Then
        the type follows from the run's id, by Airflow's own rule.
    """
    run = vars(ti).get("dag_run")
    return DagRunType(run.run_type) if run is not None else DagRunType.from_run_id(ti.run_id)


def render_text(operator: BaseOperator, value: Any, context: Context) -> Any:
    """Render an argument that is no template field, and always as text.

    Otherwise ``render_template_as_native_obj`` would make a number of ``+49…``.
    """
    if not isinstance(value, str):
        return operator.render_template(value, context)
    template = operator.dag.get_template_env(force_sandboxed=True).from_string(value)
    # The context and the DAG's macros. A copy would evaluate every value in them.
    names = cast(dict[str, Any], ChainMap(cast(dict[str, Any], context), dict(template.globals)))
    return "".join(template.root_render_func(template.new_context(names, shared=True)))
