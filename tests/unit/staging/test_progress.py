"""What the task's log says of work that takes long."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_talkpilot.staging.progress import log_group


def test_a_group_ends_whatever_happens(caplog: pytest.LogCaptureFixture) -> None:
    """Airflow folds everything up to the end that it finds, errors too."""
    caplog.set_level(logging.INFO)

    def work() -> None:
        logging.getLogger("a").info("one")
        raise KeyError

    with pytest.raises(KeyError), log_group("Details, as they come"):
        work()
    assert caplog.messages == ["::group::Details, as they come", "one", "::endgroup::"]
