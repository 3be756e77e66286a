"""Processes that request details as fast as the quota allows.

This one says that it is ready, then reads line by line how many processes to make, how many
requests each of them sends at most, and until when (Unix time). They are forked, for an import of
Airflow takes seconds; each has a client, a quota and a ledger of its own.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_talkpilot.api import Quota, TalkPilotClient
from airflow_provider_talkpilot.api.errors import ClosedError
from airflow_provider_talkpilot.staging.ledger import StagedLedger

THREADS = 4


def work(client: TalkPilotClient, agent: str, call: str, most: int, until: float) -> None:
    """Request the same detail again and again."""
    numbers = count(1)

    def request() -> None:
        try:
            while time.time() < until and next(numbers) <= most:
                client.call(agent, call)
        except ClosedError:
            pass

    with ThreadPoolExecutor(THREADS) as pool:
        threads = [pool.submit(request) for _ in range(THREADS)]
        while time.time() < until and not all(thread.done() for thread in threads):
            time.sleep(0.01)
        client.quota.close()
    for thread in threads:
        thread.result()


def run(most: int, until: float) -> None:
    """Do the work of one process."""
    base_url, api_key, agent_id, call_id, ledger, minute, hour = sys.argv[1:]
    quota = Quota(
        ledger=StagedLedger(ObjectStoragePath(ledger)), minute=float(minute), hour=float(hour)
    )
    with TalkPilotClient(base_url, api_key, quota=quota) as client:
        work(client, agent_id, call_id, most, until)


def fork(most: int, until: float) -> int:
    """Start a process; return its id."""
    if child := os.fork():
        return child
    try:
        run(most, until)
    except BaseException:  # noqa: BLE001  # it must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    logging.disable()  # Airflow logs to the output, which is read no more after "ready"
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        processes, number, end = line.split()
        children = [fork(int(number), float(end)) for _ in range(int(processes))]
        assert all(os.waitpid(child, 0)[1] == 0 for child in children)
