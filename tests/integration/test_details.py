"""No detail that is known is requested again, whatever fails or is deleted in between."""

from __future__ import annotations

import datetime as dt
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
    timeout,
)

from tests.integration.chain import Chain
from tests.support.windows import long_window

CALLS = 46


@pytest.fixture
def until_complete(chain: Chain) -> None:
    chain.enrich_options["details"] = "until_complete"


def test_what_staging_or_the_table_has_is_not_requested(chain: Chain) -> None:
    calls = chain.summaries()
    chain.enrich(calls)
    assert chain.details_requested() == CALLS
    chain.load(str(chain.enrich(calls).returned))
    chain.forget_staging()
    _, details = chain.run()
    assert chain.details_requested() == 0
    assert details.endswith(".json")
    chain.assert_table_is_truth()


@pytest.mark.usefixtures("until_complete")
def test_no_edit_of_staff_costs_a_detail_that_is_complete(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.run()
    before = {row["id"]: row for row in chain.rows(own_times=True)}
    for call in chain.truth():
        chain.sandbox.store.edit(call["id"], done=not call["done"], note="called back")
    chain.forget_staging()
    chain.details_requested()
    caplog.clear()
    chain.run()
    assert chain.details_requested() == 0
    assert "until each has its transcript and score: 46 call(s), 46 known, 0 to" in caplog.text
    truth = {call["id"]: call for call in chain.truth()}
    for row in chain.rows(own_times=True):
        assert (row["note"], row["done"]) == ("called back", truth[row["id"]]["done"])
        same = "transcript", "transcript_raw", "final_score", "detail_synced_at"
        assert [row[name] for name in same] == [before[row["id"]][name] for name in same]


@pytest.mark.usefixtures("until_complete")
def test_an_empty_text_is_no_transcript(chain: Chain) -> None:
    chain.enrich_options["refetch_days"] = 10_000
    call = next(call for call in chain.truth() if call["transcript"] and call["final_score"])
    chain.sandbox.store.edit(call["id"], transcript="")
    chain.run()
    chain.age_details()
    chain.sandbox.store.edit(call["id"], transcript=call["transcript"], bump=False)
    chain.run()
    chain.assert_table_is_truth()


@pytest.mark.usefixtures("until_complete")
def test_a_purge_needs_no_detail_to_empty_what_is_complete(chain: Chain) -> None:
    chain.run()
    chain.sandbox.store.purge(next(call["id"] for call in chain.truth() if call["transcript"]))
    chain.details_requested()
    chain.run()
    assert chain.details_requested() == 0
    chain.assert_table_is_truth()


@pytest.mark.usefixtures("until_complete")
def test_a_call_out_of_the_trash_gets_the_detail_that_it_lacked(chain: Chain) -> None:
    """TalkPilot has the detail of one of three calls in its trash, and none of the others."""
    chain.sandbox.reset(days=1, agents=1, calls_per_day=3)
    unknown = {"mood": "glad"}
    chain.sandbox.settings.patch(extra_list_fields=unknown, extra_detail_fields=unknown)
    for call in chain.truth():
        chain.sandbox.store.soft_delete(call["id"])
    chain.sandbox.faults.add("status", kind="detail", status=404, times=2)
    calls = str(chain.extract().returned)
    details = str(chain.enrich(calls, concurrency=1).returned)
    chain.load(details)
    assert len(chain.rows()) == 1, "a detail that TalkPilot lacks makes no row"
    for manifest in (calls, details):
        chain.load(manifest)
    for row, call in zip(chain.rows(), chain.truth(), strict=True):
        listed = {name: call[name] for name in ("note", "call_id", "phone_number")}
        assert row | listed | {"extra": unknown} == row
    chain.forget_staging()
    chain.spent()
    chain.run()
    assert chain.details_requested() == 0, "once is enough"

    for call in chain.truth():
        chain.sandbox.store.restore(call["id"])
    chain.forget_staging()
    chain.run()
    assert chain.details_requested() == 2
    for row, call in zip(chain.rows(), chain.truth(), strict=True):
        assert (row["final_score"], row["deleted_at"]) == (call["final_score"], None)
        assert row["transcript_source"] == "api"


@pytest.mark.usefixtures("until_complete")
def test_a_late_score_is_requested_once_a_day_unless_that_is_turned_off(chain: Chain) -> None:
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    chain.sandbox.reset(days=1, start=yesterday, calls_per_day=CALLS)
    chain.interval = yesterday.isoformat(), (yesterday + dt.timedelta(days=1)).isoformat()
    chain.run()
    truth = chain.truth()
    late = [call for call in truth if call["final_score"] is None]
    lacking = [c for c in truth if c["transcript"] in (None, "[]") and not c["is_purged"]]
    # A score need not move updated_at.
    chain.sandbox.store.score(late[0]["id"], 7, bump=False)
    chain.forget_staging()
    chain.details_requested()
    chain.run()
    assert chain.details_requested() == 0

    chain.age_details(days=1)
    chain.enrich(chain.summaries(), refetch_days=0)
    assert chain.details_requested() == 0
    chain.run()
    assert chain.details_requested() == len({call["id"] for call in late + lacking})
    chain.assert_table_is_truth()


def test_a_call_that_vanishes_before_its_detail(chain: Chain) -> None:
    calls = chain.summaries()
    gone = chain.truth()[10]["id"]
    chain.sandbox.store.erase(gone)
    for requests in (CALLS, 0):
        chain.spent()
        ended = chain.enrich(calls)
        assert chain.details_requested() == requests
        assert ended.xcoms["summary"]["vanished"] == 1
        assert ended.xcoms["summary"]["details"] == CALLS - 1
    chain.load(str(ended.returned))
    assert [row["id"] for row in chain.rows() if row["detail_synced_at"] is None] == [gone]


def test_a_key_that_dies_half_way(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    calls = chain.summaries()
    caplog.set_level("INFO")
    sandbox = chain.sandbox
    key = sandbox.settings.api_keys[sandbox.api_key]
    good = key.model_copy()

    def break_key(kind: str, count: int) -> None:
        if kind == "detail" and count == 21:
            key.active = False

    sandbox.state.before_request = break_key
    with pytest.raises(AirflowFailException, match="401"):
        chain.enrich(calls, concurrency=8)
    sandbox.state.before_request = None
    assert chain.details_requested() < CALLS, "it stopped at once"
    # Airflow folds everything up to the end that it finds.
    marks = [line for line in caplog.messages if line.startswith("::")]
    assert marks[-2:] == ["::group::Details, as they come", "::endgroup::"]

    sandbox.settings.api_keys[sandbox.api_key] = good
    chain.load(str(chain.enrich(calls).returned))
    assert chain.details_requested() == CALLS - 20, "fetched details are not requested again"
    chain.assert_table_is_truth()


def test_two_runs_at_once_do_no_harm(chain: Chain) -> None:
    calls = chain.summaries()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(chain.enrich, calls, concurrency=2) for _ in range(2)]
        manifests = [str(run.result().returned) for run in runs]
    for manifest in manifests:
        chain.load(manifest)
    chain.assert_table_is_truth()
    chain.details_requested()
    chain.run()
    assert chain.details_requested() == 0


class TestDeferral:
    @pytest.fixture(autouse=True)
    def _hour_of_thirty(self, chain: Chain) -> None:
        # The extraction costs 3 requests. The quota comes back only when a test resets it.
        chain.sandbox.settings.patch(
            requests_per_minute=60, requests_per_hour=30, hour_seconds=long_window()
        )
        chain.reset_quota()

    @pytest.mark.both_eras
    def test_used_up_quota_frees_the_worker(self, chain: Chain) -> None:
        calls = chain.summaries()
        before = dt.datetime.now(dt.UTC)
        with pytest.raises(TaskDeferred) as deferred:
            chain.enrich(calls, deferrable=True, defer_after=dt.timedelta(seconds=2))
        assert deferred.value.method_name == "execute_complete"
        resume_at = deferred.value.trigger.moment
        assert before < resume_at < before + dt.timedelta(hours=1)
        refused = chain.sandbox.counters["refused"]
        assert chain.sandbox.counters["detail"] - refused == 27, "the whole hour was used"
        # The hour's end comes without notice. At the pace of 60 a minute one is in flight then.
        assert refused == 1

        chain.reset_quota()
        chain.sandbox.settings.requests_per_hour = None
        ended = chain.enrich(calls, method="execute_complete", deferrable=True)
        assert chain.details_requested() == CALLS + refused, "nothing was fetched twice"
        assert ended.xcoms["summary"]["requests"] == {"detail": CALLS + refused}
        chain.load(str(ended.returned))
        chain.assert_table_is_truth()

    def test_extraction_defers_between_agents_and_goes_on(self, chain: Chain) -> None:
        chain.sandbox.settings.requests_per_hour = 2
        with pytest.raises(TaskDeferred):
            chain.extract(deferrable=True, defer_after=dt.timedelta(seconds=2))
        assert chain.spent()["calls"] == 2, "one accepted, one refused"
        chain.reset_quota()
        chain.sandbox.settings.requests_per_hour = None
        calls = chain.extract(method="execute_complete", deferrable=True)
        assert chain.spent()["calls"] == 1, "the first agent is not walked again"
        chain.load(str(calls.returned))
        chain.assert_table_is_truth(details=False)


class TestStopped:
    """A task that is cancelled or runs out of time keeps the details it fetched, and ends soon."""

    def test_out_of_time_in_the_middle_of_requests(self, chain: Chain) -> None:
        calls = chain.summaries()
        chain.sandbox.settings.latency_seconds = 0.2
        with pytest.raises(AirflowTaskTimeout), timeout(seconds=2):
            chain.enrich(calls, concurrency=2)
        chain.sandbox.settings.latency_seconds = 0.0
        accepted = chain.sandbox.counters["detail"]
        assert accepted < CALLS
        chain.load(str(chain.enrich(calls).returned))
        assert chain.details_requested() == CALLS, "requests in flight were kept too"
        chain.assert_table_is_truth()

    def test_out_of_time_while_waiting_for_the_quota(self, chain: Chain) -> None:
        calls = chain.summaries()
        # The minute never ends within the test: only a wait that can be ended ends.
        chain.sandbox.settings.patch(requests_per_minute=20, minute_seconds=long_window())
        chain.reset_quota()

        def soon_out_of_time(kind: str, count: int) -> None:
            if (kind, count) == ("detail", 20):
                signal.setitimer(signal.ITIMER_REAL, 1)

        chain.sandbox.state.before_request = soon_out_of_time
        with pytest.raises(AirflowTaskTimeout), timeout(seconds=300):
            chain.enrich(calls)
        chain.sandbox.state.before_request = None
        assert chain.details_requested() == 20
        chain.sandbox.settings.requests_per_minute = None
        chain.reset_quota()
        chain.load(str(chain.enrich(calls).returned))
        assert chain.details_requested() == CALLS - 20
        chain.assert_table_is_truth()
