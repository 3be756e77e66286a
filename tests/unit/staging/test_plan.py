"""The plan of an enrichment, against a model that is plain enough to be right."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_talkpilot.staging.enrich.options import EnrichOptions
from airflow_provider_talkpilot.staging.enrich.plan import DetailPlan, KnownDetail, ListedCall
from airflow_provider_talkpilot.staging.rows.choices import ColumnChoices

NOW = datetime(2026, 3, 20, tzinfo=UTC)

# Few values, so that calls, their details and the bounds meet often.
ids = st.sampled_from("ab")
days = st.integers(0, 3).map(lambda days: NOW - timedelta(days=days))
versions = st.none() | st.integers(1, 2).map(lambda day: datetime(2026, 3, day, tzinfo=UTC))
# One agent and one start a call, as the API has it.
listed = st.builds(
    lambda call, version, purged: ListedCall(
        call, "agent", NOW - timedelta(days=ord(call) - 97), version, purged=purged
    ),
    ids,
    versions,
    st.booleans(),
)
known = st.builds(KnownDetail, ids, versions, days, *[st.booleans()] * 5)
options = st.builds(
    EnrichOptions,
    st.sampled_from(["until_complete", "every_version"]),
    refetch_age=st.integers(0, 3).map(lambda days: timedelta(days=days)),
    recordings=st.booleans(),
    choices=st.sampled_from([None, "final_score", "transcript"]).map(
        lambda dropped: ColumnChoices({dropped: "drop"} if dropped else {})
    ),
)


def model(
    calls: list[ListedCall], details: list[KnownDetail], options: EnrichOptions
) -> list[tuple[str, datetime | None, bool]]:
    """Which details to request, each with the newest version that a list row showed, and whether
    the recording is archived.
    """
    newest: dict[str, ListedCall] = {}
    for call in calls:
        before = newest.setdefault(call.id, call)
        if call.version and (before.version is None or call.version > before.version):
            newest[call.id] = before._replace(version=call.version)
        if call.purged:
            newest[call.id] = newest[call.id]._replace(purged=True)
    latest: dict[str, KnownDetail] = {}
    for detail in details:
        had = latest.get(detail.id)
        if had is None or detail.requested_at > had.requested_at:
            flags = "loaded", "recording_known", "archived"
            kept: Any = {name: getattr(detail, name) or getattr(had, name, False) for name in flags}
            latest[detail.id] = detail._replace(**kept)
    drops, every_version = options.choices.drops, options.details == "every_version"
    missing = []
    for call in newest.values():
        have = latest.get(call.id)
        if call.purged and ((have and have.loaded) or drops("final_score")):
            is_missing = False
        elif have is None or (
            (every_version or call.purged)
            and (call.version and (have.version is None or call.version > have.version))
        ):
            is_missing = True
        else:
            young = call.created_at > NOW - options.refetch_age
            rested = have.requested_at <= NOW - timedelta(days=1)
            lacks_score = not have.scored and not drops("final_score")
            lacks_transcript = not (have.transcribed or every_version or drops("transcript"))
            lacks_recording = options.recordings and not (have.recording_known or call.purged)
            is_missing = rested and (
                ((lacks_score or lacks_transcript) and young) or lacks_recording
            )
        if is_missing:
            missing.append((call.id, call.version, bool(have and have.archived)))
    return missing


@settings(max_examples=500)
@given(st.lists(listed, min_size=1, max_size=3), st.lists(known, min_size=1, max_size=6), options)
def test_against_the_model(
    calls: list[ListedCall], details: list[KnownDetail], options: EnrichOptions
) -> None:
    with DetailPlan(options, NOW) as plan:
        plan.add_calls(calls)
        plan.add_details(details)
        found = list(plan.missing())
        wanted = model(calls, details, options)
        assert [(call.id, call.version, call.archived) for call in found] == wanted
        without = model(calls, details, replace(options, recordings=False))
        assert plan.count_missing_for_recordings() == len(wanted) - len(without)
        assert plan.count_missing() == len(found)
        assert plan.count_calls() == len({call.id for call in calls})
        for call in found:
            assert call.created_at == NOW - timedelta(days=ord(call.id) - 97)
        # Once they are known, nothing is missing.
        later = NOW + timedelta(microseconds=1)
        plan.add_details(KnownDetail(call.id, call.version, later, True, True) for call in found)
        assert plan.count_missing() == 0


def test_the_times_are_kept_to_the_microsecond() -> None:
    version = datetime(2026, 3, 16, 1, 2, 3, 456789, tzinfo=UTC)
    with DetailPlan(EnrichOptions("every_version"), NOW) as plan:
        plan.add_calls([ListedCall("a", "agent", version, version)])
        plan.add_details([KnownDetail("a", version - timedelta(microseconds=1), NOW, True, True)])
        [call] = plan.missing()
        assert (call.created_at, call.version) == (version, version)
        plan.add_details([KnownDetail("a", version, NOW + timedelta(microseconds=1), True, True)])
        assert plan.count_missing() == 0
