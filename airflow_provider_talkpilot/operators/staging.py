"""Operator that cleans staging after a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_talkpilot.compat import BaseOperator
from airflow_provider_talkpilot.operators.arguments import (
    MOST_DAYS,
    Argument,
    checked,
    is_given,
    read_flag,
    read_list,
    read_staging,
)
from airflow_provider_talkpilot.operators.base import airflow_errors, push_summary
from airflow_provider_talkpilot.staging.clean.cleanup import MAX_AGE, clean_staging
from airflow_provider_talkpilot.staging.names import scope_of
from airflow_provider_talkpilot.staging.storage import parse_uri

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context, XComArg


def read_manifests(name: str, value: Any) -> list[str]:
    """Read URIs of manifests; of mapped tasks, lists of them, and nothing of skipped ones."""
    found = list[str]()
    for each in read_list(name, value) or ():
        if not isinstance(each, str):
            found += read_manifests(name, each)
        elif is_given(each):
            found.append(each.strip())
    return found


class TalkPilotCleanStagingOperator(BaseOperator):
    """
    Delete what a run staged once it is loaded, and whatever in staging must not stay.

    - Loaded: the manifests given and their parts, unless another run of the interval names them;
      the inbox's events of their calls, once details are loaded.
    - Purged or erased: calls that the walk of this run shows to be purged, or gone, leave the
      staged files of all other work too: other DAGs, failed runs, rejects.
    - Expired: folders in which nothing was written for ``max_age``, and the inbox's events of
      calls that no walk showed for so long.

    Only files named as staging names them are touched. Costs no request of TalkPilot's. Run it
    after the loads. The enrich task should have its ``table`` then, or it fetches details again
    that were staged and are gone.

    :param staging_uri: root of staging, as the extract task has it. (templated)
    :param manifest_uris: of the extract and enrich tasks: ``[extract.output, enrich.output]``; an
        entry is nothing where a task was skipped. (templated)
    :param keep: keep what is loaded and what expires; what is purged goes all the same. (templated)
    :param max_age: a folder expires when nothing was written there for so long.
    :return: files by reason: ``loaded``, ``purged``, ``expired``.
    """

    template_fields: Sequence[str] = ("staging_uri", "manifest_uris", "keep")
    staging_uri = Argument(read_staging)
    # A task without details was skipped.
    manifest_uris = Argument(read_manifests, may_be_missing=True)
    keep = Argument(read_flag)
    ui_color = "#eeeeee"

    def __init__(
        self,
        *,
        staging_uri: str,
        manifest_uris: Sequence[str | XComArg | None] | XComArg = (),
        keep: bool | str = False,
        max_age: timedelta = MAX_AGE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.staging_uri = staging_uri
        self.manifest_uris = manifest_uris
        self.keep = keep
        self.max_age = checked(
            "max_age", max_age, timedelta, gt=timedelta(0), le=timedelta(MOST_DAYS)
        )

    def execute(self, context: Context) -> dict[str, int]:
        """Clean."""
        with airflow_errors():
            manifests = [parse_uri(uri) for uri in self.manifest_uris]
            cleaned = clean_staging(
                parse_uri(self.staging_uri), manifests, keep=self.keep, max_age=self.max_age
            )
        counts = asdict(cleaned)
        scopes = {scope_of(path.parent) for path in manifests}
        push_summary(context, "clean", scope=scopes.pop() if len(scopes) == 1 else "", **counts)
        return counts
