"""A process of its own that asks for details with several threads until a moment."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_talkpilot.api import TalkPilotClient
from airflow_provider_talkpilot.api.errors import ClosedError


def work(
    base_url: str, api_key: str, agent: str, call: str, until: float, threads: int = 8, **quota: Any
) -> int:
    """Ask for the same detail again and again until ``until`` (Unix time).

    :return: how many requests were answered.
    """
    with TalkPilotClient(base_url, api_key, **quota) as client:

        def ask_until_the_end() -> int:
            answered = 0
            try:
                while time.time() < until:
                    client.call(agent, call)
                    answered += 1
            except ClosedError:
                pass
            return answered

        with ThreadPoolExecutor(threads) as pool:
            asking = [pool.submit(ask_until_the_end) for _ in range(threads)]
            time.sleep(max(0.0, until - time.time()))
            client.quota.close()
            return sum(one.result() for one in asking)


if __name__ == "__main__":
    where, key, agent_id, call_id = sys.argv[1:]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    work(where, key, agent_id, call_id, float(sys.stdin.readline()))
