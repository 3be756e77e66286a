"""httpx logs every request's URL at INFO; a query of ours can hold a caller's phone number."""

from __future__ import annotations

import logging

import httpx

_PERSONAL = frozenset({"phone_number", "search"})


def keep_queries_out_of_logs() -> None:
    """Take personal query parameters out of httpx's own log lines, once per process."""
    logger = logging.getLogger("httpx")
    if _strip_query not in logger.filters:
        logger.addFilter(_strip_query)


def _strip_query(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            arg.copy_with(query=None)
            if isinstance(arg, httpx.URL) and _PERSONAL & set(arg.params)
            else arg
            for arg in record.args
        )
    return True
