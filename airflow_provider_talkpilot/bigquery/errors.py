"""The error of a load, and what Google's reasons for a refusal mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class BigQueryError(Exception):
    """A load, or a query that prepares one, failed.

    :param message: one line, which names the cure.
    :param retryable: whether the same work can succeed later without a change by the user.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True)
class Refusal:
    """Why Google refused something.

    :param reasons: Google's own words for it; they never hold data.
    :param cure: what a user must do; empty if that is not known.
    :param retryable: whether the same request can succeed in some seconds.
    :param later: whether it can succeed in some minutes.
    """

    reasons: tuple[str, ...]
    cure: str = ""
    retryable: bool = False
    later: bool = False


# Source: cloud.google.com/bigquery/docs/error-messages
_RETRYABLE = {
    "backendError",
    "internalError",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "rateLimitExceeded",
    "tableUnavailable",
}
# Another statement changed the table at the same time, and BigQuery gave up on this one. Source:
# cloud.google.com/bigquery/docs/data-manipulation-language#dml_statement_conflicts
_CONFLICT = re.compile(r"concurrent update|too many dml statements|failed to commit", re.IGNORECASE)
_BILLING = (
    "The project has no billing (BigQuery's sandbox), so it may not change rows, and its tables "
    "expire: enable billing in the Google Cloud console."
)
# Refusals that no retry helps, and whose message says more than their reason.
_CURES_BY_MESSAGE = {
    r"\bkms\b|\bcmek\b|cryptokey|noncmekservices": "The encryption key (CMEK) cannot be used: "
    "give BigQuery's service account the role Cloud KMS CryptoKey Encrypter/Decrypter on it, and "
    "see that the key is enabled and in the dataset's location.",
    r"billing has not been enabled|free tier": _BILLING,
    r"currently an? (materialized )?(view|external|snapshot)"
    r"|\b(views?|external tables?|snapshots?)\b.{0,80}\bnot (allowed|supported)"
    r"|not (allowed|supported)\b.{0,80}\b(views?|external tables?|snapshots?)\b": "The target is "
    "no table whose rows can be changed: name another one.",
    "different locations": "BigQuery loads only from a bucket where the dataset is: stage in a "
    "bucket of the dataset's location (for the shipped DAGs, the Variable talkpilot_staging_uri).",
    r"\bpolicy tag": "Give the Google account the role Fine-Grained Reader on the policy tags of "
    "the table's columns.",
}
_CURES_BY_REASON = {
    "accessDenied": "Give the Google account the permissions that docs/deployment.md lists.",
    "accessNotConfigured": "Enable the BigQuery API in the project.",
    "billingNotEnabled": _BILLING,
    "blocked": "Google has blocked the project: write to Google's support.",
    "bytesBilledLimitExceeded": "It would read more than maximum_bytes_billed allows: raise that, "
    "or load a shorter interval.",
    # Source: cloud.google.com/bigquery/docs/troubleshoot-quotas
    "quotaExceeded": "A quota of the project is used up, which can take ten minutes to pass or "
    "longer. If that happens often, raise it in the Google Cloud console.",
    "resourcesExceeded": "That is too much at once: load a shorter interval.",
}
_PERMISSION = re.compile(r"\b(?:bigquery|cloudkms|datacatalog|storage)\.\w+\.\w+\b")


def refusal_of(items: Iterable[Mapping[str, Any]], message: str | None) -> Refusal:
    """Find why Google refused something, and what cures it.

    :param items: Google's list of errors, each with ``reason`` and ``message``.
    :param message: Google's message, which can quote a record: of its words only the names of
        permissions are repeated.
    :return: why; if that is not known, there is no cure and it is not retryable.
    """
    items = list(items)
    reasons = tuple(sorted({str(item.get("reason") or "unknown") for item in items}))
    text = " ".join([str(message), *(str(item.get("message")) for item in items)])
    if _RETRYABLE.intersection(reasons) or _CONFLICT.search(text):
        return Refusal(reasons, retryable=True)
    cures = [cure for words, cure in _CURES_BY_MESSAGE.items() if re.search(words, text.lower())]
    cures += [cure for reason, cure in _CURES_BY_REASON.items() if reason in reasons]
    lacking = sorted(set(_PERMISSION.findall(text)))
    if cures and lacking:
        cures[0] += f" It lacks {', '.join(lacking)}."
    return Refusal(reasons, cures[0] if cures else "", later="quotaExceeded" in reasons)
