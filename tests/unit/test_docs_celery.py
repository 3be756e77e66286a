"""The settings that docs/deployment.md tells of are those that the cluster is tested with."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cluster.cluster import RECOVERY

TEXT = Path(__file__).parents[2].joinpath("docs", "deployment.md").read_text(encoding="utf-8")


def test_settings_are_those_of_the_test() -> None:
    rows = re.findall(r"^\| `\[(\w+)\] (\w+)` \| \d+ \| (\d+) \|", TEXT, re.MULTILINE)
    told = {f"AIRFLOW__{s.upper()}__{name.upper()}": value for s, name, value in rows}
    assert told == RECOVERY
