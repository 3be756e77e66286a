"""The statements of docs/privacy-columns.md, *Changing a choice*, work as they are written."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_talkpilot.staging.rows.choices import Hasher
from tests.integration.chain import Chain, refused
from tests.integration.test_columns import CALLS, SECRET, assert_table_is_chosen, keep_secret
from tests.support.docs import code, read, section
from tests.support.tables import spared_of, tables

pytestmark = pytest.mark.slow

LABELS = re.compile(r"ALTER TABLE `(.+)` SET OPTIONS \(labels = (\[.+\])\);")


@pytest.fixture(autouse=True)
def _secret(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(monkeypatch)


def statements(heading: str) -> list[str]:
    """Return the statements under a heading, each on one line."""
    blocks = code(section(read("privacy-columns"), heading), "sql")
    return [" ".join(statement.split()) for statement in blocks]


def run(chain: Chain, statement: str, fingerprint: str = "") -> None:
    """Run a statement of the document on the chain's table."""
    assert "`my-project.talkpilot.calls`" in statement
    statement = statement.replace("my-project.talkpilot.calls", chain.table)
    statement = statement.replace("1a2b3c4d", fingerprint)
    if match := LABELS.fullmatch(statement):
        # The emulator does not know this statement; its effect is an update of the table.
        pairs = json.loads(match[2].replace("(", "[").replace(")", "]"))
        set_labels(chain, dict(pairs))
    else:
        chain.bigquery.query(statement).result()


def set_labels(chain: Chain, labels: dict[str, str]) -> None:
    table = chain.bigquery.get_table(chain.table)
    table.labels = labels
    chain.bigquery.update_table(table, ["labels"])


def assert_refused(chain: Chain, columns: dict[str, str], message: str) -> None:
    """Check that a load of other choices fails with a message, and changes nothing."""
    before = chain.rows(own_times=True)
    calls = str(chain.extract(columns=columns).returned)
    refused(lambda: chain.load(calls), message)
    assert chain.rows(own_times=True) == before
    assert tables(chain.bigquery, chain.table) == ["calls"]


# As a webhook fills the column.
TURNS = (
    "UPDATE `my-project.talkpilot.calls` SET turns = [STRUCT(0 AS position, 'user' AS role, "
    "'words' AS text, 1.5 AS time_sec, '' AS tool, '' AS arguments, TRUE AS successful)] WHERE TRUE"
)


def test_a_loaded_column_is_dropped(chain: Chain) -> None:
    chain.run()
    run(chain, TURNS)
    columns = {"transcript": "drop"}
    assert_refused(chain, columns, "transcript (keep there, drop now)")

    empty, label = statements("To drop")
    run(chain, empty)
    run(chain, label)
    assert_table_is_chosen(chain, columns)
    chain.extract_options["columns"] = columns
    chain.run()
    assert_table_is_chosen(chain, columns)
    assert chain.details_requested() == CALLS, "each was fetched once, before"
    assert_refused(chain, {}, "transcript (drop there, keep now)")


def test_a_loaded_column_gets_a_new_secret(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(monkeypatch, SECRET[::-1])
    columns = {"phone_number": "hash"}
    chain.extract_options["columns"] = columns
    chain.run()
    keep_secret(monkeypatch)
    assert_refused(chain, columns, f"hash-{Hasher(SECRET).fingerprint} now")

    empty, label = statements("To hash, or to a new secret")
    run(chain, empty)
    run(chain, label, Hasher(SECRET).fingerprint)
    chain.run()
    assert_table_is_chosen(chain, columns)
    assert chain.details_requested() == CALLS


@pytest.mark.parametrize(
    ("columns", "of_details"),
    [({"phone_number": "hash", "note": "drop"}, False), ({"transcript": "drop"}, True)],
    ids=["of lists", "of details"],
)
def test_a_dropped_or_hashed_column_is_kept_again(
    chain: Chain, columns: dict[str, str], of_details: bool
) -> None:
    chain.extract_options["columns"] = columns
    chain.run()
    assert_refused(chain, {}, "keep now")
    if of_details:
        [forget] = statements("To keep")
        run(chain, forget)
    set_labels(chain, {"team": "calls"})
    chain.extract_options["columns"] = {}
    chain.run()
    truth = chain.truth() if of_details else []
    # The table still has the scores of purged calls.
    spared = spared_of(truth)
    chain.assert_table_is_truth(spared=spared)
    assert chain.details_requested() == CALLS + len(truth) - len(spared)
