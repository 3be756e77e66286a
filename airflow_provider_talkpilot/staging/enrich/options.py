"""How to enrich: which details to request, how many at once, and what becomes of their content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

from airflow_provider_talkpilot.api import CallDetail
from airflow_provider_talkpilot.staging.rows.choices import KEEP_ALL, ColumnChoices

Details = Literal["until_complete", "every_version", "by_webhook"]

RULES: dict[Details, str] = {
    "until_complete": "until each has its transcript and score",
    "every_version": "of every version of a call",
    "by_webhook": "as far as webhooks brought them",
}
"""The choices of ``details``, in the words of logs."""
MOST_IN_FLIGHT = 80
"""The most requests in flight: a kill costs those, and the details that are not staged yet."""


class Archive(Protocol):
    """Archives recordings when their details come, because their addresses die soon."""

    def archive(self, call: CallDetail) -> dict[str, Any]:
        """Archive a call's recording, in any thread; return its columns that have a value."""

    def close(self) -> None:
        """Make all recordings under way fail soon."""


@dataclass(frozen=True)
class EnrichOptions:
    """How to enrich.

    :param details: when a known detail is requested again. ``until_complete``: while it lacks its
        transcript or its score. ``every_version``: whenever the list shows a change, and while it
        lacks its score. ``by_webhook``: no detail is requested at all.
    :param refetch_age: a detail that lacks something is requested again only while its call is
        younger than this; zero never.
    :param recordings: whether a missing recording alone is worth a request, at any age of the call.
    :param concurrency: requests in flight at most, up to 80; the quota can allow fewer.
    :param max_rejects: records that may fail validation before the run fails.
    :param choices: which columns are dropped or hashed. The list rows must have been staged under
        the same choices.
    :param archive: archives recordings; None where they are not archived.
    """

    details: Details = "until_complete"
    refetch_age: timedelta = timedelta(days=3)
    recordings: bool = False
    concurrency: int = 32
    max_rejects: int = 0
    choices: ColumnChoices = KEEP_ALL
    archive: Archive | None = None

    @property
    def every_version(self) -> bool:
        """Whether each change that the list shows costs a request."""
        return self.details == "every_version"

    @property
    def needs_score(self) -> bool:
        """Whether a missing score is worth a request."""
        return not self.choices.drops("final_score")

    @property
    def needs_transcript(self) -> bool:
        """Whether a missing transcript alone is worth a request."""
        return not self.every_version and not self.choices.drops("transcript")
