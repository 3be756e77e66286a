"""Values that do not fit their column: counted by column, and told once a task."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from airflow_provider_talkpilot.api import Call
from airflow_provider_talkpilot.staging.columns import ColumnChoices

log = logging.getLogger(__name__)


def with_drift(counts: Mapping[str, int], calls: Sequence[Call]) -> dict[str, int]:
    """Count the values of calls that do not fit.

    :param counts: the count so far, by column; it stays as it is.
    :param calls: the calls to add.
    :return: the count with them.
    """
    counted = dict(counts)
    for call in calls:
        for name in call.drift:
            counted[name] = counted.get(name, 0) + 1
    return counted


def warn_of_drift(counts: Mapping[str, int], choices: ColumnChoices) -> None:
    """Log one line for each column, without any value.

    :param counts: how many values did not fit, by column.
    :param choices: what is dropped or hashed: such values are kept nowhere.
    """
    for name, number in sorted(counts.items()):
        log.warning(
            "%s call(s) came with a value of %s that does not fit its column: it is null there, "
            "and %s. Report it to TalkPilot, or update this package.",
            f"{number:,}",
            name,
            "the value is in extra" if choices.keeps_drift(name) else "columns has it dropped",
        )
