"""Details from the API: many requests in flight, their answers taken in the plan's order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import InvalidRecordError, NotFoundError
from airflow_provider_talkpilot.staging.batches import Batches
from airflow_provider_talkpilot.staging.choices import KEEP_ALL, ColumnChoices
from airflow_provider_talkpilot.staging.enrich.plan import Wanted
from airflow_provider_talkpilot.staging.in_flight import Answer, InFlight
from airflow_provider_talkpilot.staging.progress import Progress
from airflow_provider_talkpilot.staging.rows import detail_row, missing_detail_row

# A few records that do not fit are accidents. More are a change of the API: asking on is waste.
MOST_ACCIDENTS = 10


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
    fetch = partial(_fetch, client, choices)
    with InFlight(fetch, concurrency, max_rejects + MOST_ACCIDENTS) as asked:

        def stage(*, overtaking: bool = False) -> None:
            while answer := asked.take(overtaking=overtaking):
                if answer.reject is None:
                    batches.add(answer.row, answer.drift)
                else:
                    batches.reject(answer.reject)
                progress.step()

        try:
            asked.ask(islice(missing, batches.room))
            while not asked.is_over():
                batches.leave_room_for(asked.most + asked.most // 2)
                if asked.wait(batches.rows_left, batches.seconds_left):
                    stage()
                else:
                    # One waits, for the quota perhaps: what came behind it shall be safe meanwhile.
                    stage(overtaking=True)
                    batches.flush()
                asked.ask(islice(missing, batches.room - len(asked)))
        except BaseException:
            client.quota.close()
            # Stage what is here first: whoever ends this task may not wait. Then keep every answer
            # that is still coming, for it is paid for.
            stage(overtaking=True)
            batches.flush()
            asked.finish()
            stage(overtaking=True)
            raise
        finally:
            batches.flush()


def _fetch(client: TalkPilotClient, choices: ColumnChoices, call: Wanted) -> Answer:
    row: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None
    drift: Collection[str] = ()
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
        drift = detail.drift.keys()
    return Answer(row, reject, drift)
