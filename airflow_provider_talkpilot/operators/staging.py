"""Bases of the operators that stage what they fetch from TalkPilot."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_talkpilot.api import Interval, TalkPilotClient
from airflow_provider_talkpilot.api.errors import AgentNotAccessibleError, ConfigurationError
from airflow_provider_talkpilot.bigquery.table_id import TableId
from airflow_provider_talkpilot.compat import (
    AirflowNotFoundException,
    BaseHook,
    explain_missing_connection,
)
from airflow_provider_talkpilot.lineage.openlineage import staged_lineage
from airflow_provider_talkpilot.links.talkpilot import DashboardLink, StagingLink
from airflow_provider_talkpilot.operators.arguments import (
    Argument,
    checked,
    read_choices,
    read_table,
    read_text,
    read_uri,
)
from airflow_provider_talkpilot.operators.requests import TalkPilotRequestsOperator
from airflow_provider_talkpilot.staging.manifests import AnyManifest, ListManifest
from airflow_provider_talkpilot.staging.names import root_of
from airflow_provider_talkpilot.staging.rows.choices import (
    HASH,
    ColumnChoices,
    Hasher,
    choices_of,
    require_same_choices,
)
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, ObjectStoragePath, XComArg

HASH_CONN_ID = "talkpilot_hash"


class TalkPilotStagingOperator(TalkPilotRequestsOperator):
    """
    Base of the operators that stage what they fetch.

    :param columns: what to do with columns before anything is staged, by name: ``keep`` (the
        default), ``drop`` or ``hash``; or a JSON object of the same. (templated)
    :param hash_conn_id: the connection whose password is the secret to hash with. It is needed
        only if a column is hashed. (templated)
    :param table: the target table, ``project.dataset.table``. What no load could bring into it is
        refused before a request is sent. None turns this check off. (templated)
    :param max_rejects: how many records may fail validation before the task fails.
    """

    columns = Argument(read_choices, default=None, refuses_none=True)
    hash_conn_id = Argument(read_text, default=HASH_CONN_ID)
    table = Argument(read_table)
    operator_extra_links = (StagingLink(), DashboardLink())
    ui_color = "#e3f2ef"

    def __init__(
        self,
        *,
        columns: dict[str, str] | str | None = None,
        hash_conn_id: str = HASH_CONN_ID,
        table: str | None = None,
        max_rejects: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.columns = columns
        self.hash_conn_id = hash_conn_id
        if table is not None:  # an empty text is an error: a template may have rendered to it
            self.table = table
        self.max_rejects = checked("max_rejects", max_rejects, int, ge=0)

    def _check_target(self, interval: Interval, columns: Mapping[str, str]) -> None:
        """Refuse what no load could bring into the table, before a request is sent."""
        if not self.table:
            return
        from airflow_provider_talkpilot.bigquery.target import check_target

        with self.warehouse() as client:
            check_target(client, TableId.parse(self.table), self.location, interval, columns)

    def _finish(
        self,
        client: TalkPilotClient,
        manifest: AnyManifest,
        path: ObjectStoragePath,
        **figures: Any,
    ) -> str:
        """Log what was staged, push the summary with figures, and return the manifest's URI."""
        self._lineage = partial(staged_lineage, client.base_url, path, manifest)
        self.log.info(
            "%s row(s) of %s staged for %s, of %d agent(s); %s request(s) spent.",
            f"{manifest.rows:,}",
            manifest.kind,
            manifest.interval,
            manifest.agent_count,
            f"{sum(manifest.requests.values()):,}",
        )
        self._summary.push(
            manifest=path,
            requests=manifest.requests,
            rejected=manifest.rejected,
            drift=manifest.drift,
            **figures,
        )
        return str(path)


class TalkPilotStagedCallsOperator(TalkPilotStagingOperator):
    """
    Base of the operators that stage more about the calls that an extract task staged.

    :param manifest_uri: what the extract task returned: ``extract.output``. (templated)
    :param columns: by default the choices that the calls were staged with; others are an error.
        (templated)
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"columns": "json"}
    manifest_uri = Argument(read_uri)

    def __init__(self, *, manifest_uri: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.manifest_uri = manifest_uri

    def _staging_root(self) -> ObjectStoragePath:
        return root_of(parse_uri(self.manifest_uri).parent)

    def _work(self, client: TalkPilotClient, context: Context) -> str:
        path = parse_uri(self.manifest_uri)
        calls = ListManifest.load(path)
        columns = choices_of(calls.columns) if self.columns is None else self.columns
        choices = column_choices(columns, self.hash_conn_id)
        require_same_choices(choices, calls.columns)
        try:
            return self._stage(client, path, calls, choices)
        except AgentNotAccessibleError as error:
            cure = "To go on without it, clear the task that staged the calls, and those after it."
            error.args = (f"{error} {cure}",)
            raise

    @abstractmethod
    def _stage(
        self,
        client: TalkPilotClient,
        path: ObjectStoragePath,
        calls: ListManifest,
        choices: ColumnChoices,
    ) -> str:
        """Stage more about the calls of a manifest; return the URI of the new manifest."""


def column_choices(choices: Mapping[str, str], hash_conn_id: str) -> ColumnChoices:
    """Create the choices for columns, with the secret if a column is hashed.

    :param hash_conn_id: the connection whose password is the secret: Airflow keeps passwords out
        of its logs.
    :raises ConfigurationError: when a column is hashed and there is no such connection.
    :raises ColumnChoiceError: when its secret is too short.
    """
    if HASH not in choices.values():
        return ColumnChoices(choices)
    try:
        secret = BaseHook.get_connection(hash_conn_id).password
    except AirflowNotFoundException:
        message, retryable = explain_missing_connection(
            hash_conn_id,
            f"columns hashes, and there is no connection {hash_conn_id!r} with the secret: make "
            "one, of any type, whose password is what openssl rand -hex 32 prints.",
        )
        raise ConfigurationError(message, retryable=retryable) from None
    return ColumnChoices(choices, Hasher(secret or ""))
