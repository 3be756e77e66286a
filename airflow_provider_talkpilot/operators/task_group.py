"""The whole chain of tasks from TalkPilot to BigQuery, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.compat import AssetAlias, TaskGroup
from airflow_provider_talkpilot.exceptions import TalkPilotArgumentError
from airflow_provider_talkpilot.operators.arguments import checked
from airflow_provider_talkpilot.operators.bigquery import TalkPilotLoadCallsOperator
from airflow_provider_talkpilot.operators.calls import (
    TalkPilotEnrichCallsOperator,
    TalkPilotExtractCallsOperator,
)
from airflow_provider_talkpilot.operators.clean import TalkPilotCleanStagingOperator
from airflow_provider_talkpilot.operators.performance import TalkPilotExtractPerformanceOperator

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import BaseOperator, DAGNode, XComArg

# Staging keeps personal data no longer than the run needs them.
_CLEARING = (
    "After clean_staging, do not clear this task alone: clear extract_calls and the tasks after it."
)


class TalkPilotCallsTaskGroup(TaskGroup):
    """
    Bring an interval's calls and their details to a BigQuery table.

    .. code-block:: python

        TalkPilotCallsTaskGroup(staging_uri="gs://my-bucket/talkpilot", table="p.dataset.calls")

    The tasks are ``extract_calls``, ``load_calls``, ``extract_performance``, ``load_performance``,
    ``enrich_calls``, ``load_details`` and ``clean_staging``. ``load_calls`` waits only for
    ``extract_calls``. Details are requested last, because the records have brought scores by then.
    Tasks that wait for the quota free their worker, unless ``deferrable`` is False.

    The group works in a mapped task group too. ``start``, ``end``, ``agent_ids`` or
    ``talkpilot_conn_id`` are then what ``expand`` or ``expand_kwargs`` gives. Set ``clean`` to
    False there, and clean once with :func:`clean_behind`, because Airflow 2.11 skips tasks of a
    mapped group that may run after a skipped one.

    .. code-block:: python

        @task_group
        def one_month(start: str, end: str) -> None:
            TalkPilotCallsTaskGroup(staging_uri=URI, table=TABLE, start=start, end=end, clean=False)


        months = one_month.expand_kwargs([{"start": "2026-01-01", "end": "2026-02-01"}, ...])
        clean_behind(months, staging_uri=URI)

    :param group_id: the id of the group.
    :param staging_uri: root of staging, such as ``gs://bucket/talkpilot``. (templated)
    :param table: the target table, ``project.dataset.table``. (templated)
    :param start: first moment of the interval; by default that of the run's data interval.
        (templated)
    :param end: first moment after the interval, likewise. (templated)
    :param agent_ids: UUIDs of agents; by default every agent that the key can see. (templated)
    :param columns: ``keep``, ``drop`` or ``hash`` by column. (templated)
    :param hash_conn_id: the connection with the secret to hash with. (templated)
    :param enrich: whether to fetch details. (templated)
    :param performance: ``auto``, ``required`` or ``off``: whether to read performance records.
        (templated)
    :param details: ``until_complete``, ``every_version`` for a request at every change, or
        ``by_webhook`` for no request. (templated)
    :param recordings_uri: where to archive recordings, such as ``gs://bucket/recordings``; by
        default they are not archived. (templated)
    :param recordings_backfill: also request details whose recording alone is missing. (templated)
    :param recordings_keep_days: delete recordings of calls that began more days ago. (templated)
    :param agent_prompts: keep prompts and greetings in the table of agents. (templated)
    :param confirm_erasure: erase calls however many are gone. (templated)
    :param policy_tags: a policy tag by column. (templated)
    :param clean: whether the group cleans staging.
    :param keep_staged: keep in staging what is loaded. (templated)
    :param talkpilot_conn_id: the TalkPilot connection. (templated)
    :param gcp_conn_id: the Google Cloud connection. (templated)
    :param location: where the dataset must be, and where a new one is created. The default is the
        field ``location`` of the Google connection, then the Variable
        ``talkpilot_bigquery_location``. (templated)
    :param impersonation_chain: the service account to impersonate. (templated)
    :param deferrable: whether tasks wait for the quota outside of the worker.
    :param loads_at_once: how many of its loads, and of its enrichments, may run at once in all runs
        of the DAG; None for any number.
    :param task_arguments: more arguments of single tasks, by task id without the group's.
    :param kwargs: arguments of Airflow's ``TaskGroup``, such as ``default_args``.
    """

    extract_calls: TalkPilotExtractCallsOperator
    load_calls: TalkPilotLoadCallsOperator
    extract_performance: TalkPilotExtractPerformanceOperator
    load_performance: TalkPilotLoadCallsOperator
    enrich_calls: TalkPilotEnrichCallsOperator
    load_details: TalkPilotLoadCallsOperator
    clean_staging: TalkPilotCleanStagingOperator | None = None

    def __init__(
        self,
        group_id: str = "talkpilot_calls",
        *,
        staging_uri: str,
        table: str,
        start: str | XComArg | None = None,
        end: str | XComArg | None = None,
        agent_ids: Sequence[str] | str | XComArg | None = None,
        columns: dict[str, str] | str | None = None,
        hash_conn_id: str | None = None,
        enrich: bool | str = True,
        performance: str = "auto",
        details: str = "until_complete",
        recordings_uri: str | None = None,
        recordings_backfill: bool | str = False,
        recordings_keep_days: int | str | None = None,
        agent_prompts: bool | str = False,
        confirm_erasure: bool | str = False,
        policy_tags: dict[str, str] | str | None = None,
        clean: bool = True,
        keep_staged: bool | str = False,
        talkpilot_conn_id: str | XComArg | None = None,
        gcp_conn_id: str | None = None,
        location: str | None = None,
        impersonation_chain: str | Sequence[str] | None = None,
        deferrable: bool = True,
        loads_at_once: int | None = 1,
        task_arguments: dict[str, dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        checked("clean", clean, bool)
        checked("loads_at_once", loads_at_once, int | None, ge=1)
        checked("task_arguments", task_arguments, dict[str, dict[str, Any]] | None)
        super().__init__(group_id, **kwargs)
        place: dict[str, Any] = {"dag": self.dag, "task_group": self}
        target: dict[str, Any] = {
            "table": table,
            "gcp_conn_id": gcp_conn_id,
            "location": location,
            "impersonation_chain": impersonation_chain,
        }
        google: dict[str, Any] = {
            **target,
            # Tasks that change one table take turns. If the events of two create the table's asset
            # at the same moment, Airflow 3.3.2 fails one of them.
            "max_active_tis_per_dag": loads_at_once,
        }
        requests: dict[str, Any] = {
            "talkpilot_conn_id": talkpilot_conn_id,
            "hash_conn_id": hash_conn_id,
            "deferrable": deferrable,
        }
        recordings: dict[str, Any] = {
            "recordings_uri": recordings_uri,
            "recordings_keep_days": recordings_keep_days,
        }
        overrides = dict(task_arguments or {})

        def task(kind: type[BaseOperator], task_id: str, doc_md: str, **arguments: Any) -> Any:
            # What is not given comes from default_args, or is the operator's default.
            given = {name: value for name, value in arguments.items() if value is not None}
            given |= {"doc_md": doc_md, **place, **overrides.pop(task_id, {})}
            return kind(task_id=task_id, **given)

        self.extract_calls = task(
            TalkPilotExtractCallsOperator,
            "extract_calls",
            "Reads the lists of the interval's calls, one request per 100, and stages them.",
            staging_uri=staging_uri,
            agent_ids=agent_ids,
            start=start,
            end=end,
            agent_prompts=agent_prompts,
            columns=columns,
            **requests,
            **target,
        )
        self.load_calls = task(
            TalkPilotLoadCallsOperator,
            "load_calls",
            "Makes the table equal to the lists, by one load job and one merge. " + _CLEARING,
            manifest_uri=self.extract_calls.output,
            policy_tags=policy_tags,
            confirm_erasure=confirm_erasure,
            outlets=[AssetAlias("talkpilot_calls")],
            **recordings,
            **google,
        )
        self.extract_performance = task(
            TalkPilotExtractPerformanceOperator,
            "extract_performance",
            "Reads the performance records of the calls, one request per 100, and stages them, if "
            "the API key may read them. " + _CLEARING,
            manifest_uri=self.extract_calls.output,
            performance=performance,
            **requests,
            **target,
        )
        self.load_performance = task(
            TalkPilotLoadCallsOperator,
            "load_performance",
            "Loads the records into a table beside, and their scores into the calls. " + _CLEARING,
            manifest_uri=self.extract_performance.output,
            policy_tags=policy_tags,
            **google,
        )
        self.enrich_calls = task(
            TalkPilotEnrichCallsOperator,
            "enrich_calls",
            "Fetches the details that neither staging nor the table has complete, one request per "
            "call. While the quota is used up it defers, and continues where it stopped. "
            + _CLEARING,
            manifest_uri=self.extract_calls.output,
            enrich=enrich,
            details=details,
            recordings_backfill=recordings_backfill,
            **recordings,
            **requests,
            **google,
        )
        self.load_details = task(
            TalkPilotLoadCallsOperator,
            "load_details",
            "Loads transcripts and scores into the table. " + _CLEARING,
            manifest_uri=self.enrich_calls.output,
            policy_tags=policy_tags,
            outlets=[AssetAlias("talkpilot_details")],
            **recordings,
            **google,
        )
        # Records need their calls in the table. The plan of details needs the records' scores.
        self.load_calls >> self.load_performance >> self.enrich_calls
        self.load_calls >> self.load_details
        if clean:
            cleaning: dict[str, Any] = {"staging_uri": staging_uri, "keep_staged": keep_staged}
            cleaning |= place | overrides.pop("clean_staging", {})
            self.clean_staging = clean_behind(self, **cleaning)
        if overrides:
            raise TalkPilotArgumentError(
                f"task_arguments names no task of the group: {[*overrides]}."
            )


def clean_behind(
    group: DAGNode,
    *,
    staging_uri: str,
    keep_staged: bool | str = False,
    task_id: str = "clean_staging",
    **kwargs: Any,
) -> TalkPilotCleanStagingOperator:
    """Create a task that cleans staging after all loads of a group, mapped or not.

    :param group: what ``expand`` or ``expand_kwargs`` of the mapped group returned.
    :param staging_uri: root of staging, as the group has it. (templated)
    :param keep_staged: keep in staging what is loaded. (templated)
    :param task_id: the id of the task.
    :param kwargs: more arguments of :class:`TalkPilotCleanStagingOperator`.
    :return: the task.
    """
    if not isinstance(group, TaskGroup):
        raise TalkPilotArgumentError("group is no task group: give what expand() returned.")
    tasks = [*group.iter_tasks()]
    staging = (
        TalkPilotExtractCallsOperator,
        TalkPilotExtractPerformanceOperator,
        TalkPilotEnrichCallsOperator,
    )
    clean = TalkPilotCleanStagingOperator(
        task_id=task_id,
        staging_uri=staging_uri,
        # It runs after runs without details too, but never after a failure.
        **{
            "manifest_uris": [task.output for task in tasks if isinstance(task, staging)],
            "keep_staged": keep_staged,
            "trigger_rule": "none_failed_min_one_success",
            "doc_md": "Deletes what is loaded from staging, and removes calls that are purged or "
            "erased from all other staged files.",
            **kwargs,
        },
    )
    [task for task in tasks if isinstance(task, TalkPilotLoadCallsOperator)] >> clean
    return clean
