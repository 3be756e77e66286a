"""Tables and charts of the simulated years."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from functools import cache

from airflow_provider_talkpilot.resync.look_backs import LookBack
from airflow_provider_talkpilot.staging.enrich.options import EnrichOptions
from benchmarks import charts as draw
from benchmarks.year.calls import Kind
from benchmarks.year.scenario import PURPOSES, Limits, Result, Scenario
from benchmarks.year.simulation import simulate

LIMITS = (Limits(), Limits(600, 10_000), Limits(6_000, 100_000))
VOLUMES = (5_000, 50_000, 500_000)
LIGHT = (LookBack(2, 1), LookBack(30, 30))

YEARS = tuple(Scenario(calls, limits) for calls in VOLUMES for limits in LIMITS)
EDGE = tuple(Scenario(calls, Limits()) for calls in (5_000, 10_000, 15_000, 17_500, 20_000))
# What to do where the year above is not carried.
CHOICES = (
    Scenario(50_000, LIMITS[0], details=False),
    Scenario(500_000, LIMITS[0], details=False),
    Scenario(500_000, LIMITS[0], LIGHT, details=False),
    Scenario(500_000, LIMITS[1], details=False),
)
# What performance records and webhooks save, with the rule that is the default.
COMBINATIONS = tuple(
    Scenario(calls, Limits(), options=EnrichOptions(), records=records, webhooks=webhooks)
    for calls in (5_000, 50_000)
    for records in (False, True)
    for webhooks in (False, True)
)
# A year whose details are later than this is not carried: they get later from day to day.
CARRIED_DAYS = 7

result = cache(simulate)


def is_carried(year: Result) -> bool:
    """Whether details and look-backs kept pace with the calls to the end."""
    late = max((gap - each.every for each, gap in year.gaps.items()), default=0)
    return year.behind[-1] <= 24 * CARRIED_DAYS and late <= CARRIED_DAYS


def tables() -> dict[str, str]:
    """Markdown by name."""
    return {
        "requests": _table(
            ("calls a day", "limits", *PURPOSES, "quota used"), map(_requests, _results(YEARS))
        ),
        "combinations": _table(
            ("calls a day", "records", "webhooks", "lists", "of records", "details", "late scores",
             "requests a day", "quota used", "details behind, most", "is it carried"),
            map(_combination, _results(COMBINATIONS)),
        ),
        "backlog": _table(
            ("calls a day", "limits", "details behind, most", "at year's end", "slot hours",
             "without deferral", "is it carried"),
            map(_backlog, _results(YEARS)),
        ),
        "lateness": _table(
            ("calls a day", "limits", "edits: median, most", "purges by hand: median, most",
             "by retention: median, most", "not seen", "longest gap of look-backs"),
            (_lateness(year) for year in _results(YEARS)),
        ),
        "edge": _table(
            ("calls a day", "quota used", "details behind, most", "at year's end",
             "purges by hand: median, most", "by retention: median, most",
             "longest gap of look-backs"),
            map(_edge, _results(EDGE)),
        ),
        "choices": _table(
            ("calls a day", "limits", "look-backs", "quota used", "purges by hand: median, most",
             "by retention: median, most", "longest gap of look-backs", "is it carried"),
            map(_choice, _results(CHOICES)),
        ),
    }  # fmt: skip


def charts() -> dict[str, str]:
    """SVG by name."""
    carried = [year for year in _results(YEARS) if is_carried(year)]
    edge = _results(EDGE)
    return {
        "requests": draw.bars(
            "Requests a day, by purpose: share of the quota",
            [_name(year) for year in carried],
            {
                purpose: [
                    year.share_used * 100 * year.requests[purpose] / sum(year.requests.values())
                    for year in carried
                ]
                for purpose in PURPOSES
            },
            unit=" %",
            stacked=True,
        ),
        "backlog": draw.lines(
            "How far details are behind, at TalkPilot's default limits",
            {f"{year.scenario.calls_a_day:,} calls a day": year.behind for year in edge},
            x_label="day",
            y_label="hours since the oldest day ended that lacks details",
        ),
        "lateness": draw.bars(
            "From a change until the table has it, at the default look-backs",
            [
                f"{what}, {how}"
                for what in ("edits", "purges by hand", "by retention")
                for how in ("median", "most")
            ],
            {
                f"{year.scenario.calls_a_day:,} calls a day, default limits": [
                    figure / 24
                    for kind in ("edit", "purge", "retention")
                    for figure in (
                        statistics.median(year.lateness[kind]),
                        max(year.lateness[kind]),
                    )
                ]
                for year in (edge[0], edge[-2])
            },
            unit=" days",
        ),
        "slots": draw.bars(
            "Worker-slot hours in the year",
            [_name(year) for year in carried],
            {
                "tasks defer": [year.slot_hours for year in carried],
                "tasks wait in the worker": [year.slot_hours_waiting for year in carried],
            },
        ),
    }


def _results(scenarios: Iterable[Scenario]) -> list[Result]:
    return [result(scenario) for scenario in scenarios]


def _requests(year: Result) -> Sequence[str]:
    days = year.scenario.days
    spent = [f"{year.requests[purpose] / days:,.0f}" for purpose in PURPOSES]
    return *_what(year), *spent, f"{year.share_used:.1%}"


def _combination(year: Result) -> Sequence[str]:
    days, spent, scenario = year.scenario.days, year.requests, year.scenario
    kinds = (
        ("daily lists", "re-sync lists"),
        ("records",),
        ("details", "re-sync details"),
        ("late scores",),
    )
    return (
        f"{scenario.calls_a_day:,}",
        "yes" if scenario.records else "no",
        "yes" if scenario.webhooks else "no",
        *(f"{sum(spent[purpose] for purpose in kind) / days:,.0f}" for kind in kinds),
        f"{sum(spent.values()) / days:,.0f}",
        f"{year.share_used:.1%}",
        _hours(max(year.behind)),
        _carried(year),
    )


def _backlog(year: Result) -> Sequence[str]:
    return (
        *_what(year),
        _hours(max(year.behind)),
        _hours(year.behind[-1]),
        f"{year.slot_hours:,.0f}",
        f"{year.slot_hours_waiting:,.0f}",
        _carried(year),
    )


def _lateness(year: Result) -> Sequence[str]:
    unseen = sum(year.unseen.values())
    changes = unseen + sum(len(found) for found in year.lateness.values())
    return (
        *_what(year),
        _spread(year, "edit"),
        _spread(year, "purge"),
        _spread(year, "retention"),
        f"{unseen / changes:.1%}",
        _gaps(year),
    )


def _edge(year: Result) -> Sequence[str]:
    return (
        f"{year.scenario.calls_a_day:,}",
        f"{year.share_used:.0%}",
        _hours(max(year.behind)),
        _hours(year.behind[-1]),
        _spread(year, "purge"),
        _spread(year, "retention"),
        _gaps(year),
    )


def _choice(year: Result) -> Sequence[str]:
    each = ", ".join(f"{one.days} every {one.every}" for one in year.scenario.look_backs)
    return (
        *_what(year),
        each,
        f"{year.share_used:.0%}",
        _spread(year, "purge"),
        _spread(year, "retention"),
        _gaps(year),
        _carried(year),
    )


def _what(year: Result) -> tuple[str, str]:
    return f"{year.scenario.calls_a_day:,}", str(year.scenario.limits)


def _name(year: Result) -> str:
    return f"{year.scenario.calls_a_day:,} at {year.scenario.limits.per_minute:,}/min"


def _carried(year: Result) -> str:
    return "yes" if is_carried(year) else "**no**"


def _spread(year: Result, kind: Kind) -> str:
    late = year.lateness.get(kind)
    return f"{_hours(statistics.median(late))}, {_hours(max(late))}" if late else "none"


def _gaps(year: Result) -> str:
    return ", ".join(f"{each.days}: {gap} d" for each, gap in year.gaps.items())


def _hours(hours: float) -> str:
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:,.0f} d"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---:", *("---" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
