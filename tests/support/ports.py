"""Ports for servers that are started later, or never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_talkpilot.sandbox.processes import bind


@contextmanager
def held_port() -> Iterator[int]:
    """A free port that no other test is given meanwhile.

    A server that sets SO_REUSEADDR, as servers do, can listen there; until one does, connections
    are refused.
    """
    with bind() as held:
        yield int(held.getsockname()[1])
