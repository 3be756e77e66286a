"""The TalkPilot of all contestants, in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

API_KEY = "tp_live_" + "0" * 32


class Server:
    """Where the API is, and how it is steered.

    :param address: scheme, host and port.
    """

    def __init__(self, address: str) -> None:
        self.address, self.base_url = address, f"{address}/v1"

    def reset(self) -> None:
        """Reset the counts and the quota."""
        self._admin("reset")

    def counts(self) -> dict[str, Any]:
        """Requests by kind, refusals, details requested twice, share of the limit that was used."""
        return dict(self._admin("counts"))

    def ids(self, start: str, end: str) -> set[str]:
        """Ids of the calls from ``start`` on and before ``end``."""
        return set(self._admin("ids", **{"from": start, "to": end}))

    def purge(self, call_id: str) -> None:
        """Empty a call's personal data."""
        self._admin("purge", id=call_id)

    def erase(self, call_id: str) -> None:
        """Remove a call."""
        self._admin("erase", id=call_id)

    def _admin(self, word: str, **query: str) -> Any:
        address = f"{self.address}/admin/{word}?{urlencode(query)}"
        with urlopen(address, timeout=30) as response:  # noqa: S310
            return json.load(response)


@contextmanager
def talkpilot(**options: object) -> Iterator[Server]:
    """Run a TalkPilot.

    :param options: the options of ``python -m benchmarks.server``; without limits by default.
    """
    command = [sys.executable, "-m", "benchmarks.server", "--key", API_KEY]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is not False:
            command += [flag] if value is True else [flag, str(value)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError("the server did not start")
        yield Server(address)
    finally:
        process.terminate()
        process.wait()
