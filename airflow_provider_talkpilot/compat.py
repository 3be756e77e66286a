"""What differs between the versions of Airflow that the provider runs on, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.utils.types import DagRunType

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from airflow.providers.common.compat.sdk import BaseOperator, Context


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

    :param operator: whose argument it is.
    :param value: what the user gave.
    :param context: the task's context.
    """
    if not isinstance(value, str):
        return operator.render_template(value, context)
    template = operator.dag.get_template_env(force_sandboxed=True).from_string(value)
    # The context is used as it is: a copy would evaluate all that it holds.
    return "".join(
        template.root_render_func(template.new_context(cast(dict[str, Any], context), shared=True))
    )
