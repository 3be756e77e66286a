"""Simulates the daily DAG and the re-sync for a year, hour by hour, within a key's limits.

The package's own code decides: the look-backs, the days by retention, the plan of details, how a
long list is cut, and how long requests take. This module has only the clock, the calls and the
queue:

- The daily run of a day begins at midnight, and lists come before details.
- One daily run fetches details at a time, the oldest day first.
- The re-sync begins at 06:00, one run at a time. While it runs, its requests and the daily DAG's
  share each hour equally, as tasks on one key do.
- Both know at once what either fetched.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from airflow_provider_talkpilot.api import Interval
from airflow_provider_talkpilot.resync.days import ResyncState, by_retention
from airflow_provider_talkpilot.resync.look_backs import (
    LookBack,
    days_to_read,
    longest_due,
    read_after,
    resync_end,
)
from airflow_provider_talkpilot.staging.enrich.plan import DetailPlan, KnownDetail, ListedCall
from benchmarks.year.calls import RETENTION_DAYS, Kind, SimulatedCall, calls_of
from benchmarks.year.scenario import Details, Lists, Result, Scenario, list_requests

FIRST = date(2026, 1, 1)
RESYNC_HOUR = 6
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AGENT = "agent"


def simulate(scenario: Scenario) -> Result:
    """Simulate a year."""
    return _Year(scenario).run()


class _Year:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._limits = scenario, scenario.limits
        self._result = Result(scenario)
        self._calls: dict[date, list[SimulatedCall]] = {}
        # Changes that the table does not have, by day of the call, oldest first.
        self._unseen: dict[date, list[tuple[datetime, Kind]]] = {}
        self._known: dict[str, KnownDetail] = {}
        # By simulated call: how many of the calls that it stands for were fetched.
        self._paid: Counter[str] = Counter()
        self._active: list[Lists | Details] = []
        self._waiting: deque[Details] = deque()  # for their turn
        self._state, self._reads = ResyncState(), list[tuple[date, LookBack]]()
        # Of the running re-sync: intervals that are not done, its end, what it will have read.
        self._left, self._end, self._next = 0, FIRST, ResyncState()
        self._look_back: LookBack | None = None
        self._is_due = False

    def run(self) -> Result:
        result = self._result
        for hour in range(self._scenario.days * 24):
            now = _midnight(FIRST) + hour * HOUR
            if hour % 24 == 0:
                self._begin_day(now)
            self._is_due = self._is_due or hour % 24 == RESYNC_HOUR
            self._begin_resync(now)
            result.hourly.append(self._spend(now))
            if hour % 24 == 0:
                result.behind.append(0.0)
            result.behind[-1] = max(result.behind[-1], self._hours_behind(now + HOUR))
        end = _midnight(FIRST) + self._scenario.days * DAY
        for changes in self._unseen.values():
            result.unseen.update(kind for at, kind in changes if at < end - 31 * DAY)
        for look_back in self._scenario.look_backs:
            ends = [read for read, of in self._reads if of.days >= look_back.days]
            ends.append(resync_end(end.date()))
            gaps = ((later - earlier).days for earlier, later in pairwise(ends))
            result.gaps[look_back] = max(gaps, default=self._scenario.days)
        return result

    def _begin_day(self, now: datetime) -> None:
        """Make the calls of a new day, and begin the daily run of the day before."""
        today, scenario = now.date(), self._scenario
        self._calls[today] = list(calls_of(today, scenario.sample, scenario.seed))
        changes = ((c.at, c.kind) for call in self._calls[today] for c in call.changes)
        self._unseen[today] = sorted(changes)
        if today > FIRST:
            self._walk("daily lists", Interval(now - DAY, now), now)

    def _walk(self, purpose: str, interval: Interval, now: datetime) -> None:
        days = (interval.end - interval.start) // DAY
        lists = list_requests(interval, days * self._scenario.calls_a_day)
        # The list of agents is read once.
        records = lists - 1 if self._scenario.records else 0
        self._active.append(Lists(purpose, interval, now, lists, records))

    def _begin_resync(self, now: datetime) -> None:
        """Begin the re-sync that is due, unless one runs; of missed runs the newest begins."""
        if not self._is_due or self._left:
            return
        self._is_due = False
        run_end = _midnight(now.date()) + RESYNC_HOUR * HOUR
        run_end = run_end if run_end <= now else run_end - DAY
        today, state = run_end.date(), self._state
        end = resync_end(today)
        if end <= FIRST:
            return
        read, chosen = state.look_backs, list[Interval]()
        look_back = longest_due(self._scenario.look_backs, end, read)
        if look_back:
            chosen.append(days_to_read(look_back, self._scenario.look_backs, end, read, FIRST))
            read = read_after(look_back, end, read)
        due = state.retention.due({AGENT: RETENTION_DAYS}, today)
        covered = chosen[0] if chosen else None
        chosen += [each.interval for each in by_retention(due, self._unpurged(due), covered, None)]
        if not chosen:
            return
        self._left, self._end, self._look_back = len(chosen), end, look_back
        after = state.retention.after({AGENT: RETENTION_DAYS}, today)
        self._next = ResyncState(read, after)
        for interval in chosen:
            self._walk("re-sync lists", interval, now)

    def _unpurged(self, due: Iterable[Interval]) -> Iterator[tuple[str, date]]:
        """Find days whose calls the table does not have as purged yet."""
        for interval in due:
            for day, changes in self._unseen.items():
                kinds = {kind for _, kind in changes}
                if _midnight(day) in interval and kinds & {"purge", "retention"}:
                    yield AGENT, day

    def _spend(self, hour: datetime) -> int:
        """Let an hour's tasks send requests; return how many they sent."""
        left = self._limits.an_hour
        for work in self._active:
            work.since = hour
        while left and self._active:
            share = max(1, left // len(self._active))
            for work in list(self._active):
                now = hour + self._limits.after(self._limits.an_hour - left)
                left -= self._send(work, min(share, left), now)
                if work.is_over:
                    now = hour + self._limits.after(self._limits.an_hour - left)
                    self._finish(work, now)
        used = self._limits.an_hour - left
        for work in self._active:
            # The hour is used up: a task that defers frees its slot.
            self._hold(work, hour + self._limits.after(used), hour + HOUR)
        return used

    def _send(self, work: Lists | Details, most: int, now: datetime) -> int:
        """Send up to ``most`` requests of a task; return how many it sent."""
        if isinstance(work, Lists):
            spent = min(most, work.left)
            lists = min(spent, max(0, work.left - work.records))
            work.left -= spent
            self._result.requests[work.purpose] += lists
            self._result.requests["records"] += spent - lists
            return spent
        spent = 0
        while work.todo and spent < most:
            call, purpose = work.todo[0]
            known = self._known.get(call.id)
            if known and known.requested_at >= work.planned_at:
                work.todo.popleft()  # the other DAG has fetched it since
                continue
            some = min(most - spent, self._scenario.weight - self._paid[call.id])
            spent += some
            self._paid[call.id] += some
            self._result.requests[purpose] += some
            if self._paid[call.id] == self._scenario.weight:
                work.todo.popleft()
                del self._paid[call.id]
                self._receive(call, now)
        return spent

    def _receive(self, call: SimulatedCall, now: datetime) -> None:
        if not call.is_erased(now):
            self._known[call.id] = KnownDetail(
                call.id, call.version(now), now, call.is_scored(now), transcribed=True, loaded=True
            )

    def _finish(self, work: Lists | Details, now: datetime) -> None:
        """End a task: load its rows, and begin what follows it."""
        self._active.remove(work)
        self._hold(work, now, now)
        if isinstance(work, Lists):
            self._see_changes(work, now)
            if not self._scenario.details:
                if work.purpose != "daily lists":
                    self._note_days(now)
                return
            details = Details(work.interval, work.began_at, work.purpose == "daily lists")
            if details.is_daily:
                self._waiting.append(details)
                self._begin_details(now)
            else:
                self._plan(details, now)
        elif work.is_daily:
            self._begin_details(now)
        else:
            self._note_days(now)

    def _note_days(self, now: datetime) -> None:
        """End an interval of the re-sync; after the last one, note what was read."""
        self._left -= 1
        if self._left:
            return
        self._state = self._next
        if self._look_back:
            self._reads.append((self._end, self._look_back))
        self._begin_resync(now)

    def _begin_details(self, now: datetime) -> None:
        """Begin the next daily run's details, unless another daily run fetches some."""
        is_busy = any(isinstance(work, Details) and work.is_daily for work in self._active)
        if self._waiting and not is_busy:
            self._plan(self._waiting.popleft(), now)

    def _plan(self, details: Details, now: datetime) -> None:
        calls = {call.id: call for call in self._calls_in(details.interval)}
        calls = {id_: c for id_, c in calls.items() if not c.is_erased(details.walked_at)}
        for call in calls.values():
            is_purged = call.is_purged(details.walked_at)
            if call.id not in self._known and self._comes_without_detail(is_purged):
                self._known[call.id] = KnownDetail(
                    call.id, call.version(now), now, False, transcribed=True, loaded=True
                )
        with DetailPlan(self._scenario.options, now) as plan:
            plan.add_calls(
                ListedCall(
                    call.id,
                    AGENT,
                    call.created_at,
                    call.version(details.walked_at),
                    purged=call.is_purged(details.walked_at),
                )
                for call in calls.values()
            )
            plan.add_details(
                self._known[id_]._replace(scored=self._known[id_].scored or self._scenario.records)
                for id_ in calls
                if id_ in self._known
            )
            for listed in plan.missing():
                details.todo.append((calls[listed.id], self._purpose(details, listed)))
        details.since = details.planned_at = now
        self._active.append(details)

    def _comes_without_detail(self, is_purged: bool) -> bool:
        """Whether a call needs no detail: a webhook had its transcript, or only a score is left."""
        return self._scenario.records if is_purged else self._scenario.webhooks

    def _purpose(self, details: Details, listed: ListedCall) -> str:
        known = self._known.get(listed.id)
        if known and known.version and listed.version and known.version >= listed.version:
            return "late scores"
        return "details" if details.is_daily else "re-sync details"

    def _see_changes(self, walk: Lists, now: datetime) -> None:
        """Note that the table has all changes from before the walk began."""
        day = walk.interval.start.date()
        while day < walk.interval.end.date():
            changes = self._unseen[day]
            for at, kind in changes:
                if at <= walk.began_at:
                    self._result.lateness.setdefault(kind, []).append((now - at) / HOUR)
            self._unseen[day] = [change for change in changes if change[0] > walk.began_at]
            day += DAY

    def _hold(self, work: Lists | Details, until: datetime, until_waiting: datetime) -> None:
        self._result.slot_hours += max(0.0, (until - work.since) / HOUR)
        self._result.slot_hours_waiting += max(0.0, (until_waiting - work.since) / HOUR)

    def _hours_behind(self, now: datetime) -> float:
        daily = [
            work.interval.end
            for work in (*self._active, *self._waiting)
            if (work.is_daily if isinstance(work, Details) else work.purpose == "daily lists")
        ]
        return (now - min(daily)) / HOUR if daily else 0.0

    def _calls_in(self, interval: Interval) -> Iterator[SimulatedCall]:
        day = interval.start.date()
        while day < interval.end.date():
            yield from self._calls[day]
            day += DAY


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
