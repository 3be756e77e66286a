"""Details from the API: many requests in flight, their answers taken in the plan's order."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import InvalidRecordError, NotFoundError
from airflow_provider_talkpilot.staging.batches import Batches
from airflow_provider_talkpilot.staging.columns import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.plan import Wanted
from airflow_provider_talkpilot.staging.progress import Progress
from airflow_provider_talkpilot.staging.rows import detail_row, missing_detail_row

# An answer keeps one processor busy for about this long: more requests in flight than answers come
# in one round trip only make threads wait for each other.
WORK_SECONDS = 0.001
LEAST_IN_FLIGHT = 4
# A few records that do not fit are accidents. More are a change of the API: asking on is waste.
MOST_ACCIDENTS = 10


class Answer(NamedTuple):
    """What came of one request.

    :param row: the detail's row; None for a call that vanished after it was listed.
    :param seconds: how long it took.
    :param reject: in place of a row, a record that failed validation and why.
    """

    row: dict[str, Any] | None
    seconds: float
    reject: dict[str, Any] | None = None

    def hand_to(self, batches: Batches) -> None:
        """Leave what came where it belongs."""
        if self.reject is None:
            batches.add(self.row)
        else:
            batches.reject(self.reject)


def fetch_details(
    client: TalkPilotClient,
    missing: Iterator[Wanted],
    batches: Batches,
    concurrency: int,
    progress: Progress,
    max_rejects: int = 0,
    choices: ColumnChoices = KEEP_ALL,
) -> None:
    """Ask for details; whatever ends it early, every answer that came is staged.

    Ends early, without an error, when many more records than allowed failed validation.

    :param client: the API; after an error its quota is closed.
    :param missing: the calls, in order.
    :param batches: takes the rows, in the same order but for what would wait too long.
    :param concurrency: requests in flight at most.
    :param progress: is told of every answer.
    :param max_rejects: records that may fail validation.
    :param choices: what is dropped or hashed.
    :raises TalkPilotError: what ended it.
    """
    in_flight: deque[Future[Answer]] = deque()
    round_trip = math.inf
    # An answer that is slow must not idle the others: some more wait for it to be taken.
    most = concurrency + concurrency // 2
    batches.leave_room_for(most)

    def take_oldest() -> None:
        while not _is_done(in_flight[0], batches.seconds_left):
            # It waits, for the quota perhaps: what came behind it shall be safe meanwhile.
            for future in [future for future in list(in_flight)[1:] if future.done()]:
                take(future)
            batches.flush()
        take(in_flight[0])

    def take(future: Future[Answer]) -> None:
        nonlocal round_trip
        in_flight.remove(future)
        answer = future.result()
        round_trip = min(round_trip, answer.seconds)
        answer.hand_to(batches)
        progress.step()

    with ThreadPoolExecutor(concurrency, thread_name_prefix="talkpilot") as pool:
        try:
            for call in missing:
                if batches.rejected > max_rejects + MOST_ACCIDENTS:
                    break
                in_flight.append(pool.submit(_fetch, client, call, choices))
                while len(in_flight) >= min(most, _useful(round_trip)):
                    take_oldest()
            while in_flight:
                take_oldest()
        except BaseException:
            # Stage what is here first: whoever ends this task may not wait. Then keep every answer
            # that is still coming, for it is paid for.
            batches.flush()
            client.quota.close()
            pool.shutdown(wait=True, cancel_futures=True)
            for future in in_flight:
                if not future.cancelled() and future.exception() is None:
                    future.result().hand_to(batches)
            raise
        finally:
            batches.flush()


def _useful(round_trip: float) -> float:
    """How many requests in flight still make it faster."""
    return LEAST_IN_FLIGHT + (0 if round_trip == math.inf else 1.5 * round_trip / WORK_SECONDS)


def _is_done(future: Future[Answer], seconds: float) -> bool:
    return future.done() or bool(wait([future], timeout=seconds).done)


def _fetch(client: TalkPilotClient, call: Wanted, choices: ColumnChoices) -> Answer:
    began = time.monotonic()
    row: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None
    try:
        detail = client.call(call.agent_id, call.id)
    except NotFoundError as error:
        if not error.code:  # not TalkPilot's own 404: there is no API at this address
            raise
        if call.deleted:
            row = missing_detail_row(
                call.id, call.agent_id, call.created_at, call.version, datetime.now(UTC)
            )
    except InvalidRecordError as error:
        record = choices.reject(error.record)
        reject = {"agent_id": call.agent_id, "reason": error.reason, "record": record}
    else:
        row = choices.row(detail_row(detail, call.version, datetime.now(UTC)))
    return Answer(row, time.monotonic() - began, reject)
