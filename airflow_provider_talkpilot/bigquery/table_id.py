"""The name of a BigQuery table, checked before anything is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_talkpilot.bigquery.errors import BigQueryError

_SHAPE = re.compile(
    r"(?P<project>([a-z0-9.-]+:)?[a-z][a-z0-9-]*[a-z0-9])\.(?P<dataset>\w{1,1024})\.(?P<table>[\w-]{1,1000})",
    re.ASCII,
)


@dataclass(frozen=True)
class TableId:
    """``project.dataset.table``."""

    project: str
    dataset: str
    table: str

    @classmethod
    def parse(cls, text: str | None) -> TableId:
        """Read ``project.dataset.table``.

        :raises BigQueryError: when it is anything else; it goes into SQL.
        """
        text = (text or "").strip()
        match = _SHAPE.fullmatch(text.replace("`", ""))
        if not match:
            fault = f"The table id {text!r} is malformed" if text else "No table is given"
            raise BigQueryError(
                f"{fault}: write project.dataset.table (for the shipped DAGs in the Variable "
                "talkpilot_bigquery_table), with the project in small letters, and of letters, "
                "digits and underscores the dataset."
            )
        return cls(**match.groupdict())

    @property
    def performance(self) -> TableId:
        """The table of performance records beside it."""
        return self.sibling(f"{self.table}_performance")

    @property
    def agents(self) -> TableId:
        """The table of agents beside it."""
        return self.sibling(f"{self.table}_agents")

    @property
    def lock(self) -> TableId:
        """The table whose one row every load changes, so that loads run one after the other."""
        return self.sibling(f"{self.table}_lock")

    def sibling(self, table: str) -> TableId:
        """Another table of the same dataset."""
        return TableId(self.project, self.dataset, table)

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"
