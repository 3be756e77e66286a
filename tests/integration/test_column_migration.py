"""docs/privacy-columns.md, *Changing a choice*: its statements, run as they are written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_talkpilot.staging.choices import Hasher
from tests.integration.chain import Chain
from tests.integration.test_columns import CALLS, SECRET, assert_table_is_chosen, keep_secret
from tests.support.tables import spared_of, tables

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2].joinpath("docs/privacy-columns.md").read_text(encoding="utf-8")
LABELS = re.compile(r"ALTER TABLE `(.+)` SET OPTIONS \(labels = (\[.+\])\);")


@pytest.fixture(autouse=True)
def _secret(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(monkeypatch)


def statements(heading: str) -> list[str]:
    [text] = re.findall(rf"^### {heading}$(.*?)(?=^##)", DOCUMENT, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^ *```sql$(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return [" ".join(statement.split()) for statement in found]


def run(chain: Chain, statement: str, fingerprint: str = "") -> None:
    """Run a statement of the document on the test's table."""
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


def assert_refused(chain: Chain, columns: dict[str, str], *says: str) -> str:
    before = chain.rows(own_times=True)
    calls = str(chain.extract(columns=columns).returned)
    with pytest.raises(AirflowFailException) as caught:
        chain.load(calls)
    for text in says:
        assert text in str(caught.value)
    assert chain.rows(own_times=True) == before
    assert tables(chain.bigquery, chain.table) == ["calls"]
    return str(caught.value)


def test_to_drop(chain: Chain) -> None:
    chain.run()
    columns = {"transcript": "drop"}
    assert_refused(chain, columns, "transcript (keep there, drop now)")

    empty, label = statements("To drop")
    run(chain, empty)
    run(chain, label)
    assert_table_is_chosen(chain, columns)
    chain.extract_options["columns"] = columns
    chain.run()
    assert_table_is_chosen(chain, columns)
    assert chain.sandbox.counters["detail"] == CALLS, "each was fetched once, before"
    assert_refused(chain, {}, "transcript (drop there, keep now)")


def test_to_a_new_secret(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert chain.sandbox.counters["detail"] == CALLS


@pytest.mark.parametrize(
    ("columns", "asked_again"),
    [({"phone_number": "hash", "note": "drop"}, False), ({"transcript": "drop"}, True)],
    ids=["of lists", "of details"],
)
def test_to_keep(chain: Chain, columns: dict[str, str], asked_again: bool) -> None:
    chain.extract_options["columns"] = columns
    chain.run()
    assert_refused(chain, {}, "keep now")
    if asked_again:
        [forget] = statements("To keep")
        run(chain, forget)
    set_labels(chain, {"team": "calls"})
    chain.extract_options["columns"] = {}
    chain.run()
    truth = chain.sandbox.truth(*chain.interval) if asked_again else []
    # Purged, with a score that the table still has.
    spared = spared_of(truth)
    chain.assert_table_is_truth(spared=spared)
    assert chain.sandbox.counters["detail"] == CALLS + len(truth) - len(spared)
