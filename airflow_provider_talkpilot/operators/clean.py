"""The operator that cleans staging after a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.compat import BaseOperator
from airflow_provider_talkpilot.operators.arguments import (
    MOST_DAYS,
    Argument,
    checked,
    is_given,
    parse,
    read_flag,
    read_staging,
    read_uri,
)
from airflow_provider_talkpilot.operators.base import Summary, airflow_errors
from airflow_provider_talkpilot.staging.clean.cleanup import MAX_AGE, clean_staging
from airflow_provider_talkpilot.staging.names import scope_of
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, XComArg


def read_manifests(name: str, value: Any) -> list[str]:
    """Read URIs of manifests. Mapped tasks give lists of them, and skipped tasks give nothing."""
    parsed = parse(value)
    if isinstance(parsed, Sequence) and not isinstance(parsed, str | bytes):
        return [uri for item in parsed for uri in read_manifests(name, item)]
    return [read_uri(name, parsed)] if is_given(parsed) else []


class TalkPilotCleanStagingOperator(BaseOperator):
    """
    Delete what a run staged once it is loaded, and everything in staging that must not stay.

    - Loaded: the given manifests and their parts, unless another run of the interval names the
      parts; events in the inbox of their calls, once details are loaded.
    - Purged or erased: calls that this run's walk shows as purged or gone are removed from all
      other staged files too: those of other DAGs, failed runs, rejects.
    - Expired: folders in which nothing was written for ``max_age``, and events in the inbox of
      calls that no walk showed for so long.

    It deletes only files whose names are staging's own, and sends no request to TalkPilot. Run it
    after the loads. Give the enrich task its ``table`` then; otherwise it fetches details again
    that this task deleted.

    :param staging_uri: root of staging, as the extract task has it. (templated)
    :param manifest_uris: what all tasks that staged returned, such as
        ``[extract.output, enrich.output]``. The value of a skipped task may be missing. (templated)
    :param keep_staged: keep what is loaded and what expires; what is purged is deleted all the
        same. (templated)
    :param max_age: a folder expires when nothing was written there for so long.
    :return: counts of files by reason: ``loaded``, ``purged``, ``expired``.
    """

    staging_uri = Argument(read_staging)
    # The enrich task is skipped in runs without details.
    manifest_uris = Argument(read_manifests, may_be_missing=True)
    keep_staged = Argument(read_flag, default=False)
    ui_color = "#eeeeee"

    def __init__(
        self,
        *,
        staging_uri: str,
        manifest_uris: Sequence[str | XComArg | None] | XComArg = (),
        keep_staged: bool | str = False,
        max_age: timedelta = MAX_AGE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.staging_uri = staging_uri
        self.manifest_uris = manifest_uris
        self.keep_staged = keep_staged
        self.max_age = checked(
            "max_age", max_age, timedelta, gt=timedelta(0), le=timedelta(MOST_DAYS)
        )

    def execute(self, context: Context) -> dict[str, int]:
        """Clean staging."""
        with airflow_errors():
            manifests = [parse_uri(uri) for uri in self.manifest_uris]
            counts: dict[str, Any] = clean_staging(
                parse_uri(self.staging_uri), manifests, keep=self.keep_staged, max_age=self.max_age
            )
        scopes = {scope_of(path.parent) for path in manifests}
        scope = scopes.pop() if len(scopes) == 1 else ""
        Summary(context).push(kind="clean", scope=scope, **counts)
        return counts
