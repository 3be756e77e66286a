"""The simulated year keeps what the package promises, whatever the limits."""

from __future__ import annotations

import pytest

from airflow_provider_talkpilot.resync.look_backs import LookBacks
from benchmarks.year.calls import ERASED, PURGED, RETENTION_DAYS, calls_of
from benchmarks.year.report import is_carried
from benchmarks.year.simulation import FIRST, Limits, Result, Scenario, simulate

DAYS = 100
EASY = Scenario(5_000, Limits(), days=DAYS, sample=20)
SCARCE = Scenario(50_000, Limits(), days=DAYS, sample=20)
SCENARIOS = (EASY, SCARCE, Scenario(50_000, Limits(), days=DAYS, sample=20, details=False))


@pytest.fixture(scope="module")
def years() -> dict[Scenario, Result]:
    return {scenario: simulate(scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=["easy", "scarce", "lists alone"])
def test_no_hour_has_more_requests_than_allowed_and_no_version_is_fetched_twice(
    years: dict[Scenario, Result], scenario: Scenario
) -> None:
    year = years[scenario]
    assert len(year.hourly) == DAYS * 24
    assert 0 < max(year.hourly) <= scenario.limits.an_hour
    assert sum(year.hourly) == sum(year.requests.values())
    assert year.repeats == 0


def test_what_the_quota_carries_does_not_pile_up(years: dict[Scenario, Result]) -> None:
    year = years[EASY]
    assert max(year.behind[-30:]) <= max(year.behind[5:35]) <= 6
    assert len(year.detail_lag) == DAYS - 1, "every day got its details"
    fetched = year.requests["details"] + year.requests["re-sync details"]
    assert fetched >= 0.99 * (DAYS - 1) * EASY.calls_a_day
    assert is_carried(year)


def test_what_it_does_not_carry_does(years: dict[Scenario, Result]) -> None:
    year = years[SCARCE]
    assert year.behind[-1] > year.behind[DAYS // 2] > 24 * 7
    assert year.share_used > 0.98
    assert not is_carried(year)


def test_changes_arrive_as_the_look_backs_promise(years: dict[Scenario, Result]) -> None:
    """Within the long one's days, and one more for the newest day; the run takes its time."""
    year = years[EASY]
    longest = max(LookBacks().each)
    for kind in ("edit", "purge", "erasure"):
        assert 0 < max(year.lateness[kind]) <= (longest.every + 2) * 24
    for look_back, gap in year.gaps.items():
        assert look_back.every <= gap <= look_back.every + 1


def test_purges_by_retention_arrive_within_two_days(years: dict[Scenario, Result]) -> None:
    """And of each day that became old enough, none is left out."""
    found = years[EASY].lateness["retention"]
    assert 0 < max(found) <= 2 * 24
    expected = (DAYS - RETENTION_DAYS - 1) * EASY.sample
    assert expected * (1 - 2 * (PURGED + ERASED)) <= len(found) <= expected


def test_deferral_frees_workers(years: dict[Scenario, Result]) -> None:
    year = years[SCARCE]
    assert year.slot_hours < 0.5 * year.slot_hours_waiting


def test_a_year_is_the_same_every_time(years: dict[Scenario, Result]) -> None:
    assert simulate(EASY) == years[EASY]
    assert list(calls_of(FIRST, 20, 1)) == list(calls_of(FIRST, 20, 1))
    assert list(calls_of(FIRST, 20, 1)) != list(calls_of(FIRST, 20, 2))
