"""What differs between the versions of Airflow that the provider runs on, in one place."""

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

# Where Airflow's names are looked for. The first module has had all of them since common-compat
# 1.12. Airflow 2.11.0 and 3.0 came with an older one, which lacks the module.
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
# And what Airflow 2 called them.
_DATASETS = {"Asset": "Dataset", "AssetAlias": "DatasetAlias"}


def __getattr__(name: str) -> Any:
    """Give a name of Airflow, from wherever this version has it.

    :raises AttributeError: when it has none.
    """
    if not name.startswith("_"):
        for module in _MODULES:
            with suppress(ImportError, AttributeError):
                return getattr(import_module(module), name)
        if name in _DATASETS:
            return getattr(import_module("airflow.datasets"), _DATASETS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def read_settings_as_server() -> None:
    """Let this process find connections and Variables that are in Airflow's database.

    Airflow 3 gives them to its servers and its own commands alone, which say so in this way.
    """
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"


def get_variable(name: str) -> str | None:
    """Read a Variable, in a task as well as in a server or a command of Airflow's.

    :return: its text; None where there is none.
    """
    # So Airflow 3 itself tells a task; the Variable that 3.0 has for tasks works nowhere else.
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    is_task = hasattr(runner, "SUPERVISOR_COMMS")
    variable = __getattr__("Variable") if is_task else import_module("airflow.models").Variable
    found = variable.get(name, None)
    return None if found is None else str(found)


def unread_connection(connection_id: str) -> str:
    """Say why Airflow finds no connection, where the environment has it; else nothing.

    Airflow reads a malformed one as none.
    """
    variable = f"AIRFLOW_CONN_{connection_id.upper()}"
    if not os.environ.get(variable):
        return ""
    return (
        f"Airflow cannot read the connection {connection_id!r}: {variable} in the environment is "
        "neither a URI nor JSON of a connection. Correct it."
    )


def is_known(alias: AssetAlias) -> bool:
    """Whether Airflow's database has an alias.

    On Airflow 2, events through one that no scheduler has read yet, as in ``airflow dags test``,
    make the task fail. No DAG can wait for them. Airflow 3 makes the alias where it is missing.
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
    """Tell of which type a task instance's run is.

    :param ti: of the scheduler. While Airflow makes it, its run is not loaded yet: then Airflow's
        own rule for run ids decides.
    """
    run = vars(ti).get("dag_run")
    return DagRunType(run.run_type) if run is not None else DagRunType.from_run_id(ti.run_id)


def render_text(operator: BaseOperator, value: Any, context: Context) -> Any:
    """Render an argument that is no template field, always as text.

    With ``render_template_as_native_obj`` a phone number such as ``+49…`` would become a number.
    """
    if not isinstance(value, str):
        return operator.render_template(value, context)
    template = operator.dag.get_template_env(force_sandboxed=True).from_string(value)
    # Beside the context, the DAG's macros. A copy of both would evaluate all that they hold.
    names = cast(dict[str, Any], ChainMap(cast(dict[str, Any], context), dict(template.globals)))
    return "".join(template.root_render_func(template.new_context(names, shared=True)))
