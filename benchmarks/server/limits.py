"""A fixed window of requests per key, with the API's headers."""

from __future__ import annotations

import math
import time
from collections import Counter


class Window:
    """Counts requests of one key.

    :param limit: requests a window; None for no limit, told as one of a million.
    :param seconds: length of a window, a whole number: its end is told in whole seconds.
    """

    def __init__(self, limit: int | None, seconds: int) -> None:
        self.limit, self.seconds = limit or 1_000_000, seconds
        self.served = Counter[int]()
        self.refused = Counter[int]()

    def count(self) -> tuple[bytes, int | None]:
        """Count a request.

        :return: the headers, and the seconds to wait where it is refused.
        """
        now = time.time()
        number = int(now // self.seconds)
        end = (number + 1) * self.seconds
        wait = None
        if self.served[number] >= self.limit:
            self.refused[number] += 1
            wait = max(1, math.ceil(end - now))
        else:
            self.served[number] += 1
        left = self.limit - self.served[number]
        told = (
            f"X-RateLimit-Limit: {self.limit}\r\nX-RateLimit-Remaining: {left}\r\n"
            f"X-RateLimit-Reset: {end}\r\n"
        )
        if wait:
            told += f"Retry-After: {wait}\r\n"
        return told.encode(), wait

    def share(self) -> float:
        """How much of the limit was used, in the windows from the first request to the last.

        The last window is left out where there are others: the work ended somewhere in it.
        """
        used = sorted(self.served)
        whole = range(used[0], used[-1]) if len(used) > 1 else used
        return sum(self.served[number] for number in whole) / (len(whole) * self.limit)
