"""The sandbox starts and stops."""

from __future__ import annotations

import threading

import httpx
import pytest

from airflow_provider_talkpilot.sandbox import Sandbox


def test_two_at_once_and_no_thread_left() -> None:
    before = set(threading.enumerate())
    two = Sandbox(seed=2)
    for _ in range(2):  # a stopped one starts again
        with Sandbox(seed=1) as one, two:
            urls = [f"{each.base_url}/health" for each in (one, two)]
            assert [httpx.get(url).status_code for url in urls] == [200, 200]
            with pytest.raises(RuntimeError, match="already"):
                one.start()
        assert set(threading.enumerate()) <= before
        with pytest.raises(httpx.ConnectError):
            httpx.get(urls[1])
    with pytest.raises(RuntimeError, match="not running"):
        _ = one.base_url
    one.stop()
