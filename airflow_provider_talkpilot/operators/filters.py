"""The filters of an extract task, which Airflow must neither store nor show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_talkpilot.api import CallFilters
from airflow_provider_talkpilot.api.errors import ConfigurationError
from airflow_provider_talkpilot.compat import render_text
from airflow_provider_talkpilot.operators.arguments import is_given

if TYPE_CHECKING:
    from airflow_provider_talkpilot.compat import Context
    from airflow_provider_talkpilot.operators.calls import TalkPilotExtractCallsOperator


def render_filters(extract: TalkPilotExtractCallsOperator, context: Context) -> CallFilters:
    """Render the filters of an extract task.

    They are no template fields, because Airflow stores and shows those, and a filter can be the
    number of a caller.

    :raises ConfigurationError: when one renders to nothing, or to something that is no text.
    """

    def rendered(name: str) -> str | None:
        given = getattr(extract, name)
        text: object = render_text(extract, given, context)
        if text != given and not is_given(text):
            raise ConfigurationError(
                f"{name} rendered to nothing. Correct its template, or the task that it reads, or "
                f"leave {name} out to extract every caller's calls."
            )
        if text is None or isinstance(text, str):
            return text
        # An XCom. A number has lost its plus.
        raise ConfigurationError(f"{name} is of type {type(text).__name__}: give a text.")

    return CallFilters(extract.done, rendered("phone_number"), rendered("search"))
