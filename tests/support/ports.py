"""Ports for servers that are started later, or never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_talkpilot.sandbox.emulators.processes import bind


@contextmanager
def held_port() -> Iterator[int]:
    """Hold a free port, so that no other test gets it meanwhile.

    A server that sets SO_REUSEADDR, as servers do, can listen there. Until one does, connections
    are refused.
    """
    with bind() as held:
        yield int(held.getsockname()[1])
